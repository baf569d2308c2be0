"""Numerical checks shared by the renderers."""

from __future__ import annotations

from torch import Tensor

from bozzetto.errors import NonFiniteError
from bozzetto.readings import require_finite


def check_finite(value: Tensor, kind: str, component: object, what: str) -> None:
    """Raise `NonFiniteError` naming the component if `value` contains NaN or infinity; see `bozzetto.readings`."""
    told, size = f"{kind} {type(component).__name__} gave a {what} that is not finite", value.numel()
    require_finite(value, lambda count: NonFiniteError(f"{told} ({count} of {size} numbers)"))
