"""Contract tests of a loss on meshes: subclass `MeshLossContract`, define `make`, run with pytest."""

from __future__ import annotations

import torch
from torch import nn

from bozzetto.testing.loss import LossContract
from bozzetto.testing.mesh_scenes import BallMesh, draw_plainly
from bozzetto.testing.scenes import cameras_away
from bozzetto.types import Cameras, LossInputs


class MeshLossContract(LossContract):
    """`LossContract` on the rendering of a mesh and a geometry with signed distances."""

    def geometry(self) -> nn.Module:
        return BallMesh(subdivisions=1)

    def inputs(self, cameras: Cameras, geometry: nn.Module | None = None, seed: int = 0) -> LossInputs:
        geometry, generator = geometry or self.geometry(), torch.Generator().manual_seed(seed)
        return LossInputs(draw_plainly(geometry, cameras), cameras, geometry, 0, generator)

    def test_it_is_finite_when_no_ray_hits_anything(self) -> None:
        geometry = self.geometry()
        inputs = self.inputs(cameras_away(2), geometry)
        assert float(inputs.rendered.opacity.max()) == 0.0
        value = self.make()(inputs)
        assert value.shape == () and bool(torch.isfinite(value))
        self._check_gradients(value, geometry)
