"""Laplacian smoothness loss of meshes."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from bozzetto.math import meshes
from bozzetto.types import LossInputs
from bozzetto_plugins.loss import reads
from bozzetto_plugins.loss.config import LaplacianSmoothnessConfig


class LaplacianSmoothness:
    """Mean squared distance of vertices to the mean of their neighbours, over the mean squared edge; dimensionless."""

    def __init__(self, config: LaplacianSmoothnessConfig) -> None:
        self.config = config

    def __call__(self, inputs: LossInputs) -> Float[Tensor, ""]:
        """Return the Laplacian smoothness of the rendered mesh, a dimensionless scalar.

        Raises:
            ConfigError: the renderer is not a mesh renderer.
        """
        seen = reads.mesh(inputs, "laplacian-smoothness")
        return meshes.laplacian_smoothness(seen.vertices, seen.faces, seen.closed)
