"""Tests of latents and their colours: the contract in colours, latent renderings through the volume renderer."""

from __future__ import annotations

import pytest
import torch

from bozzetto.errors import ConfigError
from bozzetto.math.latent_colors import color_map, colors_of_latents
from bozzetto.testing.checks import assert_declared_parameters_are_the_real_ones
from bozzetto.testing.material import random_field
from bozzetto.testing.scenes import cameras_around
from bozzetto.types import Rendered
from bozzetto_plugins.background.config import SolidConfig
from bozzetto_plugins.background.solid import Solid
from bozzetto_plugins.geometry.config import HashGridConfig
from bozzetto_plugins.geometry.hash_grid import HashGrid
from bozzetto_plugins.guidance.latents import latents_of_latent
from bozzetto_plugins.material.config import LatentConfig
from bozzetto_plugins.material.latent import Latent
from bozzetto_plugins.renderer.config import VolumeConfig
from bozzetto_plugins.renderer.volume import Volume

GREEN = (0.2, 0.8, 0.4)


def render(material: Latent, features: int, training: bool) -> Rendered:
    torch.manual_seed(0)
    geometry = HashGrid(HashGridConfig(levels=2, log2_table_size=8, finest_resolution=32, feature_count=features))
    renderer = Volume(VolumeConfig(samples_per_ray=16, occupancy_resolution=8), geometry.radius)
    cameras, generator = cameras_around(2, size=8), torch.Generator().manual_seed(0)
    renderer.update(geometry, 0, generator)
    shading = material.sample_shading(cameras, 0, generator) if training else material.eval_shading(cameras)
    return renderer(
        cameras, geometry, material, Solid(SolidConfig(color=GREEN)), shading, normal=True,
        generator=generator if training else None,
    )  # fmt: skip


@pytest.mark.parametrize(("codec", "channels"), [("stable-diffusion", 4), ("pixels", 48)])
def test_training_renders_latents_and_pictures_show_colours(codec: str, channels: int) -> None:
    material = Latent(LatentConfig(codec=codec), channels)
    assert_declared_parameters_are_the_real_ones(material, channels)
    trained = render(material, channels, training=True)
    assert trained.space == "latent" and trained.image.shape == (2, 8, 8, channels)
    assert trained.normal is not None and trained.normal.shape == (2, 8, 8, 3)
    corner = trained.image[0, 0, 0]
    assert trained.opacity[0, 0, 0] < 1e-3
    torch.testing.assert_close(colors_of_latents(corner, material.to_rgb), torch.tensor(GREEN), rtol=0, atol=1e-2)
    assert latents_of_latent(trained, channels, (4, 4)).shape == (2, channels, 4, 4)
    trained.image.square().sum().backward()
    assert material.to_rgb.grad is None
    seen = render(material, channels, training=False)
    assert seen.space == "rgb" and seen.image.shape == (2, 8, 8, 3)
    assert bool(((seen.image >= 0.0) & (seen.image <= 1.0 + 1e-5)).all())


def test_in_space_rgb_the_map_is_trained() -> None:
    material = Latent(LatentConfig(space="rgb"), 4)
    rendered = render(material, 4, training=True)
    assert rendered.space == "rgb" and rendered.image.shape == (2, 8, 8, 3)
    rendered.image.square().sum().backward()
    assert material.to_rgb.grad is not None and bool(material.to_rgb.grad.any())


def test_the_colours_are_the_linear_map_of_the_features() -> None:
    material, field = Latent(LatentConfig(), 4), random_field(16, 4)
    expected = (0.5 * (field.features @ color_map("stable-diffusion", 4).T + 1.0)).clamp(0.0, 1.0)
    torch.testing.assert_close(material.albedo(field.features), expected)


def test_a_model_with_other_latents_says_how_many() -> None:
    rendered = render(Latent(LatentConfig(), 4), 4, training=True)
    with pytest.raises(ConfigError, match="rendered in 4 latent channels and the model has 48"):
        latents_of_latent(rendered, 48, (4, 4))


@pytest.mark.parametrize(("codec", "count"), [("stable-diffusion", 3), ("pixels", 13)])
def test_features_that_are_no_latents_are_refused(codec: str, count: int) -> None:
    with pytest.raises(ConfigError, match=rf"channels.*got {count}.*feature_count"):
        Latent(LatentConfig(codec=codec), count)
