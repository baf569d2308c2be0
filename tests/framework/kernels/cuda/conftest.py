"""Stand-ins for tinycudann and nerfacc 0.5.3 with the real signatures, computing with torch.

Each test that takes `device` runs twice: on the CPU with the stand-ins, and on a GPU, marked `gpu`, with the real
packages. The stand-in for nvdiffrast is in test_nv_diff_rast.py.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional

from bozzetto.kernels.cuda import packages, tiny_cuda_nn
from bozzetto.kernels.settings import KernelSettings, using


@pytest.fixture(params=["stand-in", pytest.param("real", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    """Return the device for tensors, with the packages or their stand-ins installed."""
    forget()
    with using(KernelSettings(("tinycudann", "nerfacc", "nvdiffrast"))):
        if request.param == "real":
            if not torch.cuda.is_available():
                pytest.skip("needs a CUDA device")
            yield torch.device("cuda")
        else:
            monkeypatch.setitem(sys.modules, "tinycudann", fake_tinycudann())
            for name, module in fake_nerfacc().items():
                monkeypatch.setitem(sys.modules, name, module)
            monkeypatch.setattr(packages, "on_cuda", lambda *tensors: True)
            yield torch.device("cpu")
    forget()


@pytest.fixture
def tinycudann(device: torch.device) -> ModuleType:
    return packages.load("tinycudann") or pytest.skip("tinycudann is not installed")


@pytest.fixture
def nerfacc(device: torch.device) -> ModuleType:
    return packages.load("nerfacc") or pytest.skip("nerfacc is not installed")


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Return `recorded(module, *names)`: a list to which each call of these functions adds its name."""

    def record(module: ModuleType, *names: str) -> list[str]:
        called: list[str] = []
        for name in names:
            run = getattr(module, name)
            monkeypatch.setattr(module, name, lambda *a, run=run, name=name, **k: called.append(name) or run(*a, **k))
        return called

    return record


def forget() -> None:
    """Clear the cache of installed packages."""
    for cached in (packages.load, tiny_cuda_nn._encoding, tiny_cuda_nn._network):
        cached.cache_clear()


def fake_tinycudann() -> ModuleType:
    module = ModuleType("tinycudann")
    module.Encoding, module.Network = Encoding, Network
    return module


