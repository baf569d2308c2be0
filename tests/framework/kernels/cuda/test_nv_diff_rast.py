"""Tests of the nvdiffrast adapter against the torch forms."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from bozzetto.kernels.cuda import nv_diff_rast, packages
from bozzetto.kernels.ref.antialias import antialias as antialias_by_torch
from bozzetto.kernels.ref.antialias import topology
from bozzetto.kernels.ref.interpolate import interpolate as interpolate_by_torch
from bozzetto.kernels.ref.rasterize import rasterize as rasterize_by_torch
from bozzetto.kernels.ref.texture import mipmap
from bozzetto.kernels.ref.texture import texture as texture_by_torch

SIZE = 24


class RasterizeCudaContext:
    def __init__(self, device: Any = None) -> None:
        self.device = device


def rasterize(glctx, pos, tri, resolution, ranges=None, grad_db=True):
    assert isinstance(glctx, RasterizeCudaContext) and glctx.device == pos.device and grad_db in (True, False)
    assert ranges is None and pos.ndim == 3 and tri.dtype == torch.int32
    return rasterize_by_torch(pos, tri, *resolution)


def interpolate(attr, rast, tri, rast_db=None, diff_attrs=None):
    chosen = [] if diff_attrs is None else list(range(attr.shape[-1])) if diff_attrs == "all" else diff_attrs
    assert not chosen or rast_db is not None
    return interpolate_by_torch(attr, rast, tri, torch.zeros_like(rast) if rast_db is None else rast_db, chosen)


def texture(
    tex, uv, uv_da=None, mip_level_bias=None, mip=None, filter_mode="auto", boundary_mode="wrap", max_mip_level=None
):
    assert uv_da is None and max_mip_level is None
    assert ("mipmap" in filter_mode) == (mip_level_bias is not None) == bool(mip)
    return texture_by_torch([tex, *(mip or [])], uv, mip_level_bias, filter_mode, boundary_mode)


def antialias(color, rast, pos, tri, topology_hash=None, pos_gradient_boost=1.0):
    assert topology_hash is None and pos_gradient_boost == 1.0 and pos.ndim == 3
    return antialias_by_torch(color, rast, pos, tri, topology(tri))


@pytest.fixture(autouse=True)
def called(device: torch.device, monkeypatch: pytest.MonkeyPatch, recorded) -> Iterator[list[str]]:
    """Install the stand-in on the CPU, the real package on a GPU; return the names of its functions as they run."""
    nv_diff_rast._context.cache_clear()
    if device.type == "cpu":
        root, module = ModuleType("nvdiffrast"), ModuleType("nvdiffrast.torch")
        root.__version__, root.torch = "0.4.0", module
        for item in (RasterizeCudaContext, rasterize, interpolate, texture, antialias):
            setattr(module, item.__name__, item)
        monkeypatch.setitem(sys.modules, "nvdiffrast", root)
        monkeypatch.setitem(sys.modules, "nvdiffrast.torch", module)
    package = packages.load("nvdiffrast") or pytest.skip("nvdiffrast is not installed")
    yield recorded(package, "rasterize", "interpolate", "texture", "antialias")
    nv_diff_rast._context.cache_clear()


def quads(device: torch.device) -> tuple[Tensor, Tensor]:
    """Return two images of a tilted quad before a large one, in clip space; edges do not cross pixel centres."""
    front = [[-0.51, -0.43, 0.1, 1.0], [0.57, -0.33, 0.2, 1.3], [0.49, 0.61, 0.3, 1.2], [-0.37, 0.53, 0.1, 1.1]]
    back = [[-0.83, -0.81, 0.7, 1.0], [0.85, -0.79, 0.7, 1.0], [0.77, 0.83, 0.7, 1.0], [-0.87, 0.73, 0.7, 1.0]]
    pos = torch.tensor([front + back, [[0.9 * x, y, z, w] for x, y, z, w in front + back]])
    tri = torch.tensor([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]], dtype=torch.int32)
    return pos.to(device).requires_grad_(), tri.to(device)


def alike(found: Tensor, expected: Tensor, share: float = 0.98, atol: float = 2e-3) -> None:
    """Compare up to rounding at nearly all pixels: silhouettes may fall on either side of a pixel centre."""
    assert found.shape == expected.shape and found.dtype == expected.dtype
    close = torch.isclose(found, expected, atol=atol, rtol=1e-3).all(dim=-1)
    assert float(close.float().mean()) >= share


def test_rasterizes_as_the_torch_form(device: torch.device, called: list[str]) -> None:
    pos, tri = quads(device)
    found = nv_diff_rast.rasterize(pos, tri, SIZE, SIZE + 8)
    assert called == ["rasterize"]
    expected = rasterize_by_torch(pos, tri, SIZE, SIZE + 8)
    for one, other in zip(found, expected, strict=True):
        alike(one, other)
    gradients = [
        torch.autograd.grad(rast[..., :2].square().sum() + rast_db.square().sum(), pos)[0]
        for rast, rast_db in (found, expected)
    ]
    torch.testing.assert_close(*gradients, rtol=5e-2, atol=5e-2 * float(gradients[1].abs().max()))


@pytest.mark.parametrize("chosen", [[], [2], [0, 1, 2]], ids=["none", "one", "all"])
def test_interpolates_as_the_torch_form(device: torch.device, called: list[str], chosen: list[int]) -> None:
    pos, tri = quads(device)
    rast, rast_db = (item.detach() for item in rasterize_by_torch(pos, tri, SIZE, SIZE))
    attr = torch.randn(1, 8, 3, generator=torch.Generator().manual_seed(0)).to(device).requires_grad_()
    results = [run(attr, rast, tri, rast_db, chosen) for run in (nv_diff_rast.interpolate, interpolate_by_torch)]
    assert called == ["interpolate"]
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    gradients = [torch.autograd.grad(out.square().sum() + out_da.square().sum(), attr)[0] for out, out_da in results]
    torch.testing.assert_close(*gradients, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("mode", ["nearest", "linear", "linear-mipmap-nearest", "linear-mipmap-linear"])
@pytest.mark.parametrize("boundary", ["wrap", "clamp", "zero"])
def test_samples_textures_as_the_torch_form(device: torch.device, called: list[str], mode: str, boundary: str) -> None:
    generator = torch.Generator().manual_seed(1)
    tex = torch.rand(1, 8, 16, 3, generator=generator).to(device).requires_grad_()
    uv = (torch.rand(2, 9, 10, 2, generator=generator) * 1.4 - 0.2).to(device)
    level = (torch.rand(2, 9, 10, generator=generator) * 2).to(device)

    def sample(run) -> Tensor:
        levels = [tex, mipmap(tex), mipmap(mipmap(tex))] if "mipmap" in mode else [tex]
        return run(levels, uv, level if "mipmap" in mode else None, mode, boundary)

    found, expected = sample(nv_diff_rast.texture), sample(texture_by_torch)
    assert called == ["texture"]
    alike(found, expected)
    one, other = (torch.autograd.grad(item.square().sum(), tex)[0] for item in (found, expected))
    torch.testing.assert_close(one, other, rtol=2e-2, atol=2e-2 * float(other.abs().max()))


def test_a_mipmap_filter_without_mipmaps_is_linear(device: torch.device, called: list[str]) -> None:
    tex, uv = torch.rand(1, 4, 4, 1, device=device), torch.rand(1, 3, 3, 2, device=device)
    level = torch.zeros(1, 3, 3, device=device)
    found = nv_diff_rast.texture([tex], uv, level, "linear-mipmap-linear", "clamp")
    alike(found, texture_by_torch([tex], uv, None, "linear", "clamp"))
    assert called == ["texture"]


def test_antialiases_as_the_torch_form(device: torch.device, called: list[str]) -> None:
    pos, tri = quads(device)
    rast = rasterize_by_torch(pos, tri, SIZE, SIZE)[0].detach()
    color = torch.rand(2, SIZE, SIZE, 3, generator=torch.Generator().manual_seed(2)).to(device).requires_grad_()
    found = nv_diff_rast.antialias(color, rast, pos, tri, topology(tri))
    expected = antialias_by_torch(color, rast, pos, tri, topology(tri))
    assert not torch.equal(expected, color) and called == ["antialias"]
    alike(found, expected)
    for one, other in zip(
        torch.autograd.grad(found.square().sum(), (color, pos)),
        torch.autograd.grad(expected.square().sum(), (color, pos)),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=5e-2, atol=5e-2 * float(other.abs().max()))


def test_float64_and_empty_meshes_are_drawn_by_torch(device: torch.device, called: list[str]) -> None:
    pos, tri = quads(device)
    assert nv_diff_rast.rasterize(pos.double(), tri, 4, 4)[0].dtype == torch.float64
    assert not nv_diff_rast.rasterize(pos, tri[:0], 4, 4)[0].any() and called == []
