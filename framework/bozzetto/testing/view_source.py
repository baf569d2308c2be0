"""Contract tests of a view source: subclass `ViewSourceContract`, define `make`, run with pytest."""

from __future__ import annotations

import math

import torch

from bozzetto.kinds.view_source import ViewSource
from bozzetto.testing.checks import assert_devices_are_taken_from_inputs
from bozzetto.types import Cameras

__all__ = ["ViewSourceContract"]


class ViewSourceContract:
    """Tests of valid and reproducible cameras that do not use torch's global random state."""

    step = 0
    """Step at which `sample` is tested."""

    def make(self) -> ViewSource:
        """Return a view source to test."""
        raise TypeError(f"{type(self).__name__} must define make()")

    def _sample(self, seed: int) -> Cameras:
        return self.make().sample(self.step, torch.Generator().manual_seed(seed))

    def test_cameras_are_rigid_and_right_handed(self) -> None:
        for cameras in (self._sample(0), self.make().eval_cameras(6, torch.device("cpu"))):
            rotation = cameras.c2w[:, :3, :3]
            identity = torch.eye(3).expand_as(rotation)
            torch.testing.assert_close(rotation @ rotation.mT, identity, atol=1e-5, rtol=0.0)
            torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(len(cameras)), atol=1e-5, rtol=0.0)
            bottom = torch.tensor([0.0, 0.0, 0.0, 1.0]).expand(len(cameras), 4)
            torch.testing.assert_close(cameras.c2w[:, 3], bottom)

    def test_fields_of_view_and_sizes_are_sensible(self) -> None:
        for cameras in (self._sample(0), self.make().eval_cameras(6, torch.device("cpu"))):
            assert cameras.fov_y_rad.shape == (len(cameras),)
            assert bool(((cameras.fov_y_rad > 0.0) & (cameras.fov_y_rad < math.pi)).all())
            assert cameras.height >= 1 and cameras.width >= 1 and len(cameras) >= 1

    def test_groups_are_declared_and_share_a_field_of_view(self) -> None:
        source = self.make()
        cameras = source.sample(self.step, torch.Generator().manual_seed(0))
        declared = getattr(getattr(source, "config", None), "views_per_group", 1)
        assert cameras.views_per_group == declared, "the config must say views_per_group, and the cameras the same"
        groups = cameras.fov_y_rad.unflatten(0, (-1, cameras.views_per_group))
        assert torch.equal(groups, groups[:, :1].expand_as(groups)), "a group is of one field of view"
        assert source.eval_cameras(3, torch.device("cpu")).views_per_group == 1

    def test_the_generator_decides_everything(self) -> None:
        first, again, other = self._sample(3), self._sample(3), self._sample(4)
        torch.testing.assert_close(first.c2w, again.c2w, atol=0.0, rtol=0.0)
        torch.testing.assert_close(first.fov_y_rad, again.fov_y_rad, atol=0.0, rtol=0.0)
        assert first.c2w.shape != other.c2w.shape or not torch.equal(first.c2w, other.c2w)

    def test_the_global_random_state_is_left_alone(self) -> None:
        before = torch.random.get_rng_state()
        self._sample(0)
        self.make().eval_cameras(4, torch.device("cpu"))
        assert torch.equal(before, torch.random.get_rng_state())

    def test_eval_cameras_go_around_evenly_from_the_front(self) -> None:
        for count in (1, 4, 7):
            cameras = self.make().eval_cameras(count, torch.device("cpu"))
            expected = 360.0 / count * torch.arange(count)
            difference = (cameras.azimuth_deg - expected + 180.0) % 360.0 - 180.0
            torch.testing.assert_close(difference, torch.zeros(count), atol=1e-3, rtol=0.0)

    def test_eval_cameras_are_the_same_every_time(self) -> None:
        source = self.make()
        first = source.eval_cameras(5, torch.device("cpu"))
        source.sample(self.step, torch.Generator().manual_seed(0))
        torch.testing.assert_close(first.c2w, source.eval_cameras(5, torch.device("cpu")).c2w, atol=0.0, rtol=0.0)

    def test_a_resumed_source_goes_on_as_the_first_would(self) -> None:
        """A view source saves nothing, so its cameras depend on step and generator only."""
        source, generator = self.make(), torch.Generator().manual_seed(5)
        for step in range(3):
            unbroken = source.sample(self.step + step, generator)
        fresh = torch.Generator().manual_seed(5)
        for step in range(3):
            resumed = self.make().sample(self.step + step, fresh)
        same = torch.equal(unbroken.c2w, resumed.c2w) and torch.equal(unbroken.fov_y_rad, resumed.fov_y_rad)
        assert same, "a new source draws other cameras than one that has drawn before: it remembers something"

    def test_devices_are_taken_from_the_generator(self) -> None:
        source, generator = self.make(), torch.Generator().manual_seed(0)
        cpu = torch.device("cpu")
        assert_devices_are_taken_from_inputs(lambda: [source.sample(self.step, generator), source.eval_cameras(4, cpu)])
