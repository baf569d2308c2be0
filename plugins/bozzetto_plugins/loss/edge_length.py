"""Edge-length loss of meshes."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from bozzetto.math import meshes
from bozzetto.types import LossInputs
from bozzetto_plugins.loss import reads
from bozzetto_plugins.loss.config import EdgeLengthConfig


class EdgeLength:
    """Mean squared edge length divided by the squared scene radius; independent of the scene's scale."""

    def __init__(self, config: EdgeLengthConfig) -> None:
        self.config = config

    def __call__(self, inputs: LossInputs) -> Float[Tensor, ""]:
        """Return the relative mean squared edge length of the rendered mesh, a dimensionless scalar.

        Raises:
            ConfigError: the renderer is not a mesh renderer.
        """
        seen = reads.mesh(inputs, "edge-length")
        radius: float = inputs.geometry.radius
        return meshes.mean_squared_edge(seen.vertices, seen.faces, seen.closed) / radius**2
