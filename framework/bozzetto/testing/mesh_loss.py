"""Contract tests of a loss on meshes: subclass `MeshLossContract`, define `make`, run with pytest."""

from __future__ import annotations

import torch

from bozzetto.kinds.geometry import Geometry
from bozzetto.testing.loss import LossContract
from bozzetto.testing.mesh_scenes import BallMesh, draw_plainly
from bozzetto.testing.scenes import cameras_away
from bozzetto.types import Cameras, LossInputs

__all__ = ["MeshLossContract"]


class MeshLossContract(LossContract):
    """`LossContract` on the rendering of a mesh and a geometry with signed distances."""

    def geometry(self) -> Geometry:
        return BallMesh(subdivisions=1)

    def inputs(self, cameras: Cameras, geometry: Geometry | None = None, seed: int = 0) -> LossInputs:
        geometry, generator = self.geometry() if geometry is None else geometry, torch.Generator().manual_seed(seed)
        assert isinstance(geometry, BallMesh), "override `inputs` too where `geometry` gives something else"
        return LossInputs(draw_plainly(geometry, cameras), cameras, geometry, 0, generator)

    def test_it_is_finite_when_no_ray_hits_anything(self) -> None:
        geometry = self.geometry()
        inputs = self.inputs(cameras_away(2), geometry)
        assert float(inputs.rendered.opacity.max()) == 0.0
        value = self.make()(inputs)
        assert value.shape == () and bool(torch.isfinite(value))
        self._check_gradients(value, geometry)
