"""Manifest of the built-in guidances."""

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
        summary="Score distillation (SDS) from Stable Diffusion 1.x/2.x or another diffusers latent diffusion model",
        requires=("diffusers", "transformers"),
        provides=frozenset({"sds"}),
    )
    yield ComponentSpec(
        kind="guidance",
        name="zero123",
        target="bozzetto_plugins.guidance.zero123:Zero123",
        config="bozzetto_plugins.guidance.config:Zero123Config",
        summary="Score distillation (SDS) from Zero123 or a similar model conditioned on a photo and a relative pose",
        requires=("diffusers", "transformers"),
        provides=frozenset({"sds"}),
        needs=frozenset({"reference"}),
    )
    yield ComponentSpec(
        kind="guidance",
        name="diffusion-prior",
        target="bozzetto_plugins.guidance.diffusion_prior:DiffusionPrior",
        config="bozzetto_plugins.guidance.diffusion_prior_config:DiffusionPriorConfig",
        summary="Prior of SDXL and other families of diffusion models, which the model's folder names; for scores",
        requires=("diffusers", "transformers"),
        provides=frozenset({"sds"}),
    )
    yield ComponentSpec(
        kind="guidance",
        name="instruct-pix2pix",
        target="bozzetto_plugins.guidance.instruct_pix2pix:InstructPix2Pix",
        config="bozzetto_plugins.guidance.instruct_pix2pix_config:InstructPix2PixConfig",
        summary="Editing by an instruction: pictures of fixed views by InstructPix2Pix, or a prior for scores",
        requires=("diffusers", "transformers"),
        provides=frozenset({"edit"}),
        needs=frozenset({"fixed-views"}),
    )
    yield ComponentSpec(
        kind="guidance",
        name="image-dream",
        target="bozzetto_plugins.guidance.image_dream:ImageDream",
        config="bozzetto_plugins.guidance.image_dream_config:ImageDreamConfig",
        summary="Prior of ImageDream, which is shown a photo and predicts groups of views; for scores",
        requires=("diffusers", "transformers"),
        provides=frozenset({"sds"}),
        needs=frozenset({"reference"}),
    )
