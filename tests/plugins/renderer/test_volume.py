import dataclasses

import pytest
import torch

from bozzetto.errors import ConfigError, NonFiniteError
from bozzetto.testing.renderer import RendererContract
from bozzetto.testing.scenes import (
    PlainBackground,
    PlainMaterial,
    SoftSphere,
    cameras_around,
    cameras_away,
    render_plainly,
)
from bozzetto.types import Cameras, Rendered
from bozzetto_plugins.geometry.config import HashGridConfig
from bozzetto_plugins.geometry.hash_grid import HashGrid
from bozzetto_plugins.renderer.config import VolumeConfig
from bozzetto_plugins.renderer.volume import Volume

CONFIG = VolumeConfig(samples_per_ray=256, occupancy_resolution=32)


class TestVolume(RendererContract):
    def make(self, radius: float = 1.0) -> Volume:
        return Volume(CONFIG, radius)


class TestPrunedVolume(RendererContract):
    def make(self, radius: float = 1.0) -> Volume:
        return Volume(dataclasses.replace(CONFIG, prune_weight=1e-4), radius)


def look(
    config: VolumeConfig = CONFIG,
    geometry: torch.nn.Module | None = None,
    cameras: Cameras | None = None,
    seed: int | None = None,
    updates: int = 1,
    normal: bool = True,
) -> Rendered:
    renderer, geometry = Volume(config, 1.0), geometry or SoftSphere()
    cameras = cameras or cameras_around(2)
    jitter = torch.Generator().manual_seed(0)
    for _ in range(updates):
        renderer.update(geometry, 0, jitter)
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    material = PlainMaterial("normal")
    shading = material.eval_shading(cameras)
    return renderer(cameras, geometry, material, PlainBackground(), shading, normal, generator)


def assert_same(one: Rendered, two: Rendered, atol: float) -> None:
    for name in ("image", "opacity", "depth", "normal"):
        torch.testing.assert_close(getattr(one, name), getattr(two, name), atol=atol, rtol=0.0)


@pytest.mark.parametrize("max_samples", [256, 700, 256 * 20])
def test_chunks_equal_the_whole(max_samples: int) -> None:
    cameras = cameras_around(2, size=7)
    whole = look(cameras=cameras)
    assert_same(look(dataclasses.replace(CONFIG, max_samples=max_samples), cameras=cameras), whole, 1e-5)


def test_a_chunk_has_as_many_rays_as_its_samples_allow() -> None:
    class Counting(SoftSphere):
        def __init__(self) -> None:
            super().__init__()
            self.asked: list[int] = []

        def forward(self, points, normal=False):
            self.asked.append(len(points))
            return super().forward(points, normal)

    cameras = cameras_around(2, size=24)
    whole, few = Counting(), Counting()
    one = look(geometry=whole, cameras=cameras)
    limit = 4 * CONFIG.samples_per_ray
    assert_same(look(dataclasses.replace(CONFIG, max_samples=limit), few, cameras), one, 1e-5)
    assert len(whole.asked) == 1 and sum(few.asked) == whole.asked[0]
    assert max(few.asked) <= limit
    assert len(few.asked) < 2 * whole.asked[0] / limit + 1  # not one per four rays


def test_skipping_empty_space_changes_nothing() -> None:
    """A skipped step would have absorbed at most 1e-4 of the light: on the longest grazing ray that adds up to 5e-3."""
    cameras, ball = cameras_around(1), SoftSphere(density=20.0, softness=0.03)
    config = dataclasses.replace(CONFIG, occupancy_threshold=1e-4)
    skipped, whole = look(config, ball, cameras, updates=8), look(config, ball, cameras, updates=0)
    assert_same(skipped, whole, 5e-3)


def test_skipping_spares_most_samples() -> None:
    cameras = cameras_around(1)
    skipped, whole = look(cameras=cameras, seed=0), look(cameras=cameras, seed=0, updates=0)
    assert len(skipped.volume.samples) < 0.4 * len(whole.volume.samples)


def test_it_agrees_with_the_plain_form() -> None:
    """The same steps without a grid, on black."""
    ball, cameras = SoftSphere(density=5.0, softness=0.1), cameras_around(2)
    plain = render_plainly(ball, cameras, steps=256)
    rendered = look(geometry=ball, cameras=cameras, updates=0)
    torch.testing.assert_close(rendered.opacity, plain.opacity)
    torch.testing.assert_close(rendered.depth, plain.depth)
    torch.testing.assert_close(rendered.normal, plain.normal)


def test_pruning_drops_samples_and_hardly_changes_the_picture() -> None:
    whole = look(seed=0)
    assert_same(look(dataclasses.replace(CONFIG, prune_weight=0.0), seed=0), whole, 0.0)
    pruned = look(dataclasses.replace(CONFIG, prune_weight=1e-4), seed=0)
    assert len(pruned.volume.samples) < 0.6 * len(whole.volume.samples)
    assert_same(pruned, whole, 5e-3)
    samples = pruned.volume.samples
    rows = torch.arange(len(samples))
    assert bool(((samples.offsets[samples.ray] <= rows) & (rows < samples.offsets[samples.ray + 1])).all())


