"""Manifest of the built-in prompt processors."""

from __future__ import annotations

from collections.abc import Iterator

from bozzetto import ComponentSpec, hookimpl


@hookimpl
def bozzetto_components() -> Iterator[ComponentSpec]:
    """Declare the built-in prompt processors."""
    yield ComponentSpec(
        kind="prompt-processor",
        name="view-dependent",
        target="bozzetto_plugins.prompt_processor.view_dependent:ViewDependent",
        config="bozzetto_plugins.prompt_processor.config:ViewDependentConfig",
        summary="Appends the view direction (', front view') to the prompt, switched or blended by camera angle",
    )
    yield ComponentSpec(
        kind="prompt-processor",
        name="debiased",
        target="bozzetto_plugins.prompt_processor.debiased:Debiased",
        config="bozzetto_plugins.prompt_processor.config:DebiasedConfig",
        summary="Like view-dependent, and drops the words that contradict a view, as a language model says",
        requires=("transformers",),
    )
