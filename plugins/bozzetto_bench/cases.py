"""Benchmark cases: each kernel with its problem, its implementations and the work that bounds its time."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from bozzetto.kernels import api
from bozzetto.kernels.api import GridSpec
from bozzetto_bench.candidates import Candidate, Peer, backward, forward, with_peers
from bozzetto_bench.limits import table_limit

OURS, TORCH = "bozzetto", "torch"
"""Labels of the compiled kernel and of its torch reference."""


@dataclass(frozen=True)
class Sizes:
    """Problem sizes; the defaults are those of docs/performance.md."""

    points: int = 262144
    tables: tuple[int, ...] = (15, 19)
    """log2 of the hash table entries per level, one case each."""
    levels: int = 16
    rays: int = 16384
    cells: int = 128
    """Cells along each side of the occupancy grid."""
    image: int = 512
    """Image side in pixels."""
    rings: int = 202
    """Latitude rings of the sphere mesh, which has 2 * rings^2 triangles."""
    texels: int = 1024


@dataclass(frozen=True)
class Case:
    """Row of the benchmark table."""

    kernel: str
    name: str
    work: Mapping[str, float]
    """Amount of each limit that the case uses; the minimum time is the sum of amount / rate."""
    runs: Mapping[str, Callable[[], object]]
    """Callables to time, by label."""


@dataclass(frozen=True)
class HashProblem:
    """Points in the unit cube to encode with a hash grid."""

    points: Tensor
    table: Tensor
    spec: GridSpec


@dataclass(frozen=True)
class CompositeProblem:
    """Packed samples along rays; the input is their density."""

    density: Tensor
    t_start: Tensor
    t_end: Tensor
    values: Tensor
    offsets: Tensor


@dataclass(frozen=True)
class MeshProblem:
    """Sphere seen from outside; the input is its vertices in clip space."""

    pos: Tensor
    tri: Tensor
    side: int
    """Image side in pixels."""


def hash_cases(sizes: Sizes, peers: Sequence[Peer]) -> Iterator[Case]:
    """Yield hash_encode cases: forward; with the table gradient; with the gradients of table and points (normals)."""
    for log2_table in sizes.tables:
        spec = GridSpec.up_to(2048, levels=sizes.levels, log2_table_size=log2_table)
        generator = torch.Generator().manual_seed(0)
        table = torch.randn(spec.entry_count, spec.features, generator=generator).requires_grad_()
        problem = HashProblem(torch.rand(sizes.points, 3, generator=generator), table, spec)
        forms = with_peers(_both(_hash_candidate, problem), "hash_encode", problem, peers)
        touched = 8.0 * sizes.points * spec.levels
        gather, add = (table_limit(kind, 1 << log2_table) for kind in ("gather", "add"))
        title = f"hash_encode 2^{log2_table}"
        once, twice = {gather: touched}, {gather: touched, add: touched}
        yield from _passes("hash_encode", title, forms, problem.points, once, twice)
        work = {gather: 2 * touched, add: touched}
        runs = {label: backward(form, problem.points, with_input=True) for label, form in forms.items()}
        yield Case("hash_encode", f"{title} forward, backward, positions", work, runs)


def field_cases(sizes: Sizes, peers: Sequence[Peer]) -> Iterator[Case]:
    """Yield cases of a density with its normal: a 12-64-1 network on the grid of the recipe's cpu profile."""
    spec = GridSpec.up_to(48, levels=6, log2_table_size=17, base_resolution=8, interpolation="smoothstep")
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(sizes.points, 3, generator=generator)
    table = torch.randn(spec.entry_count, spec.features, generator=generator).requires_grad_()
    weights = [(0.2 * torch.randn(*shape, generator=generator)).requires_grad_() for shape in ((64, 12), (1, 64))]

    def candidate(backend: api.Backend) -> Candidate:
        def run(points: Tensor) -> Tensor:
            field = api.hash_field(points, table, spec, weights, backend=backend)
            return torch.cat([field.value[:, None], field.slope], dim=-1)

        return Candidate(run, (table, *weights))

    touched = 8.0 * sizes.points * spec.levels
    flops = 2.0 * sizes.points * sum(weight.numel() for weight in weights)
    forms = {OURS: candidate("auto"), TORCH: candidate("torch")}
    once = {"gather 256 KB": 2 * touched, "gemm fp32": 2 * flops}
    # The backward pass takes one more gather along the tangent, four times the network's work, and one scatter-add.
    twice = {"gather 256 KB": 3 * touched, "add 256 KB": touched, "gemm fp32": 6 * flops}
    yield from _passes("hash_field", "hash_field", forms, points, once, twice)


