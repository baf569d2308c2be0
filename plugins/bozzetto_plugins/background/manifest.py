"""Manifest of the built-in backgrounds."""

from collections.abc import Iterable

from bozzetto import ComponentSpec, hookimpl

HERE = "bozzetto_plugins.background"


@hookimpl
def bozzetto_components() -> Iterable[ComponentSpec]:
    """Declare the built-in backgrounds."""
    yield ComponentSpec(
        kind="background",
        name="solid",
        target=f"{HERE}.solid:Solid",
        config=f"{HERE}.config:SolidConfig",
        summary="A single fixed colour.",
    )
    yield ComponentSpec(
        kind="background",
        name="random-solid",
        target=f"{HERE}.random_solid:RandomSolid",
        config=f"{HERE}.config:RandomSolidConfig",
        summary="A random colour per view in training, a fixed one in evaluation.",
    )
    yield ComponentSpec(
        kind="background",
        name="neural-environment",
        target=f"{HERE}.neural_environment:NeuralEnvironment",
        config=f"{HERE}.config:NeuralEnvironmentConfig",
        summary="A learned colour per direction, replaced by random colours in some training views (DreamFusion).",
    )
