"""Compute kernels: pure functions of tensors, differentiable where meaningful. Import kernels from this module only.

Each kernel has a torch reference (`kernels/ref`, any device and float type). `backend="auto"` selects the compiled C++
kernel for float32 tensors in main memory if the library is built; for those on a GPU the Warp kernel (`kernels/warp`)
if Warp is installed, or the package that `bozzetto.kernels.settings` names (`kernels/cuda`); else the torch reference.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bozzetto.kernels.backend import Backend, compiled, expect
from bozzetto.kernels.cpp.composite import composite as _composite_cpp
from bozzetto.kernels.cpp.hash_encode import hash_encode as _hash_encode_cpp
from bozzetto.kernels.cpp.hash_field import hash_field as _hash_field_cpp
from bozzetto.kernels.cpp.march import march as _march_cpp
from bozzetto.kernels.cpp.mlp import mlp as _mlp_cpp
from bozzetto.kernels.cpp.mlp import takes as _mlp_cpp_takes
from bozzetto.kernels.cuda.packages import choose
from bozzetto.kernels.first_order import in_chunks
from bozzetto.kernels.grid_spec import GridSpec
from bozzetto.kernels.mesh import (
    BoundaryMode,
    FilterMode,
    antialias,
    interpolate,
    mipmaps,
    rasterize,
    texture,
    topology,
)
from bozzetto.kernels.ref.hash_encode import hash_encode as _hash_encode_torch
from bozzetto.kernels.ref.hash_field import SlopedField
from bozzetto.kernels.ref.hash_field import hash_field as _hash_field_torch
from bozzetto.kernels.ref.march import BoundedIntervals, Intervals
from bozzetto.kernels.ref.march import march as _march_torch
from bozzetto.kernels.ref.march import march_within as _march_within_torch
from bozzetto.kernels.ref.mlp import Activation
from bozzetto.kernels.ref.mlp import mlp as _mlp_torch
from bozzetto.math.compositing import Composited
from bozzetto.math.compositing import composite as _composite_torch

__all__ = [
    "Activation",
    "Backend",
    "BoundaryMode",
    "BoundedIntervals",
    "Composited",
    "FilterMode",
    "GridSpec",
    "Intervals",
    "SlopedField",
    "antialias",
    "composite",
    "hash_encode",
    "hash_field",
    "interpolate",
    "march",
    "march_within",
    "mipmaps",
    "mlp",
    "rasterize",
    "texture",
    "topology",
]


def hash_encode(
    points: Float[Tensor, "N 3"], table: Float[Tensor, "P F"], spec: GridSpec, *, backend: Backend = "auto"
) -> Float[Tensor, "N LF"]:
    """Encode points in the unit cube with a hash grid; LF is `spec.feature_count`, coarsest level first.

    Twice differentiable in table and points (the torch reference: any number of times). Points outside [0, 1] are
    clamped and get no gradient. N may be 0. The result may be a transposed view of a contiguous "LF N".

    Raises:
        ValueError: a shape is wrong; the table must be `(spec.entry_count, spec.features)`.
    """
    expect("points", points, (points.shape[0], 3))
    expect("table", table, (spec.entry_count, spec.features))
    slow = choose(backend, "hash_encode", _hash_encode_torch, points, table)
    encode = _hash_encode_cpp if compiled(backend, points, table) else slow
    return encode(points, table, spec)


def mlp(
    x: Float[Tensor, "N I"],
    weights: Sequence[Float[Tensor, "_ _"]],
    biases: Sequence[Float[Tensor, "_"]] | None = None,
    activation: Activation = "relu",
    compute_dtype: torch.dtype = torch.float32,
    *,
    backend: Backend = "auto",
) -> Float[Tensor, "N O"]:
    """Evaluate a small fully connected network (`bozzetto.kernels.ref.mlp.mlp`).

    The compiled kernel supports float32 ReLU layers without biases, up to 128 wide; all others use torch matrix
    products. The compiled kernel's gradient with respect to x is differentiable once more, the torch reference any
    number of times.

    Raises:
        ValueError: no weights, wrong number of biases, or incompatible shapes of consecutive layers.
    """
    _expect_chain(weights, x.shape[1])
    slow = choose(backend, "mlp", _mlp_torch, x, *weights)
    if _mlp_cpp_takes(weights, biases, activation, compute_dtype) and compiled(backend, x, *weights):
        return _mlp_cpp(x, weights)
    return slow(x, weights, biases, activation, compute_dtype)


def hash_field(
    points: Float[Tensor, "N 3"],
    table: Float[Tensor, "P F"],
    spec: GridSpec,
    weights: Sequence[Float[Tensor, "_ _"]],
    *,
    backend: Backend = "auto",
) -> SlopedField:
    """Evaluate a scalar ReLU network on a hash encoding: value, encoding, and gradient with respect to the points.

    Equivalent to `hash_encode`, `mlp` and their gradient with respect to the points, in half the time. Differentiable
    in table and weights; the points are treated as constants.

    Raises:
        ValueError: a shape is wrong, or the network does not have one output.
    """
    expect("points", points, (points.shape[0], 3))
    expect("table", table, (spec.entry_count, spec.features))
    _expect_chain(weights, spec.feature_count)
    if len(weights) == 0 or len(weights[-1]) != 1:
        raise ValueError("weights: the last layer must have one output")
    if _mlp_cpp_takes(weights, None, "relu", torch.float32) and compiled(backend, points, table, *weights):
        return _hash_field_cpp(points, table, spec, weights)

    def composed(points: Tensor, table: Tensor, spec: GridSpec, weights: Sequence[Tensor]) -> SlopedField:
        def field(points: Tensor, table: Tensor, *weights: Tensor) -> SlopedField:
            return _hash_field_torch(
                points,
                lambda at: hash_encode(at, table, spec, backend=backend),
                lambda encoded: mlp(encoded, weights, compute_dtype=encoded.dtype, backend=backend),
            )

        return SlopedField(*in_chunks(field, points.detach(), table, *weights))

    run = choose(backend, "hash_field", composed, points, table, *weights)
    return run(points, table, spec, weights)


def _expect_chain(weights: Sequence[Tensor], width: int) -> None:
    """Raise `ValueError` unless the input width of each layer is the output width of the previous one."""
    for number, weight in enumerate(weights):
        expect(f"weights[{number}]", weight, (weight.shape[0], width))
        width = weight.shape[0]


def march(
    origin: Float[Tensor, "R 3"],
    direction: Float[Tensor, "R 3"],
    radius: float,
    occupancy: Bool[Tensor, "G G G"],
    step_size: float,
    max_steps: int,
    jitter: Float[Tensor, "R"] | None = None,
    *,
    backend: Backend = "auto",
) -> Intervals:
    """March each ray through the cube [-radius, radius]^3 in steps; keep those whose midpoint is in an occupied cell.

    Midpoints are at `entry + (k + jitter) * step_size`, k = 0, 1, ... below `max_steps`, as long as they are before the
    exit; each interval extends half a step to both sides. The entry is at least 0, so nothing behind the origin is
    sampled. `jitter` is in [0, 1), one per ray; None means 0.5, so that the first interval starts at the entry.
    `occupancy` is indexed x, y, z. `direction` has unit length. Not differentiable. The number of intervals S may be 0.

    Raises:
        ValueError: a shape is wrong, or radius, step_size or max_steps is not positive.
    """
    _expect_march(origin, direction, radius, occupancy, step_size, max_steps, jitter)
    origin, direction = origin.detach(), direction.detach()
    jitter = None if jitter is None else jitter.detach()
    floats = [origin, direction, *([] if jitter is None else [jitter])]
    slow = choose(backend, "march", _march_torch, *floats, occupancy)
    walk = _march_cpp if occupancy.is_cpu and compiled(backend, *floats) else slow
    return walk(origin, direction, radius, occupancy, step_size, max_steps, jitter)


def march_within(
    bound: int,
    origin: Float[Tensor, "R 3"],
    direction: Float[Tensor, "R 3"],
    radius: float,
    occupancy: Bool[Tensor, "G G G"],
    step_size: float,
    max_steps: int,
    jitter: Float[Tensor, "R"] | None = None,
    *,
    backend: Backend = "auto",
) -> BoundedIntervals:
    """March as `march`, into buffers of `bound` intervals; with Warp's kernel, without waiting for the device.

    The number of intervals is on the device, and so is whether `bound` was enough. `composite` gives the rows that
    belong to no ray a weight of 0, and no gradient.

    Raises:
        ValueError: as `march`, or `bound` is negative.
    """
    if bound < 0:
        raise ValueError(f"bound: must not be negative, got {bound}")
    _expect_march(origin, direction, radius, occupancy, step_size, max_steps, jitter)
    origin, direction = origin.detach(), direction.detach()
    jitter = None if jitter is None else jitter.detach()
    floats = [origin, direction, *([] if jitter is None else [jitter])]
    walk = choose(backend, "march_within", _march_within_torch, *floats, occupancy)
    return walk(bound, origin, direction, radius, occupancy, step_size, max_steps, jitter)


def _expect_march(
    origin: Tensor, direction: Tensor, radius: float, occupancy: Tensor, step_size: float, max_steps: int,
    jitter: Tensor | None,
) -> None:  # fmt: skip
    rays = origin.shape[0]
    expect("origin", origin, (rays, 3))
    expect("direction", direction, (rays, 3))
    expect("occupancy", occupancy, (occupancy.shape[0],) * 3)
    for name, value in (("radius", radius), ("step_size", step_size), ("max_steps", max_steps)):
        if not value > 0:
            raise ValueError(f"{name}: must be positive, got {value}")
    if jitter is not None:
        expect("jitter", jitter, (rays,))


def composite(
    density: Float[Tensor, "S"],
    t_start: Float[Tensor, "S"],
    t_end: Float[Tensor, "S"],
    values: Float[Tensor, "S C"],
    offsets: Int[Tensor, "R1"],
    *,
    backend: Backend = "auto",
) -> Composited:
    """Composite packed samples front to back (`bozzetto.math.compositing.composite`): weights and sums per ray.

    `offsets` are the R + 1 row numbers at which rays start and the last one ends; Warp's kernel also takes rows behind
    it, as `march_within` leaves them, which have weight 0. Density is non-negative, per world
    unit. Differentiable in density and values; distances are treated as constants. S and R may be 0.

    Raises:
        ValueError: a shape is wrong, or the offsets do not increase from 0 to S (checked where it needs no transfer).
    """
    samples = density.shape[0]
    for name, tensor in (("density", density), ("t_start", t_start), ("t_end", t_end)):
        expect(name, tensor, (samples,))
    expect("values", values, (samples, *values.shape[1:2]))
    floats = (density, t_start.detach(), t_end.detach(), values)
    slow = choose(backend, "composite", _composite_torch, *floats, offsets)
    run = _composite_cpp if offsets.is_cpu and compiled(backend, *floats) else slow
    return run(*floats, offsets)
