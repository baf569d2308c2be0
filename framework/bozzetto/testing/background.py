"""Contract tests of a background: subclass `BackgroundContract`, define `make`, run with pytest."""

from __future__ import annotations

import pytest
import torch

from bozzetto.kinds.background import Background
from bozzetto.testing.checks import (
    as_module,
    assert_close_in_half,
    assert_declared_parameters_are_the_real_ones,
    assert_devices_are_taken_from_inputs,
    assert_every_parameter_learns,
    assert_survives_saving,
    half_precision,
)
from bozzetto.testing.scenes import cameras_around, view_alone
from bozzetto.types import Rays

__all__ = ["BackgroundContract"]


class BackgroundContract:
    """Tests of RGB values per ray, determinism in evaluation, and randomness from the generator only."""

    works_in_half = True
    """Set to False if half-precision matrix products change the result too much."""

    def make(self) -> Background:
        """Return a background to test."""
        raise AssertionError(f"{type(self).__name__} must define make()")

    def test_the_config_declares_the_parameters(self) -> None:
        assert_declared_parameters_are_the_real_ones(as_module(self.make()))

    def test_colors_are_in_range(self) -> None:
        background, rays = self.make(), cameras_around(2, size=4).rays()
        for generator in (None, *(torch.Generator().manual_seed(seed) for seed in range(8))):
            color = background(rays, generator)
            assert color.shape == (32, 3)
            assert bool(((color >= 0.0) & (color <= 1.0)).all())

    def test_pictures_for_people_are_deterministic_and_alike_alone_and_in_a_batch(self) -> None:
        background, cameras = self.make(), cameras_around(2, size=4)
        both = background(cameras.rays(), None)
        assert torch.equal(both, background(cameras.rays(), None))
        torch.testing.assert_close(both[16:], background(view_alone(cameras, 1).rays(), None))

    def test_the_generator_decides_everything(self) -> None:
        background, rays, before = self.make(), cameras_around(2, size=4).rays(), torch.random.get_rng_state()
        for seed in range(4):
            one, two = (background(rays, torch.Generator().manual_seed(seed)) for _ in range(2))
            assert torch.equal(one, two)
        assert torch.equal(before, torch.random.get_rng_state())

    def test_a_group_of_views_has_one_background(self) -> None:
        """Two groups of two views with the same rays: their colours differ between groups at most."""
        background, rays = self.make(), cameras_around(1, size=4).rays()
        origin, direction = rays.origin.repeat(4, 1), rays.direction.repeat(4, 1)
        both = Rays(origin, direction, (4, 4, 4), views_per_group=2)
        for seed in range(8):
            color = background(both, torch.Generator().manual_seed(seed)).view(4, 16, 3)
            assert torch.equal(color[0::2], color[1::2]), "use bozzetto.math.view_draws.draw_groups"

    def test_every_parameter_gets_a_finite_gradient(self) -> None:
        background, rays = self.make(), cameras_around(2, size=4).rays()
        if list(as_module(background).parameters()):
            background(rays, None).square().sum().backward()
            assert_every_parameter_learns(as_module(background))

    def test_the_state_survives_saving(self) -> None:
        assert_survives_saving(as_module(self.make()), as_module(self.make()))

    def test_devices_are_taken_from_the_inputs(self) -> None:
        background, rays, generator = self.make(), cameras_around(2, size=4).rays(), torch.Generator().manual_seed(0)
        assert_devices_are_taken_from_inputs(lambda: [background(rays, None), background(rays, generator)])

    def test_half_precision_gives_nearly_the_same(self) -> None:
        if not self.works_in_half:
            pytest.skip("does not work in half precision")
        background, rays = self.make(), cameras_around(2, size=4).rays()
        full = background(rays, None)
        with half_precision():
            assert_close_in_half(background(rays, None), full)
