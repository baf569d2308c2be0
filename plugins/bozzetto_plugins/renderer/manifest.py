"""Manifest of the built-in renderers."""

from collections.abc import Iterable

from bozzetto import ComponentSpec, hookimpl

HERE = "bozzetto_plugins.renderer"


@hookimpl
def bozzetto_components() -> Iterable[ComponentSpec]:
    """Declare the built-in renderers."""
    yield ComponentSpec(
        kind="renderer",
        name="volume",
        target=f"{HERE}.volume:Volume",
        config=f"{HERE}.config:VolumeConfig",
        summary="Volume rendering (emission and absorption along rays) that skips empty space.",
        provides=frozenset({"volume", "latent"}),
        needs=frozenset({"density", "features"}),
    )
    yield ComponentSpec(
        kind="renderer",
        name="mesh",
        target=f"{HERE}.mesh:Mesh",
        config=f"{HERE}.config:MeshConfig",
        summary="Triangle rasterisation with smooth normals and antialiased silhouettes.",
        provides=frozenset({"normal"}),
        needs=frozenset({"mesh", "features"}),
    )
