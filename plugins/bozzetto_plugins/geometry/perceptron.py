"""Small MLP that decodes a hash grid."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bozzetto.kernels.api import mlp


class Perceptron(nn.Module):
    """MLP with ReLU and without biases, as in Instant NGP; an empty batch gives an empty output.

    Weights are initialised Xavier-uniform, as in tiny-cuda-nn. `compute_dtype` is that of the hidden layers.
    """

    def __init__(self, widths: Sequence[int], compute_dtype: torch.dtype) -> None:
        super().__init__()
        shapes = zip(widths[1:], widths[:-1], strict=True)
        self.weights = nn.ParameterList(nn.init.xavier_uniform_(torch.empty(shape)) for shape in shapes)
        self.compute_dtype = compute_dtype

    def forward(self, x: Float[Tensor, "S I"]) -> Float[Tensor, "S O"]:
        """Apply the network; an input narrower than the first layer is padded with zeros."""
        return mlp(x, self.weights_for(x.shape[1]), compute_dtype=self.compute_dtype)

    def weights_for(self, width: int) -> list[Tensor]:
        """Return the layers' weights, "out in", for an input of this width, without the columns of missing inputs."""
        first, *rest = self.weights
        return [first[:, :width], *rest]
