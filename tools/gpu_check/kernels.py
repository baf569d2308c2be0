"""Times of the kernels: torch form, and what `auto` chooses, with the share of the memory bandwidth that it reaches."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from bozzetto.kernels import api

ROUNDS = 5


@dataclass(frozen=True)
class Kernel:
    """A kernel with its inputs."""

    name: str
    run: Callable[[api.Backend], object]
    traffic_bytes: int
    """Bytes that must be read and written at least."""


def finish(device: torch.device) -> None:
    """Wait until the device has done all work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Return the shortest of some measured times, after one run that is not measured."""
    best = float("inf")
    for number in range(ROUNDS + 1):
        finish(device)
        start = time.perf_counter()
        work()
        finish(device)
        best = min(best, time.perf_counter() - start) if number else best
    return best


def bandwidth(device: torch.device, size: int) -> float:
    """Return the bytes per second of a copy of `size` bytes, read and written."""
    source = torch.zeros(size // 4, device=device)
    target = torch.empty_like(source)
    return 2 * size / seconds(lambda: target.copy_(source), device)


def kernels(device: torch.device, small: bool) -> list[Kernel]:
    """Return the kernels of a training step on samples of a ball in a cube."""
    count, side = (4096, 32) if small else (1 << 20, 512)
    spec = api.GridSpec(log2_table_size=12 if small else 19)
    points = torch.rand(count, 3, device=device)
    table = (0.1 * torch.randn(spec.entry_count, spec.features, device=device)).requires_grad_()
    weights = [torch.randn(*shape, device=device).requires_grad_() for shape in ((64, spec.feature_count), (1, 64))]
    axis = torch.linspace(-1.0, 1.0, 64, device=device)
    occupied = (axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis[None, None] ** 2) < 0.5
    rays = side * side
    origin = torch.tensor([0.0, 0.0, 3.0], device=device).expand(rays, 3).contiguous()
    direction = torch.nn.functional.normalize(
        torch.cat([torch.rand(rays, 2, device=device) - 0.5, -torch.full((rays, 1), 2.0, device=device)], dim=1)
    )
    step = 3.4 / 128
    marched = api.march(origin, direction, 1.0, occupied, step, 128)
    density = torch.rand(len(marched.ray), device=device, requires_grad=True)
    values = torch.rand(len(marched.ray), 4, device=device)
    reads = 8 * spec.levels * spec.features * 4

    def encode(backend: api.Backend) -> None:
        api.hash_encode(points, table, spec, backend=backend).sum().backward()

    def field(backend: api.Backend) -> None:
        found = api.hash_field(points, table, spec, weights, backend=backend)
        (found.value.sum() + found.slope.sum()).backward()

    def composite(backend: api.Backend) -> None:
        args = (density, marched.t_start, marched.t_end, values, marched.offsets)
        api.composite(*args, backend=backend).accumulated.sum().backward()

    return [
        Kernel("hash_encode, backward", encode, count * (12 + 2 * reads + 8 * spec.feature_count)),
        Kernel("hash_field, backward", field, count * (24 + 2 * reads)),
        Kernel(
            "march", lambda backend: api.march(origin, direction, 1.0, occupied, step, 128, backend=backend),
            rays * 24 + len(marched.ray) * 24,
        ),
        Kernel("composite, backward", composite, len(marched.ray) * 2 * (12 + 16)),
        *mesh_kernels(device, side),
    ]  # fmt: skip


def mesh_kernels(device: torch.device, side: int) -> list[Kernel]:
    """Return rasterisation and antialiasing of a bumpy sheet."""
    cells = max(8, side // 4)
    x, y = torch.meshgrid(*[torch.linspace(-0.9, 0.9, cells, device=device)] * 2, indexing="ij")
    pos = torch.stack([x, y, 0.2 * torch.sin(9.0 * x) * torch.cos(7.0 * y), torch.ones_like(x)], dim=-1).view(1, -1, 4)
    first = (torch.arange(cells - 1, device=device)[:, None] * cells + torch.arange(cells - 1, device=device)).flatten()
    tri = torch.cat([
        torch.stack([first, first + 1, first + cells], dim=1),
        torch.stack([first + 1, first + cells + 1, first + cells], dim=1),
    ]).int()  # fmt: skip
    rast, _ = api.rasterize(pos, tri, (side, side))
    color = torch.rand(1, side, side, 3, device=device)
    return [
        Kernel(
            "rasterize", lambda backend: api.rasterize(pos, tri, (side, side), backend=backend),
            side * side * 32 + tri.numel() * 20,
        ),
        Kernel(
            "antialias", lambda backend: api.antialias(color, rast, pos, tri, backend=backend), side * side * 40,
        ),
    ]  # fmt: skip


def measured(device: torch.device, small: bool) -> list[dict[str, Any]]:
    """Return a row per kernel: seconds of both forms, and the share of the bandwidth that the chosen one reaches."""
    rate = bandwidth(device, 1 << (20 if small else 28))
    rows = []
    for kernel in kernels(device, small):
        row: dict[str, Any] = {"kernel": kernel.name}
        try:
            row["torch_s"] = seconds(lambda kernel=kernel: kernel.run("torch"), device)
            row["chosen_s"] = seconds(lambda kernel=kernel: kernel.run("auto"), device)
            row["bandwidth_share"] = kernel.traffic_bytes / row["chosen_s"] / rate
        except (RuntimeError, ValueError, ImportError) as error:
            row["error"] = f"{type(error).__name__}: {error}"[:300]
        rows.append(row)
    return rows
