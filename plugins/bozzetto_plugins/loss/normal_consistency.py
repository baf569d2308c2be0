"""Normal-consistency loss of meshes."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from bozzetto.math import meshes
from bozzetto.types import LossInputs
from bozzetto_plugins.loss import reads
from bozzetto_plugins.loss.config import NormalConsistencyConfig


class NormalConsistency:
    """Mean of 1 - cos of the angle between normals of adjacent triangles; in [0, 2], 0 for a plane."""

    def __init__(self, config: NormalConsistencyConfig) -> None:
        self.config = config

    def __call__(self, inputs: LossInputs) -> Float[Tensor, ""]:
        """Return the normal consistency of the rendered mesh, a scalar in [0, 2].

        Raises:
            ConfigError: the renderer is not a mesh renderer.
        """
        seen = reads.mesh(inputs, "normal-consistency")
        return meshes.normal_consistency(seen.vertices, seen.faces, seen.closed)
