"""Numerical checks shared by the renderers."""

from __future__ import annotations

import torch
from torch import Tensor

from bozzetto.errors import NonFiniteError


def check_finite(value: Tensor, kind: str, component: object, what: str) -> None:
    """Raise `NonFiniteError` naming the component if `value` contains NaN or infinity."""
    if not torch.isfinite(value).all():
        count = int((~torch.isfinite(value)).sum())
        raise NonFiniteError(
            f"{kind} {type(component).__name__} gave a {what} that is not finite ({count} of {value.numel()} numbers)"
        )
