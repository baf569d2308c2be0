"""Compiled hash encoding: the operators of `bozzetto.kernels.operators.hash_encode` in C++."""

from __future__ import annotations

import ctypes
import functools
from typing import Any

from jaxtyping import Float
from torch import Tensor

from bozzetto.kernels.cpp.native import call
from bozzetto.kernels.grid_spec import GridSpec
from bozzetto.kernels.operators.hash_encode import fake_gather, fake_pull, fake_scatter, hash_operators, spec_of
from bozzetto.kernels.operators.operator import CPP


def hash_encode(points: Float[Tensor, "N 3"], table: Float[Tensor, "P F"], spec: GridSpec) -> Float[Tensor, "N LF"]:
    """Compiled form of `bozzetto.kernels.ref.hash_encode.hash_encode`, up to second derivatives; a transposed view."""
    return OPERATORS.gather(points.t().contiguous(), None, table, spec.text).t()


class Level(ctypes.Structure):
    """`struct Level` of hash_cells.h."""

    _fields_ = (
        ("scale", ctypes.c_float),
        ("resolution", ctypes.c_uint32),
        ("offset", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("hashed", ctypes.c_uint32),
    )


@functools.lru_cache(maxsize=32)
def _grid(text: str) -> tuple[Any, int, int, int]:
    """Return the leading arguments of each kernel: levels, their count, features, whether smoothstep."""
    spec = spec_of(text)
    rows = [Level(row.scale, row.resolution, row.offset, row.size, int(row.hashed)) for row in spec.table]
    return (Level * len(rows))(*rows), len(rows), spec.features, int(spec.interpolation == "smoothstep")


def _run_gather(points: Tensor, tangent: Tensor | None, table: Tensor, grid: str) -> Tensor:
    encoded = fake_gather(points, tangent, table, grid)
    known = (points.contiguous(), _contiguous(tangent), table.contiguous())
    call("hash_gather", *_grid(grid), points.shape[1], *known, encoded)
    return encoded


def _run_scatter(points: Tensor, tangent: Tensor | None, grad: Tensor, also: Tensor | None, grid: str) -> Tensor:
    to_table = fake_scatter(points, tangent, grad, also, grid)
    known = (points.contiguous(), _contiguous(tangent), grad.contiguous(), _contiguous(also))
    call("hash_scatter", *_grid(grid), points.shape[1], *known, to_table)
    return to_table


def _run_pull(points: Tensor, tangent: Tensor | None, table: Tensor, grad: Tensor, grid: str) -> Tensor:
    to_points = fake_pull(points, tangent, table, grad, grid)
    known = (points.contiguous(), _contiguous(tangent), table.contiguous(), grad.contiguous())
    call("hash_pull", *_grid(grid), points.shape[1], *known, to_points)
    return to_points


def _contiguous(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.contiguous()


OPERATORS = hash_operators(CPP, _run_gather, _run_scatter, _run_pull)
