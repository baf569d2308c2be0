"""Hash encoding and small networks with tiny-cuda-nn (the Python module `tinycudann`).

Tables and weights remain arguments, packed into the order of tinycudann's parameter vector at each call, so that
checkpoints are portable between machines.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.func import functional_call
from torch.nn import functional

from bozzetto.kernels.cuda.packages import package
from bozzetto.kernels.first_order import first_order
from bozzetto.kernels.grid_spec import GridSpec
from bozzetto.kernels.ref import hash_encode as hash_reference
from bozzetto.kernels.ref import mlp as mlp_reference
from bozzetto.kernels.ref.mlp import Activation

log = logging.getLogger(__name__)

FUSED_WIDTHS = (16, 32, 64, 128)
"""Hidden widths supported by FullyFusedMLP."""

ALIGNMENT = 16
"""FullyFusedMLP pads its input (with ones) and its output to a multiple of this."""

PROBES = 512
"""Points at which a new encoding is compared with the torch reference."""


def hash_encode(points: Float[Tensor, "N 3"], table: Float[Tensor, "P F"], spec: GridSpec) -> Float[Tensor, "N LF"]:
    """Form of `bozzetto.kernels.ref.hash_encode.hash_encode` with tiny-cuda-nn, in float32.

    Second derivatives are supported through the gradient to the points, as normals need. tinycudann has none through
    the gradient to the table: requesting one raises `RuntimeError`; `backend="torch"` supports it. The torch reference
    is also used if tinycudann's table layout differs from `GridSpec` (checked once per grid), for types other than
    float32, and without points.
    """
    usable = len(points) > 0 and points.dtype == table.dtype == torch.float32
    encoding = _encoding(spec) if usable else None
    if encoding is None:
        return hash_reference.hash_encode(points, table, spec)
    once: Callable[[Tensor], Tensor] = _DifferentiableOnce.apply  # not annotated in torch
    parameters = {"params": pack_table(once(table))}
    encoded: Tensor = functional_call(encoding, parameters, (points.clamp(0.0, 1.0),))
    return encoded[:, : spec.feature_count]


def mlp(
    x: Float[Tensor, "N I"],
    weights: Sequence[Float[Tensor, "_ _"]],
    biases: Sequence[Float[Tensor, "_"]] | None = None,
    activation: Activation = "relu",
    compute_dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "N O"]:
    """Form of `bozzetto.kernels.ref.mlp.mlp` with tiny-cuda-nn.

    All layers are in float16 for either 16-bit `compute_dtype`. tinycudann's FullyFusedMLP has no biases, one hidden
    width of `FUSED_WIDTHS`, and no second derivatives. These, and float32 or activations other than relu, use the torch
    reference.
    """

    def reference(x: Tensor, *weights: Tensor) -> tuple[Tensor]:
        return (mlp_reference.mlp(x, weights, biases, activation, compute_dtype),)

    shapes = tuple((weight.shape[0], weight.shape[1]) for weight in weights)
    suits = biases is None and activation == "relu" and compute_dtype in (torch.float16, torch.bfloat16)
    network = _network(shapes) if suits and len(x) > 0 and _fusable(shapes) else None
    if network is None:
        return reference(x, *weights)[0]
    fusing = network

    def fused(x: Tensor, *weights: Tensor) -> tuple[Tensor]:
        return (functional_call(fusing, {"params": pack_weights(weights)}, (x,)).to(weights[-1].dtype),)

    return first_order(fused, reference, x, *weights)[0]


def pack_table(table: Float[Tensor, "P F"]) -> Float[Tensor, "PF"]:
    """Pack a table into tinycudann's parameter vector: coarse to fine, `GridSpec`'s order, features innermost."""
    return table.reshape(-1)


def unpack_table(parameters: Float[Tensor, "PF"], spec: GridSpec) -> Float[Tensor, "P F"]:
    """Unpack tinycudann's parameter vector; inverse of `pack_table`."""
    return parameters.view(spec.entry_count, spec.features)