def mlp_cases(sizes: Sizes, peers: Sequence[Peer]) -> Iterator[Case]:
    """Yield a 32-64-64-4 MLP, forward and backward: the compiled kernel in fp32, torch matrix products in bf16."""
    generator = torch.Generator().manual_seed(0)
    widths = (32, 64, 64, 4)
    weights = tuple(
        (0.2 * torch.randn(rows, columns, generator=generator)).requires_grad_()
        for columns, rows in itertools.pairwise(widths)
    )
    x = torch.randn(sizes.points, widths[0], generator=generator)
    flops = 2.0 * sizes.points * sum(weight.numel() for weight in weights)
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):

        def run(x: Tensor, dtype: torch.dtype = dtype) -> Tensor:
            return api.mlp(x, weights, compute_dtype=dtype)

        own = {OURS: Candidate(run, weights)}
        if dtype == torch.float32:
            own[TORCH] = Candidate(lambda x: api.mlp(x, weights, backend="torch"), weights)
        forms = with_peers(own, "mlp", (x, weights), peers)
        runs = {label: backward(form, x, with_input=True) for label, form in forms.items()}
        yield Case("mlp", f"mlp {name} forward, backward", {f"gemm {name}": 3 * flops}, runs)


def march_cases(sizes: Sizes, peers: Sequence[Peer]) -> Iterator[Case]:
    """Yield rays marched through a ball in a grid; each step reads one cell, each sample writes 16 bytes."""
    origin, direction, occupancy, step = _rays(sizes)

    def march(backend: api.Backend) -> api.Intervals:
        return api.march(origin, direction, 1.0, occupancy, step, 4096, backend=backend)

    every = api.march(origin, direction, 1.0, torch.ones_like(occupancy), step, 4096)
    work = {
        table_limit("gather", occupancy.numel() // 8): float(len(every.ray)),
        "stream": 16.0 * len(march("auto").ray),
    }
    yield Case("march", "march", work, {OURS: lambda: march("auto"), TORCH: lambda: march("torch")})


def composite_cases(sizes: Sizes, peers: Sequence[Peer]) -> Iterator[Case]:
    """Yield compositing of the marched samples: density and three channels; each array is read or written once."""
    origin, direction, occupancy, step = _rays(sizes)
    marched = api.march(origin, direction, 1.0, occupancy, step, 4096)
    samples, generator = len(marched.ray), torch.Generator().manual_seed(0)
    problem = CompositeProblem(
        torch.rand(samples, generator=generator) * 8.0,
        marched.t_start,
        marched.t_end,
        torch.rand(samples, 3, generator=generator).requires_grad_(),
        marched.offsets,
    )
    forms = with_peers(_both(_composite_candidate, problem), "composite", problem, peers)
    yield from _passes(
        "composite", "composite", forms, problem.density, {"stream": 32.0 * samples}, {"stream": 80.0 * samples}, True
    )


def mesh_cases(kernel: str) -> Callable[[Sizes, Sequence[Peer]], Iterator[Case]]:
    """Return the case function of a mesh kernel on a sphere; bytes are those of the image arrays and the mesh."""

    def cases(sizes: Sizes, peers: Sequence[Peer]) -> Iterator[Case]:
        problem = _sphere(sizes)
        own = _both(lambda problem, backend: MESH_FORMS[kernel](problem, sizes, backend), problem)
        forms = with_peers(own, kernel, problem, peers)
        pixels, mesh = float(problem.side**2), 4.0 * (problem.pos.numel() + problem.tri.numel())
        per_pixel = {"rasterize": 32.0, "interpolate": 28.0, "texture": 40.0, "antialias": 40.0}[kernel]
        work = {"stream": per_pixel * pixels + (mesh if kernel == "rasterize" else 0.0)}
        twice = {"stream": 2 * work["stream"]}
        shape = (1, problem.side, problem.side, 2) if kernel == "texture" else (1, problem.pos.shape[1], 3)
        x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
        x = problem.pos if kernel in ("rasterize", "antialias") else x
        yield from _passes(kernel, kernel, forms, x, work, twice, True)

    return cases


def _passes(
    kernel: str,
    title: str,
    forms: Mapping[str, Candidate],
    x: Tensor,
    once: Mapping[str, float],
    twice: Mapping[str, float],
    with_input: bool = False,
) -> Iterator[Case]:
    yield Case(kernel, f"{title} forward", once, {label: forward(form, x) for label, form in forms.items()})
    runs = {label: backward(form, x, with_input) for label, form in forms.items()}
    yield Case(kernel, f"{title} forward, backward", twice, runs)


def _both(make: Callable[..., Candidate], problem: object) -> dict[str, Candidate]:
    return {OURS: make(problem, "auto"), TORCH: make(problem, "torch")}


def _hash_candidate(problem: HashProblem, backend: api.Backend) -> Candidate:
    def run(points: Tensor) -> Tensor:
        return api.hash_encode(points, problem.table, problem.spec, backend=backend)

    return Candidate(run, (problem.table,))


def _composite_candidate(problem: CompositeProblem, backend: api.Backend) -> Candidate:
    def run(density: Tensor) -> Tensor:
        seen = api.composite(density, problem.t_start, problem.t_end, problem.values, problem.offsets, backend=backend)
        return seen.accumulated

    return Candidate(run, (problem.values,))


def _rasterize(problem: MeshProblem, sizes: Sizes, backend: api.Backend) -> Candidate:
    side = (problem.side, problem.side)
    return Candidate(lambda pos: api.rasterize(pos, problem.tri, side, backend=backend)[0])


def _interpolate(problem: MeshProblem, sizes: Sizes, backend: api.Backend) -> Candidate:
    rast, _ = api.rasterize(problem.pos, problem.tri, (problem.side, problem.side))
    return Candidate(lambda attr: api.interpolate(attr, rast, problem.tri, backend=backend)[0])


def _texture(problem: MeshProblem, sizes: Sizes, backend: api.Backend) -> Candidate:
    tex = torch.rand(1, sizes.texels, sizes.texels, 3, generator=torch.Generator().manual_seed(1)).requires_grad_()
    return Candidate(lambda uv: api.texture(tex, uv, filter_mode="linear", backend=backend), (tex,))


def _antialias(problem: MeshProblem, sizes: Sizes, backend: api.Backend) -> Candidate:
    rast, _ = api.rasterize(problem.pos, problem.tri, (problem.side, problem.side))
    color = torch.rand(1, problem.side, problem.side, 3, generator=torch.Generator().manual_seed(1)).requires_grad_()
    opposite = api.topology(problem.tri)
    return Candidate(lambda pos: api.antialias(color, rast, pos, problem.tri, opposite, backend=backend), (color,))


MESH_FORMS = {"rasterize": _rasterize, "interpolate": _interpolate, "texture": _texture, "antialias": _antialias}

CASES: dict[str, Callable[[Sizes, Sequence[Peer]], Iterator[Case]]] = {
    "hash_encode": hash_cases,
    "hash_field": field_cases,
    "mlp": mlp_cases,
    "march": march_cases,
    "composite": composite_cases,
    **{kernel: mesh_cases(kernel) for kernel in MESH_FORMS},
}
"""Case functions by kernel. They are generators, because some problems take a gigabyte."""


def _rays(sizes: Sizes) -> tuple[Tensor, Tensor, Tensor, float]:
    """Return ray origins and directions, the occupancy of a ball (a quarter of the cells), and a half-cell step."""
    generator = torch.Generator().manual_seed(0)
    origin = 3.0 * functional.normalize(torch.randn(sizes.rays, 3, generator=generator), dim=-1)
    target = 1.2 * torch.rand(sizes.rays, 3, generator=generator) - 0.6
    at = (torch.arange(sizes.cells) + 0.5) * (2.0 / sizes.cells) - 1.0
    x, y, z = torch.meshgrid(at, at, at, indexing="ij")
    return origin, functional.normalize(target - origin, dim=-1), x * x + y * y + z * z < 0.6, 1.0 / sizes.cells


def _sphere(sizes: Sizes) -> MeshProblem:
    """Return a latitude-longitude sphere of radius 0.8, seen at distance 3 with a field of view of 40 degrees."""
    rings = sizes.rings
    theta = torch.linspace(0.0, torch.pi, rings + 1)[:, None]
    phi = torch.arange(rings) * (2.0 * torch.pi / rings)
    x, y, z = theta.sin() * phi.cos(), theta.sin() * phi.sin(), theta.cos().expand(-1, rings)
    points = 0.8 * torch.stack([x, y, z], dim=-1).reshape(-1, 3)
    focal, near, far, w = 2.747, 0.1, 10.0, 3.0 - points[:, 2]
    depth = (far + near) / (far - near) * w - 2.0 * far * near / (far - near)
    pos = torch.stack([focal * points[:, 0], focal * points[:, 1], depth, w], dim=-1)[None]
    row, column = torch.meshgrid(torch.arange(rings), torch.arange(rings), indexing="ij")
    a, b = row * rings + column, row * rings + (column + 1) % rings
    tri = torch.stack([torch.stack([a, a + rings, b], -1), torch.stack([b, a + rings, b + rings], -1)]).view(-1, 3)
    return MeshProblem(pos, tri.to(torch.int32), sizes.image)
