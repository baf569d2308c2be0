"""Tests that the public kernels dispatch to the adapters for tensors on a GPU."""

from __future__ import annotations

import pytest
import torch

from bozzetto.kernels import api
from bozzetto.kernels.cpp import native
from bozzetto.kernels.cuda import nerf_acc, nv_diff_rast, packages, tiny_cuda_nn
from bozzetto.kernels.settings import KernelSettings, using

SPEC = api.GridSpec(levels=1, log2_table_size=6, base_resolution=4)


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the adapters that ran."""
    names: list[str] = []
    for adapter, name in (
        (tiny_cuda_nn, "hash_encode"), (tiny_cuda_nn, "mlp"), (nerf_acc, "march"), (nerf_acc, "composite"),
    ):  # fmt: skip
        run = getattr(adapter, name)
        monkeypatch.setattr(adapter, name, lambda *a, run=run, name=name: names.append(name) or run(*a))
    return names


@pytest.mark.usefixtures("tinycudann", "nerfacc")
@pytest.mark.parametrize("backend", ["auto", "torch"])
def test_only_auto_takes_the_packages(
    device: torch.device, called: list[str], monkeypatch: pytest.MonkeyPatch, backend: api.Backend
) -> None:
    if device.type == "cpu":
        monkeypatch.setattr(native, "fits", lambda *tensors: False)
    points, table = torch.rand(4, 3, device=device), torch.rand(SPEC.entry_count, 2, device=device)
    api.hash_encode(points, table, SPEC, backend=backend)
    api.mlp(points, [torch.rand(16, 3, device=device), torch.rand(2, 16, device=device)], backend=backend)
    occupied = torch.ones(2, 2, 2, dtype=torch.bool, device=device)
    origin = torch.tensor([[3.0, 0.1, 0.2]], device=device)
    direction = torch.tensor([[-1.0, 0.0, 0.0]], device=device)
    found = api.march(origin, direction, 1.0, occupied, 0.5, 10, backend=backend)
    density = torch.rand(len(found.t_start), device=device)
    values = torch.rand(len(density), 3, device=device)
    api.composite(density, found.t_start, found.t_end, values, found.offsets, backend=backend)
    assert called == (["hash_encode", "mlp", "march", "composite"] if backend == "auto" else [])


@pytest.mark.parametrize("kernel", ["rasterize", "interpolate", "texture", "antialias"])
def test_mesh_kernels_take_nvdiffrast(monkeypatch: pytest.MonkeyPatch, kernel: str) -> None:
    monkeypatch.setattr(packages, "on_cuda", lambda *tensors: True)
    monkeypatch.setattr(packages, "load", lambda name: name)
    monkeypatch.setattr(native, "fits", lambda *tensors: False)

    def take(*arguments: object) -> None:
        raise Taken

    monkeypatch.setattr(nv_diff_rast, kernel, take)
    pos, tri = torch.zeros(1, 3, 4), torch.zeros(1, 3, dtype=torch.int32)
    image = torch.zeros(1, 2, 2, 4)
    calls = {
        "rasterize": lambda: api.rasterize(pos, tri, (2, 2)),
        "interpolate": lambda: api.interpolate(pos, image, tri),
        "texture": lambda: api.texture(torch.zeros(1, 2, 2, 3), torch.zeros(1, 2, 2, 2)),
        "antialias": lambda: api.antialias(image, image, pos, tri),
    }
    with pytest.raises(Taken), using(KernelSettings(("nvdiffrast", "warp"))):
        calls[kernel]()


class Taken(Exception):
    """Raised when the adapter is called."""
