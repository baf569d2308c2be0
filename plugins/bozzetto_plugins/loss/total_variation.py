"""Total-variation loss of grid parameters."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from bozzetto.kinds.geometry import Geometry
from bozzetto.types import LossInputs
from bozzetto_plugins.loss.config import TotalVariationConfig


class TotalVariation:
    """Total variation of the geometry's grid; 0 for a geometry without one."""

    def __init__(self, config: TotalVariationConfig) -> None:
        self.config = config

    def __call__(self, inputs: LossInputs) -> Float[Tensor, ""]:
        """Return the total variation of the grid, a non-negative scalar."""
        geometry: Geometry = inputs.geometry
        return geometry.total_variation()
