"""Tests that every shipped recipe takes a training step in each profile: small, on the CPU, with a fake prior."""

from pathlib import Path

import pytest
from tests.plugins.guidance.editing_models import tiny_controlnet, tiny_instruct_pix2pix
from tests.plugins.guidance.model_families import tiny
from tests.plugins.prompt_processor.language_models import tiny_bert

from bozzetto.config.profiles import base_of
from bozzetto.config.recipe_file import read_recipe
from bozzetto.registry.discovery import Registry, installed_sources
from bozzetto.testing.fakes import tiny_stable_diffusion
from bozzetto.testing.run import train_one_step

RECIPES = sorted(Path(__file__).parents[2].glob("configs/*.yaml"))
FAMILIES = {
    "dreamfusion-sdxl": tiny.sdxl, "rfds": tiny.sd3, "dreamfusion-flux": tiny.flux2, "rfds-z-image": tiny.z_image,
    "dreamfusion-if": tiny.deepfloyd_if,
}  # fmt: skip
"""Models of the recipes whose prior is of another family than Stable Diffusion."""


def cases():
    """Return each recipe and profile."""
    registry = Registry.discover(installed_sources({}))
    for path in RECIPES:
        file = read_recipe(path, registry)
        for profile in file.profile_names or ["auto"]:
            if base_of(profile) != profile and profile not in file.profiles:
                continue  # the parent's
            yield pytest.param(path, profile, id=f"{path.stem}-{profile}")


@pytest.mark.parametrize(("path", "profile"), cases())
def test_it_takes_a_step(registry, tiny_model, tiny_zero123_model, tmp_path, path, profile):
    models = {"": tiny_model, "zero123": tiny_zero123_model}
    if path.stem == "debiased" and profile != "cpu":
        models["debiased"] = tiny_bert(tmp_path / "bert")
    if path.stem == "latent-nerf" and profile == "cpu":  # as many latents as the bundled prior has
        models[""] = tiny_stable_diffusion(tmp_path / "latents", latent_channels=48)
    if path.stem in FAMILIES:
        models[""] = tiny.saved(FAMILIES[path.stem](tmp_path), tmp_path / "model")
    if path.stem == "mvdream":
        models[""] = tiny.mvdream(tmp_path / "model")
    if path.stem == "texture-controlnet":
        models["controls"] = tiny_controlnet(tmp_path / "control", tiny_model, seed=1)
    if path.stem == "edit-ip2p":
        models[""] = tiny_instruct_pix2pix(tmp_path / "model")
    if path.stem == "imagedream":
        models["image-dream"] = tiny.imagedream(tmp_path / "model")
    numbers = train_one_step(path, registry, tmp_path, models, profile)
    assert numbers
    for stage, found in numbers.items():
        assert found["step"] == 1 and found["gradient_norm"] > 0.0, stage