class TestVolumeInParts(RendererContract):
    def make(self, radius: float = 1.0) -> Volume:
        return Volume(dataclasses.replace(CONFIG, training_samples=100), radius)


@pytest.mark.parametrize("prune_weight", [0.0, 1e-4])
def test_samples_shaded_in_parts_give_the_same_picture_and_gradients(prune_weight: float) -> None:
    found = []
    for training_samples in (0, 1000):
        torch.manual_seed(0)
        grid = HashGrid(HashGridConfig(levels=4, log2_table_size=10))
        config = dataclasses.replace(CONFIG, training_samples=training_samples, prune_weight=prune_weight)
        rendered = look(config, grid, cameras_around(2, size=12), seed=3)
        assert len(rendered.volume.samples) > 3000, "several parts"
        (rendered.image.square().sum() + rendered.volume.normal.sum()).backward()
        trained = [grid.encoding, *grid.density_network.parameters()]  # the material shows normals
        found.append((rendered, [parameter.grad for parameter in trained]))
    (whole, gradients), (parts, others) = found
    assert_same(parts, whole, atol=1e-6)
    torch.testing.assert_close(parts.volume.weights, whole.volume.weights, atol=1e-6, rtol=0.0)
    for gradient, other in zip(gradients, others, strict=True):
        assert gradient.abs().max() > 0.0
        torch.testing.assert_close(other, gradient, rtol=1e-5, atol=1e-6 * float(gradient.abs().max()))


def test_samples_are_handed_out_in_training_only() -> None:
    assert look(normal=False).volume is None
    seen = look(seed=0).volume
    assert seen.normal.shape == (len(seen.samples), 3)
    opacity = torch.zeros(2 * 17 * 17).index_add(0, seen.samples.ray, seen.weights)
    torch.testing.assert_close(opacity, look(seed=0).opacity.flatten())


def test_normals_are_not_asked_for_when_nobody_needs_them() -> None:
    class Watching(SoftSphere):
        asked = False

        def forward(self, points, normal=False):
            self.asked = self.asked or normal
            return super().forward(points, normal)

    ball, cameras, material = Watching(), cameras_around(1), PlainMaterial("albedo")
    rendered = Volume(CONFIG, 1.0)(cameras, ball, material, PlainBackground(), material.eval_shading(cameras))
    assert not ball.asked and rendered.normal is None


def test_missing_normals_name_the_geometry() -> None:
    with pytest.raises(ConfigError, match="needs normals, and geometry SoftSphere"):
        look(geometry=SoftSphere(normals=False))


def test_values_that_are_not_finite_name_their_component() -> None:
    broken = SoftSphere()
    with torch.no_grad():
        broken.log_density.fill_(float("nan"))
    with pytest.raises(NonFiniteError, match="geometry SoftSphere gave a density"):
        look(geometry=broken, updates=0)
    with pytest.raises(NonFiniteError, match="geometry SoftSphere gave a density"):
        look(geometry=broken, updates=1)
    material, ball, cameras = PlainMaterial(), SoftSphere(), cameras_around(1)
    with torch.no_grad():
        material.gain.fill_(float("inf"))
    with pytest.raises(NonFiniteError, match="material PlainMaterial gave a colour"):
        Volume(CONFIG, 1.0)(cameras, ball, material, PlainBackground(), material.eval_shading(cameras))


def test_a_view_with_rays_that_miss_the_cube_and_rays_that_hit_it() -> None:
    both = Cameras(torch.cat([cameras_around(1).c2w, cameras_away(1).c2w]), cameras_around(2).fov_y_rad, 17, 17)
    rendered = look(cameras=both)
    assert float(rendered.opacity[0].detach().max()) > 0.9 and float(rendered.opacity[1].detach().max()) == 0.0


@pytest.mark.parametrize(
    ("field", "value"),
    [("samples_per_ray", 0), ("occupancy_threshold", 1.0), ("occupancy_decay", 1.5), ("warm_up_steps", -1)],
)
def test_a_wrong_setting_is_named(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^{field}: "):
        VolumeConfig(**{field: value})


def test_a_preview_shows_the_same_scene_with_half_the_samples() -> None:
    renderer, asked = Volume(CONFIG, 1.0), []

    class Counting(SoftSphere):
        def forward(self, points, normal=False):
            asked.append(len(points))
            return super().forward(points, normal)

    cameras, material = cameras_around(2), PlainMaterial("normal")
    renderer.update(SoftSphere(), 0, torch.Generator().manual_seed(0))
    fine, coarse = (
        each(cameras, Counting(), material, PlainBackground(), material.eval_shading(cameras))
        for each in (renderer, renderer.preview())
    )
    assert asked[1] <= 0.55 * asked[0] and renderer.config == CONFIG
    assert (fine.image - coarse.image).abs().mean() < 0.01
    assert renderer.preview().occupancy is renderer.occupancy
