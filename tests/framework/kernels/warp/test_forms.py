"""Tests of all Warp kernels together against the torch forms, on the CPU and on a GPU."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

pytest.importorskip("warp")

from bozzetto.kernels import api
from bozzetto.kernels.settings import KernelSettings, using

SPEC = api.GridSpec(levels=8, log2_table_size=14, base_resolution=8, growth=1.6, interpolation="smoothstep")
POINTS = 10_000


@pytest.fixture
def cuda() -> torch.device:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    return torch.device("cuda")


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> torch.device:
    return torch.device("cpu") if request.param == "cpu" else request.getfixturevalue("cuda")


def drawn(device: torch.device, *shape: int) -> Tensor:
    return normal(device, *shape).detach().requires_grad_()


@functools.cache
def normal(device: torch.device, *shape: int) -> Tensor:
    """Return random numbers; copied to the device once, since a copy waits for it."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))).to(device)


@functools.cache
def triangles(device: torch.device) -> Tensor:
    return torch.randint(0, 300, (900, 3), generator=torch.Generator().manual_seed(1), dtype=torch.int32).to(device)


def derivatives(outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...]) -> list[Tensor]:
    """Return outputs, and the gradients of a random combination of them."""
    used = [out for out in outputs if out.requires_grad]
    weights = [drawn(out.device, *out.shape).detach() for out in used]
    found = torch.autograd.grad(used, inputs, weights, allow_unused=True, materialize_grads=True)
    return [*(out.detach() for out in outputs), *found]


def field(device: torch.device, backend: api.Backend) -> list[Tensor]:
    points, table = drawn(device, POINTS, 3).detach().sigmoid(), drawn(device, SPEC.entry_count, 2)
    widths = (SPEC.feature_count, 32, 32, 1)
    weights = [drawn(device, out, into) for into, out in itertools.pairwise(widths)]
    found = api.hash_field(points, table, SPEC, weights, backend=backend)
    return derivatives(tuple(found), (table, *weights))


def encoding(device: torch.device, backend: api.Backend) -> list[Tensor]:
    points, table = drawn(device, POINTS, 3).detach().sigmoid().requires_grad_(), drawn(device, SPEC.entry_count, 2)
    encoded = api.hash_encode(points, table, SPEC, backend=backend)
    (slope,) = torch.autograd.grad(encoded.square().sum(), points, create_graph=True)
    return derivatives((encoded, slope), (points, table))


def rendering(device: torch.device, backend: api.Backend) -> list[Tensor]:
    direction = torch.nn.functional.normalize(drawn(device, 3000, 3).detach(), dim=-1)
    occupied = drawn(device, 32, 32, 32).detach() > 0.5
    found = api.march(-2.0 * direction, direction, 1.0, occupied, 0.01, 400, backend=backend)
    bounded = api.march_within(
        len(found.ray) // 2, -2.0 * direction, direction, 1.0, occupied, 0.01, 400, backend=backend
    )
    density, values = drawn(device, len(found.ray)), drawn(device, len(found.ray), 3)
    seen = api.composite(density.square(), found.t_start, found.t_end, values, found.offsets, backend=backend)
    return [*found, *bounded.intervals, bounded.found, *derivatives(tuple(seen), (density, values))]


def picture(device: torch.device, backend: api.Backend) -> list[Tensor]:
    pos = drawn(device, 2, 300, 4)
    pos = torch.cat([0.5 * pos[..., :3], 0.0 * pos[..., 3:] + 1.5], dim=-1).detach().requires_grad_()
    tri = triangles(device)
    rast, rast_db = api.rasterize(pos, tri, (96, 128), backend=backend)
    attr, tex = drawn(device, 2, 300, 2), drawn(device, 1, 32, 32, 3)
    uv, uv_da = api.interpolate(attr, rast, tri, rast_db, "all", backend=backend)
    color = api.texture(tex, uv, uv_da, backend=backend)
    smooth = api.antialias(color, rast, pos, tri, backend=backend)
    return derivatives((smooth, rast), (attr, tex, pos))


RUNS = [field, encoding, rendering, picture]


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("deterministic", [False, True])
def test_they_agree_with_the_torch_forms(
    device: torch.device, run: Callable[[torch.device, api.Backend], list[Tensor]], deterministic: bool
) -> None:
    with using(KernelSettings(deterministic=deterministic)):
        found, again = run(device, "warp"), run(device, "warp")
    for number, (one, exact) in enumerate(zip(found, run(device, "torch"), strict=True)):
        scale = float(exact.abs().max()) if exact.is_floating_point() else 0.0
        torch.testing.assert_close(one, exact, rtol=1e-4, atol=1e-4 * scale, msg=lambda text, n=number: f"{n}: {text}")
    if deterministic:
        assert all(torch.equal(one, other) for one, other in zip(found, again, strict=True))


@pytest.mark.gpu
def test_they_run_on_torchs_stream(cuda: torch.device) -> None:
    """A kernel sees what was written before it on a stream of its own."""
    stream = torch.cuda.Stream(cuda)
    points, table = torch.rand(POINTS, 3, device=cuda), torch.zeros(SPEC.entry_count, 2, device=cuda)
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)
        table.fill_(1.0)
        encoded = api.hash_encode(points, table, SPEC, backend="warp").clone()
    stream.synchronize()
    torch.testing.assert_close(encoded, torch.ones_like(encoded))


@pytest.mark.gpu
def test_nothing_waits_for_the_device(cuda: torch.device) -> None:
    """But the march with as many rows as it finds."""
    for run in (field, picture):
        run(cuda, "warp")
        torch.cuda.set_sync_debug_mode("error")
        try:
            run(cuda, "warp")
        finally:
            torch.cuda.set_sync_debug_mode("default")
