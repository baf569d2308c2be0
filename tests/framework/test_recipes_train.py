"""Tests that every shipped recipe takes a training step in each profile: small, on the CPU, with a fake prior."""

from pathlib import Path

import pytest
from tests.plugins.prompt_processor.language_models import tiny_bert

from bozzetto.config.profiles import base_of
from bozzetto.config.recipe_file import read_recipe
from bozzetto.registry.discovery import Registry, installed_sources
from bozzetto.testing.fakes import tiny_stable_diffusion
from bozzetto.testing.run import train_one_step

RECIPES = sorted(Path(__file__).parents[2].glob("configs/*.yaml"))


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
    numbers = train_one_step(path, registry, tmp_path, models, profile)
    assert numbers
    for stage, found in numbers.items():
        assert found["step"] == 1 and found["gradient_norm"] > 0.0, stage