def pack_weights(weights: Sequence[Float[Tensor, "_ _"]]) -> Float[Tensor, "Q"]:
    """Pack weights into FullyFusedMLP's parameter vector: layers in order, "out in", inputs and outputs zero-padded."""
    first, *hidden, last = weights
    padded_in = functional.pad(first, (0, -first.shape[1] % ALIGNMENT))
    padded_out = functional.pad(last, (0, 0, 0, -last.shape[0] % ALIGNMENT))
    return torch.cat([weight.reshape(-1) for weight in (padded_in, *hidden, padded_out)])


def unpack_weights(parameters: Float[Tensor, "Q"], shapes: Sequence[tuple[int, int]]) -> list[Float[Tensor, "_ _"]]:
    """Unpack FullyFusedMLP's parameter vector into weights of these shapes; inverse of `pack_weights`."""
    padded = [list(shape) for shape in shapes]
    padded[0][1] += -padded[0][1] % ALIGNMENT
    padded[-1][0] += -padded[-1][0] % ALIGNMENT
    parts = parameters.split([rows * columns for rows, columns in padded])
    return [
        part.view(rows, columns)[: shape[0], : shape[1]]
        for part, (rows, columns), shape in zip(parts, padded, shapes, strict=True)
    ]


class _DifferentiableOnce(Function):
    """Identity that forbids second derivatives, which tinycudann would silently return as zero."""

    @staticmethod
    def forward(ctx: Any, table: Tensor) -> Tensor:
        return table.view_as(table)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad


@functools.lru_cache(maxsize=64)
def _encoding(spec: GridSpec) -> nn.Module | None:
    """Return tinycudann's module for a grid, without own parameters; None if its table layout differs."""
    config = {
        "otype": "Grid",
        "type": "Hash",
        "n_levels": spec.levels,
        "n_features_per_level": spec.features,
        "log2_hashmap_size": spec.log2_table_size,
        "base_resolution": spec.base_resolution,
        "per_level_scale": spec.growth,
        "interpolation": {"linear": "Linear", "smoothstep": "Smoothstep"}[spec.interpolation],
    }
    encoding = package("tinycudann").Encoding(n_input_dims=3, encoding_config=config, dtype=torch.float32)
    if not _agrees(encoding, spec):
        log.warning("tinycudann lays this grid out otherwise than bozzetto; it runs as torch operations: %s", spec)
        return None
    return _without_parameters(encoding)


@torch.no_grad()
def _agrees(encoding: nn.Module, spec: GridSpec) -> bool:
    """Return whether tinycudann and the reference agree on random points.

    tinycudann computes scales in float32 throughout, so that a level with an integer resolution may be one larger
    there. The tolerance 0.01 is far above the rounding of either and far below the effect of one wrong row.
    """
    parameters = encoding.get_parameter("params")
    if parameters.numel() != spec.entry_count * spec.features:
        return False
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(PROBES, 3, generator=generator).to(parameters.device)
    table = torch.rand(spec.entry_count, spec.features, generator=generator).to(parameters.device)
    found = functional_call(encoding, {"params": pack_table(table)}, (points,))[:, : spec.feature_count]
    return bool((found - hash_reference.hash_encode(points, table, spec)).abs().max() < 1e-2)


@functools.lru_cache(maxsize=64)
def _network(shapes: tuple[tuple[int, int], ...]) -> nn.Module | None:
    """Return tinycudann's module for weights of these shapes; None if its padding differs (GPUs before Turing)."""
    config = {
        "otype": "FullyFusedMLP",
        "activation": "ReLU",
        "output_activation": "None",
        "n_neurons": shapes[0][0],
        "n_hidden_layers": len(shapes) - 1,
    }
    network: nn.Module = package("tinycudann").Network(
        n_input_dims=shapes[0][1], n_output_dims=shapes[-1][0], network_config=config
    )
    expected = pack_weights([torch.empty(shape) for shape in shapes]).numel()
    return _without_parameters(network) if network.get_parameter("params").numel() == expected else None


def _fusable(shapes: Sequence[tuple[int, int]]) -> bool:
    width = shapes[0][0]
    return len(shapes) > 1 and width in FUSED_WIDTHS and all(shape == (width, width) for shape in shapes[1:-1])


def _without_parameters(module: nn.Module) -> nn.Module:
    """Free the module's own parameters; they are replaced at each call."""
    module.params = nn.Parameter(module.get_parameter("params").new_empty(0), requires_grad=False)
    return module