class Encoding(nn.Module):
    """Stand-in for `tinycudann.Encoding`, for three-dimensional hash grids in float32, after encodings/grid.h."""

    def __init__(self, n_input_dims: int, encoding_config: dict[str, Any], seed: int = 1337, dtype: Any = None) -> None:
        super().__init__()
        assert n_input_dims == 3 and dtype == torch.float32
        assert encoding_config["otype"] == "Grid" and encoding_config["type"] == "Hash"
        self.features, self.smooth = encoding_config["n_features_per_level"], encoding_config["interpolation"]
        self.scales = [
            encoding_config["base_resolution"] * encoding_config["per_level_scale"] ** level - 1.0
            for level in range(encoding_config["n_levels"])
        ]
        self.sides = [math.ceil(scale) + 1 for scale in self.scales]
        most = 1 << encoding_config["log2_hashmap_size"]
        self.sizes = [min(-(-(side**3) // 8) * 8, most) for side in self.sides]
        self.params = nn.Parameter(torch.zeros(sum(self.sizes) * self.features))
        self.n_output_dims = len(self.sizes) * self.features

    def forward(self, x: Tensor) -> Tensor:
        assert x.amin() >= 0 and x.amax() <= 1, "tinycudann does not clamp"
        tables = self.params.view(-1, self.features).split(self.sizes)
        levels = zip(self.scales, self.sides, tables, strict=True)
        return torch.cat([sum(self.corners(x * scale + 0.5, side, table)) for scale, side, table in levels], dim=1)

    def corners(self, place: Tensor, side: int, table: Tensor) -> Iterator[Tensor]:
        """Yield the weighted entry of each corner of the cells around `place`, in cells of one level."""
        cell = place.detach().floor()
        share = place - cell
        share = {"Linear": share, "Smoothstep": share * share * (3.0 - 2.0 * share)}[self.smooth]
        for corner in itertools.product((0, 1), repeat=3):
            x, y, z = (cell.long() + torch.tensor(corner)).unbind(1)
            row = x + side * y + side**2 * z if side**3 <= len(table) else x ^ (y * 2654435761) ^ (z * 805459861)
            weight = torch.stack([share[:, i] if bit else 1.0 - share[:, i] for i, bit in enumerate(corner)]).prod(0)
            yield weight[:, None] * table[row % len(table)]


class Network(nn.Module):
    """Stand-in for `tinycudann.Network` with FullyFusedMLP: float16, padded with ones, no second derivatives."""

    def __init__(self, n_input_dims: int, n_output_dims: int, network_config: dict[str, Any], seed: int = 1337) -> None:
        super().__init__()
        assert network_config["otype"] == "FullyFusedMLP" and network_config["activation"] == "ReLU"
        assert network_config["n_neurons"] in (16, 32, 64, 128) and network_config["output_activation"] == "None"
        width, layers = network_config["n_neurons"], network_config["n_hidden_layers"]
        self.n_output_dims = n_output_dims
        ends = [(width, -(-n_input_dims // 16) * 16), (-(-n_output_dims // 16) * 16, width)]
        self.shapes = [ends[0], *[(width, width)] * (layers - 1), ends[1]]
        self.params = nn.Parameter(torch.zeros(sum(rows * columns for rows, columns in self.shapes)))

    def forward(self, x: Tensor) -> Tensor:
        parts = self.params.half().split([rows * columns for rows, columns in self.shapes])
        weights = [part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)]
        hidden = functional.pad(x.half(), (0, self.shapes[0][1] - x.shape[1]), value=1.0)
        for weight in weights[:-1]:
            hidden = torch.relu(hidden @ weight.t())
        return Once.apply(hidden @ weights[-1].t())[:, : self.n_output_dims]


class Once(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad


@dataclass
class RaySegments:
    """Stand-in for `nerfacc.RayIntervals` and `nerfacc.RaySamples`, with their fields."""

    vals: Tensor
    packed_info: Tensor | None = None
    ray_indices: Tensor | None = None
    is_left: Tensor | None = None
    is_right: Tensor | None = None
    is_valid: Tensor | None = None


def fake_nerfacc() -> dict[str, ModuleType]:
    names = ("nerfacc", "nerfacc.cuda", "nerfacc.cuda._backend")
    modules = {name: ModuleType(name) for name in names}
    modules["nerfacc"].__version__ = "0.5.3"
    modules["nerfacc.cuda._backend"]._C = object()
    for function in (traverse_grids, render_weight_from_density, accumulate_along_rays):
        setattr(modules["nerfacc"], function.__name__, function)
    return modules


def traverse_grids(
    rays_o: Tensor, rays_d: Tensor, binaries: Tensor, aabbs: Tensor, near_planes: Tensor | None = None,
    far_planes: Tensor | None = None, step_size: float | None = 1e-3, cone_angle: float | None = 0.0,
    traverse_steps_limit: int | None = None, over_allocate: bool | None = False, rays_mask: Tensor | None = None,
    t_sorted: Tensor | None = None, t_indices: Tensor | None = None, hits: Tensor | None = None,
) -> tuple[RaySegments, RaySegments, Tensor]:  # fmt: skip
    """One grid, constant steps: return steps whose midpoint is in an occupied cell; adjacent ones share an edge."""
    assert binaries.dtype == torch.bool and binaries.ndim == 4 and aabbs.shape == (1, 6) and step_size > 0
    low, high = aabbs[0, :3], aabbs[0, 3:]
    edges: list[tuple[float, int, bool, bool]] = []
    middles: list[tuple[float, int]] = []
    for ray in range(len(rays_o)):
        walls = torch.stack([(low - rays_o[ray]) / rays_d[ray], (high - rays_o[ray]) / rays_d[ray]])
        enter = max(float(walls.amin(0).max()), float(near_planes[ray]))
        leave = min(float(walls.amax(0).min()), float(far_planes[ray]))
        step, last_kept = 0, -2
        assert not near_planes[ray].isnan(), "nerfacc would never return"
        while (middle := float(near_planes[ray]) + (step + 0.5) * step_size) < leave:
            point = rays_o[ray] + middle * rays_d[ray]
            cell = ((point - low) / (high - low) * len(binaries[0])).long().clamp(0, len(binaries[0]) - 1)
            if middle >= enter and binaries[0][tuple(cell)]:
                if last_kept == step - 1:
                    edges[-1] = (*edges[-1][:2], True, True)
                else:
                    edges.append((middle - step_size / 2, ray, True, False))
                edges.append((middle + step_size / 2, ray, False, True))
                middles.append((middle, ray))
                last_kept = step
            step += 1
    vals, ray, left, right = (torch.tensor([edge[i] for edge in edges]) for i in range(4))
    owner = torch.tensor([item[1] for item in middles], dtype=torch.long)
    counts = torch.bincount(owner, minlength=len(rays_o))
    packed_info = torch.stack([counts.cumsum(0) - counts, counts], dim=-1)
    samples = RaySegments(torch.tensor([item[0] for item in middles]), packed_info, owner)
    return RaySegments(vals, None, ray, left.bool(), right.bool()), samples, far_planes


def render_weight_from_density(
    t_starts: Tensor, t_ends: Tensor, sigmas: Tensor, packed_info: Tensor | None = None,
    ray_indices: Tensor | None = None, n_rays: int | None = None, prefix_trans: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    sigmas_dt = Once.apply(sigmas) * (t_ends - t_starts)
    chunks = sigmas_dt.split(packed_info[:, 1].tolist())
    trans = torch.exp(-torch.cat([chunk.cumsum(0) - chunk for chunk in chunks]))
    alphas = 1.0 - torch.exp(-sigmas_dt)
    return trans * alphas, trans, alphas


def accumulate_along_rays(
    weights: Tensor, values: Tensor | None = None, ray_indices: Tensor | None = None, n_rays: int | None = None
) -> Tensor:
    src = weights[..., None] if values is None else weights[..., None] * values
    return src.new_zeros(n_rays, src.shape[-1]).index_add(0, ray_indices, src)
