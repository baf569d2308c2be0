"""Contract tests of a renderer: subclass `RendererContract`, define `make`, run with pytest."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from bozzetto.kinds.geometry import Geometry
from bozzetto.kinds.renderer import Renderer
from bozzetto.testing.checks import (
    HALF_TOLERANCE,
    as_module,
    assert_declared_parameters_are_the_real_ones,
    assert_devices_are_taken_from_inputs,
    assert_survives_saving,
    half_precision,
)
from bozzetto.testing.scenes import PlainBackground, PlainMaterial, SoftSphere, cameras_around, cameras_away, view_alone
from bozzetto.types import Cameras, Rendered

__all__ = ["RendererContract"]

DISTANCE = 2.5


class RendererContract:
    """Tests with a ball of radius 1/2: its image, the background elsewhere, and gradients to all trainable parameters.

    For a renderer that requires another kind of geometry than a density, override `ball`.
    """

    depth_tolerance = 0.02
    """Tolerance of the distance to the ball's surface, world units."""
    works_in_half = True
    """Set to False if half-precision matrix products change the result too much."""

    def make(self, radius: float = 1.0) -> Renderer:
        """Return a renderer to test, for a geometry of this radius."""
        raise AssertionError(f"{type(self).__name__} must define make(radius)")

    def ball(self) -> Geometry:
        """Return a ball of radius 1/2 at the origin, in a cube of radius 1, with three features and normals."""
        return SoftSphere()

    def render(
        self, cameras: Cameras, mode: str = "albedo", normal: bool = False, seed: int | None = None
    ) -> tuple[Rendered, Geometry, PlainMaterial, PlainBackground]:
        """Render the ball with a new, updated renderer; in training mode if a seed is given."""
        renderer, geometry, material, background = self.make(), self.ball(), PlainMaterial(mode), PlainBackground()
        renderer.update(geometry, 0, torch.Generator().manual_seed(0))
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        shading = material.eval_shading(cameras)
        rendered = renderer(cameras, geometry, material, background, shading, normal=normal, generator=generator)
        return rendered, geometry, material, background

    def test_the_config_declares_the_parameters(self) -> None:
        assert_declared_parameters_are_the_real_ones(as_module(self.make(1.0)), 1.0)

    def test_the_ball_is_seen_where_it_is(self) -> None:
        rendered, *_ = self.render(cameras_around(distance=DISTANCE), normal=True)
        middle = (0, 8, 8)
        assert abs(float(rendered.opacity[middle].detach()) - 1.0) < 1e-3
        assert abs(float(rendered.depth[middle].detach()) - (DISTANCE - 0.5)) < self.depth_tolerance
        assert rendered.normal is not None
        toward_camera = torch.nn.functional.normalize(cameras_around().position[0], dim=-1)
        torch.testing.assert_close(rendered.normal[middle].detach(), toward_camera, atol=0.02, rtol=0.0)

    def test_the_background_is_seen_around_it(self) -> None:
        rendered, _, _, background = self.render(cameras_around())
        for row, column in ((0, 0), (0, 16), (16, 0), (16, 16)):
            assert float(rendered.opacity[0, row, column].detach()) < 1e-3
            assert float(rendered.depth[0, row, column].detach()) < 1e-2
            torch.testing.assert_close(rendered.image[0, row, column], background.color, atol=1e-3, rtol=0.0)

    def test_ranges(self) -> None:
        for seed in (None, 0):
            rendered, *_ = self.render(cameras_around(2), normal=True, seed=seed)
            assert rendered.image.shape == (2, 17, 17, 3) and rendered.space == "rgb"
            for picture in (rendered.image, rendered.opacity):
                assert bool(((picture >= -1e-5) & (picture <= 1.0 + 1e-5)).all())
            assert bool((rendered.depth >= 0.0).all())
            assert rendered.normal is not None and bool((rendered.normal.norm(dim=-1) <= 1.0 + 1e-5).all())

    def test_without_a_generator_pictures_are_deterministic(self) -> None:
        before = torch.random.get_rng_state()
        one, two = self.render(cameras_around())[0], self.render(cameras_around())[0]
        assert torch.equal(one.image, two.image) and torch.equal(one.depth, two.depth)
        assert torch.equal(before, torch.random.get_rng_state())

    def test_with_a_generator_it_decides_everything(self) -> None:
        one, two = self.render(cameras_around(), seed=5)[0], self.render(cameras_around(), seed=5)[0]
        assert torch.equal(one.image, two.image)

    def test_two_views_equal_each_alone(self) -> None:
        cameras = cameras_around(2)
        both = self.render(cameras, mode="normal")[0]
        for index in (0, 1):
            alone = self.render(view_alone(cameras, index), mode="normal")[0]
            torch.testing.assert_close(both.image[index], alone.image[0], atol=1e-5, rtol=1e-5)

    def test_the_background_is_told_of_groups_of_views(self) -> None:
        renderer, geometry, material, background = self.make(), self.ball(), PlainMaterial(), PlainBackground()
        renderer.update(geometry, 0, torch.Generator().manual_seed(0))
        cameras = replace(cameras_around(4), views_per_group=2)
        seen: list[int] = []
        background.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].views_per_group))
        renderer(
            cameras, geometry, material, background, material.eval_shading(cameras),
            normal=False, generator=torch.Generator().manual_seed(0),
        )  # fmt: skip
        assert seen == [2], "draw the background of all views at once, of `cameras.rays()`"

    def test_gradients_reach_all_that_is_learned(self) -> None:
        rendered, geometry, material, background = self.render(cameras_around(), seed=0)
        rendered.image.square().sum().backward()
        for part in (geometry, material, background):
            grads = {name: p.grad for name, p in as_module(part).named_parameters()}
            given = [grad for grad in grads.values() if grad is not None]
            assert len(given) == len(grads) and all(torch.isfinite(grad).all() for grad in given), grads
            assert any(bool((grad != 0.0).any()) for grad in given), grads

    def test_a_view_of_nothing_is_the_background_with_gradients_of_zero(self) -> None:
        for seed in (None, 0):
            rendered, geometry, _, background = self.render(cameras_away(2), normal=True, seed=seed)
            torch.testing.assert_close(rendered.image, background.color.expand_as(rendered.image))
            assert float(rendered.opacity.detach().abs().max()) == float(rendered.depth.detach().abs().max()) == 0.0
            assert rendered.image.requires_grad and rendered.opacity.requires_grad
            (rendered.image.sum() + rendered.opacity.sum() + rendered.depth.sum()).backward()
            for parameter in as_module(geometry).parameters():
                assert parameter.grad is None or float(parameter.grad.abs().max()) == 0.0

    def test_the_state_survives_saving(self) -> None:
        renderer, geometry, generator = self.make(), self.ball(), torch.Generator().manual_seed(0)
        renderer.update(geometry, 0, generator)
        copy = self.make()
        assert_survives_saving(as_module(renderer), as_module(copy))
        cameras, material, background = cameras_around(), PlainMaterial(), PlainBackground()
        shading = material.eval_shading(cameras)
        pictures = [r(cameras, geometry, material, background, shading).image for r in (renderer, copy)]
        assert torch.equal(*pictures)

    def test_a_resumed_renderer_goes_on_as_the_first_would(self) -> None:
        pictures = []
        for interrupted in (False, True):
            renderer, geometry, generator = self.make(), self.ball(), torch.Generator().manual_seed(0)
            for step in range(4):
                if interrupted and step == 2:
                    renderer, state = self.make(), as_module(renderer).state_dict()
                    as_module(renderer).load_state_dict(state)
                renderer.update(geometry, step, generator)
            material, cameras = PlainMaterial(), cameras_around()
            shading = material.eval_shading(cameras)
            pictures.append(
                renderer(cameras, geometry, material, PlainBackground(), shading, generator=generator).image
            )
        assert torch.equal(*pictures)

    def test_devices_are_taken_from_the_cameras(self) -> None:
        renderer, geometry, material, background = self.make(), self.ball(), PlainMaterial(), PlainBackground()
        cameras, generator = cameras_around(2), torch.Generator().manual_seed(0)

        def use() -> list[Rendered]:
            shading = material.eval_shading(cameras)
            renderer.update(geometry, 0, generator)
            drawn = [
                renderer(cameras, geometry, material, background, shading, normal=True, generator=chosen)
                for chosen in (None, generator)
            ]
            drawn[-1].image.sum().backward()
            return drawn

        assert_devices_are_taken_from_inputs(use)

    def test_half_precision_gives_nearly_the_same(self) -> None:
        if not self.works_in_half:
            pytest.skip("does not work in half precision")
        full = self.render(cameras_around())[0]
        with half_precision():
            half = self.render(cameras_around())[0]
        for name in ("image", "opacity"):
            one, two = getattr(half, name), getattr(full, name)
            assert one.isfinite().all()
            # On average: half-precision directions move the silhouette by a fraction of a pixel.
            assert float((one - two).detach().abs().mean()) < HALF_TOLERANCE
