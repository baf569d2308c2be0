"""Examples from the documentation of nvdiffrast and nerfacc, written with `kernels.api`: the numbers must be equal."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bozzetto.kernels.api import Backend, composite, interpolate, march, rasterize, texture


def test_nvdiffrasts_first_triangle(backend: Backend) -> None:
    """The red, green and blue corners are at 0.8 of the image; row 0 is the lowest."""
    pos = torch.tensor([[[-0.8, -0.8, 0.0, 1.0], [0.8, -0.8, 0.0, 1.0], [-0.8, 0.8, 0.0, 1.0]]])
    tri = torch.tensor([[0, 1, 2]], dtype=torch.int32)
    rast, _ = rasterize(pos, tri, (256, 256), backend=backend)
    color, _ = interpolate(torch.eye(3)[None], rast, tri, backend=backend)
    at = (torch.arange(256.0) + 0.5) / 128 - 1
    y, x = torch.meshgrid(at, at, indexing="ij")
    green, blue = (x + 0.8) / 1.6, (y + 0.8) / 1.6
    inside = (green >= 0) & (blue >= 0) & (green + blue <= 1)
    expected = torch.stack([1 - green - blue, green, blue], dim=-1) * inside[..., None]
    border = (1 - green - blue).abs() < 1e-5  # centres on the slanted edge: either side is correct
    torch.testing.assert_close(color[0][~border], expected[~border], atol=1e-5, rtol=0)
    assert rast[0, 128, 64, 3] == 1 and rast[0, 200, 200].tolist() == [0, 0, 0, 0]


def globe(rings: int = 24) -> tuple[Tensor, Tensor, Tensor]:
    """Return positions "V 3" of a sphere with a seam, texture coordinates "V 2", and triangles."""
    u, v = torch.meshgrid(torch.linspace(0, 1, 2 * rings + 1), torch.linspace(0, 1, rings + 1), indexing="ij")
    around, down = 2 * math.pi * u, math.pi * v
    positions = torch.stack([down.sin() * around.cos(), down.cos(), down.sin() * around.sin()], dim=-1)
    rows, columns = torch.meshgrid(torch.arange(2 * rings), torch.arange(rings), indexing="ij")
    low = (rows * (rings + 1) + columns).flatten()
    corners = [low, low + 1, low + rings + 1, low + rings + 2]
    tri = torch.cat([torch.stack([corners[i] for i in order], dim=-1) for order in ((0, 1, 2), (1, 3, 2))])
    return positions.view(-1, 3), torch.stack([u, v], dim=-1).view(-1, 2), tri.int()


def earth(side: int, mips: bool, backend: Backend) -> Tensor:
    """Return a globe with a texture much finer than its image."""
    positions, coordinates, tri = globe()
    pos = torch.cat([0.9 * positions * torch.tensor([1.0, 1.0, 0.5]), torch.ones(len(positions), 1)], dim=-1)
    tex = torch.rand(1, 256, 512, 1, generator=torch.Generator().manual_seed(0))
    rast, rast_db = rasterize(pos, tri, (side, side), backend=backend)
    uv, uv_da = interpolate(coordinates[None], rast, tri, rast_db, "all", backend=backend)
    if not mips:
        return texture(tex, uv, filter_mode="linear", backend=backend) * (rast[..., 3:] > 0)
    return texture(tex, uv, uv_da, filter_mode="linear-mipmap-linear", backend=backend) * (rast[..., 3:] > 0)


def test_nvdiffrasts_earth_needs_its_mipmaps(backend: Backend) -> None:
    """With mipmaps, a coarse image approximates the mean of a fine one; without, it aliases."""
    fine = earth(512, False, backend).unflatten(1, (32, 16)).unflatten(3, (32, 16)).mean(dim=(2, 4))
    middle = (slice(None), slice(8, 24), slice(8, 24))
    with_mips = (earth(32, True, backend) - fine)[middle].square().mean()
    without = (earth(32, False, backend) - fine)[middle].square().mean()
    assert float(with_mips) < 0.15 * float(without)


def test_nerfaccs_weights_of_three_packed_rays(backend: Backend) -> None:
    start = torch.arange(7.0)
    density = torch.tensor([0.4, 0.8, 0.1, 0.8, 0.1, 0.0, 0.9])
    seen = composite(density, start, start + 1, density[:, None], torch.tensor([0, 3, 5, 7]), backend=backend)
    documented = [0.33, 0.37, 0.03, 0.55, 0.04, 0.00, 0.59]
    torch.testing.assert_close(seen.weights, torch.tensor(documented), atol=0.005, rtol=0)


def test_packed_rays_are_rendered_as_batched_ones(backend: Backend) -> None:
    """Compare rays marched through a ball with the same intervals in a matrix padded with empty ones."""
    generator = torch.Generator().manual_seed(1)
    direction = torch.nn.functional.normalize(torch.randn(20, 3, generator=generator), dim=-1)
    sides = torch.linspace(-1 + 1 / 16, 1 - 1 / 16, 16)
    ball = torch.stack(torch.meshgrid(sides, sides, sides, indexing="ij")).square().sum(0) < 0.5
    found = march(-2.5 * direction, direction, 1.0, ball, 0.05, 200, backend=backend)
    density = 5 * torch.rand(len(found.ray), generator=generator)
    color = torch.rand(len(found.ray), 3, generator=generator)
    packed = composite(density, found.t_start, found.t_end, color, found.offsets, backend=backend)

    longest = int(found.offsets.diff().max())
    column = torch.arange(len(found.ray)) - found.offsets[:-1].repeat_interleave(found.offsets.diff())
    alpha, batched = torch.zeros(20, longest), torch.zeros(20, longest, 3)
    alpha[found.ray, column] = 1 - torch.exp(-density * (found.t_end - found.t_start))
    batched[found.ray, column] = color
    behind = torch.cumprod(torch.cat([torch.ones(20, 1), 1 - alpha], dim=1), dim=1)
    expected = (behind[:, :-1] * alpha)[..., None] * batched
    assert longest > 20
    torch.testing.assert_close(packed.accumulated, expected.sum(dim=1), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(packed.opacity, 1 - behind[:, -1:], atol=1e-5, rtol=1e-5)
