"""Loss protocol: a scalar term on the rendered views. Its weight is set in the recipe."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from bozzetto.types import LossInputs

__all__ = ["Loss"]


@runtime_checkable
class Loss(Protocol):
    """Loss term. Constructor: `Loss(config)`. Manifest `needs`: `{"normal"}` for normals, `{"volume"}` for samples."""

    def __call__(self, inputs: LossInputs) -> Float[Tensor, ""]:
        """Return the loss value; finite even if no ray hits anything."""
