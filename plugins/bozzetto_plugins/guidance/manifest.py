"""Guidances: image priors that pull on the rendered views."""

from __future__ import annotations

from collections.abc import Iterator

from bozzetto import ComponentSpec, hookimpl


@hookimpl
def bozzetto_components() -> Iterator[ComponentSpec]:
    """Declare the built-in guidances."""
    yield ComponentSpec(
        kind="guidance",
        name="stable-diffusion",
        target="bozzetto_plugins.guidance.stable_diffusion:StableDiffusion",
        config="bozzetto_plugins.guidance.config:StableDiffusionConfig",
        summary="Score distillation (SDS) from Stable Diffusion 1.x/2.x and other latent diffusion models of diffusers",
        requires=("diffusers", "transformers"),
        provides=frozenset({"sds"}),
    )
    yield ComponentSpec(
        kind="guidance",
        name="zero123",
        target="bozzetto_plugins.guidance.zero123:Zero123",
        config="bozzetto_plugins.guidance.config:Zero123Config",
        summary="Score distillation (SDS) from Zero123 and its kin: how the object of a photo looks from elsewhere",
        requires=("diffusers", "transformers"),
        provides=frozenset({"sds"}),
        needs=frozenset({"reference"}),
    )
