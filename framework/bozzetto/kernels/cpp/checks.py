"""Index checks of the compiled mesh kernels. Called inside operators, on real tensors."""

from __future__ import annotations

from torch import Tensor


def expect_tri(tri: Tensor, vertices: int, name: str = "tri", lowest: int = 0) -> None:
    """Raise `ValueError` unless all indices are in [lowest, vertices)."""
    low, high = (int(bound) for bound in tri.aminmax()) if len(tri) else (0, -1)
    if low < lowest or high >= vertices:
        raise ValueError(f"{name}: indices must lie in [{lowest}, {vertices}), got {low} to {high}")


def expect_rast(rast: Tensor, triangles: int) -> None:
    """Raise `ValueError` unless all triangle numbers are at most the number of triangles."""
    largest = float(rast[..., 3].max()) if rast.numel() else 0.0
    if not largest <= triangles:
        raise ValueError(f"rast: triangle numbers reach {largest:g}, but tri has {triangles} triangles")
