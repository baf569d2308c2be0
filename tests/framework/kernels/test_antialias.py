"""Tests of antialiasing: blended pixels, and gradients equal to those of the covered area, in both forms."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from bozzetto.kernels.api import Backend, antialias, rasterize, topology
from bozzetto.kernels.cpp import native

QUAD = torch.tensor([[0, 1, 2], [2, 1, 3]], dtype=torch.int32)


def flat(*corners: tuple[float, float], z: float = 0.0) -> Tensor:
    """Return clip-space points at w = 1."""
    return torch.tensor([[x, y, z, 1.0] for x, y in corners])


def square(low: float, high: float) -> Tensor:
    return flat((low, low), (high, low), (low, high), (high, high))


def coverage(pos: Tensor, tri: Tensor, size: int, backend: Backend) -> Tensor:
    """Return an antialiased coverage image "size size"."""
    rast, _ = rasterize(pos, tri, (size, size), backend=backend)
    return antialias((rast[..., 3:] > 0).to(pos.dtype), rast, pos, tri, backend=backend)[0, ..., 0]


def closed(around: int) -> Tensor:
    """Return a double pyramid: rim vertices, then the two tips."""
    rim = torch.arange(around, dtype=torch.int32)
    after = (rim + 1) % around
    top, bottom = torch.full_like(rim, around), torch.full_like(rim, around + 1)
    return torch.cat([torch.stack([rim, after, top], -1), torch.stack([after, rim, bottom], -1)])


def test_topology_of_a_closed_mesh_knows_the_corner_across_each_edge() -> None:
    tri = closed(4)
    across = topology(tri)
    assert across.dtype == torch.int32
    assert tri[0].tolist() == [0, 1, 4]
    assert tri.flatten()[across[0].long()].tolist() == [2, 3, 5]
    assert torch.equal(across.flatten()[across.flatten().long()], torch.arange(24, dtype=torch.int32))


def test_open_edges_and_edges_of_three_have_nobody_across() -> None:
    assert topology(QUAD).tolist() == [[5, -1, -1], [-1, -1, 0]]
    fan = torch.tensor([[0, 1, 2], [0, 1, 3], [0, 1, 4]], dtype=torch.int32)
    assert (topology(fan) == -1).all()
    assert topology(fan[:0]).shape == (0, 3)


def test_a_square_covers_its_border_pixels_by_the_area_it_covers(backend: Backend) -> None:
    """8 x 8 pixels; the square extends 0.3 pixels beyond the central 4 x 4, also where no centre hits its triangle."""
    found = coverage(square(-0.5 - 0.3 / 4, 0.5 + 0.3 / 4), QUAD, 8, backend)
    expected = torch.zeros(8, 8)
    expected[2:6, 2:6] = 1
    for side in (1, 6):
        expected[side, 2:6] = expected[2:6, side] = 0.3
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_the_inner_edge_blends_nothing(backend: Backend) -> None:
    """Two triangles of one surface may have different colours."""
    pos = square(-2.0, 2.0)
    rast, _ = rasterize(pos, QUAD, (8, 8), backend=backend)
    color = rast[..., 3:]
    assert set(color.flatten().tolist()) == {1.0, 2.0}
    assert torch.equal(antialias(color, rast, pos, QUAD, backend=backend), color)


def test_a_fold_is_a_silhouette(backend: Backend) -> None:
    """The ridge of a roof is smooth from above; from the side, one half hides the other."""
    roof = flat((-0.6, -2), (-0.6, 2), (0.13, -2), (0.13, 2), (0.9, -2), (0.9, 2))
    roof[2:4, 2] = -0.5
    tri = torch.tensor([[0, 2, 1], [1, 2, 3], [2, 4, 3], [3, 4, 5]], dtype=torch.int32)
    folded = roof.clone()
    folded[4:, :3] = torch.tensor([[-0.6, -2, 0.5], [-0.6, 2, 0.5]])
    for pos, ridge in ((roof, 1.0), (folded, 0.52)):  # the edge is at 4.52 pixels from the left
        assert coverage(pos, tri, 8, backend)[4, 4].item() == pytest.approx(ridge, abs=1e-5)


def test_the_nearer_surface_is_blended_over_the_farther(backend: Backend) -> None:
    """A small square in front of a large one that has no edge there."""
    near = flat((-0.45, -0.45), (0.55, -0.45), (-0.45, 0.55), (0.55, 0.55), z=-0.5)
    pos = torch.cat([square(-3.0, 3.0), near])
    tri = torch.cat([QUAD, QUAD + 4])
    rast, _ = rasterize(pos, tri, (8, 8), backend=backend)
    color = (rast[..., 3:] > 2).float() * 4.0 + 1.0
    found = antialias(color, rast, pos, tri, backend=backend)[0, 4, :, 0]
    torch.testing.assert_close(found, torch.tensor([1.0, 1.0, 4.2, 5.0, 5.0, 5.0, 1.8, 1.0]), atol=1e-4, rtol=0)


SHAPES: dict[str, Callable[[], tuple[Tensor, Tensor]]] = {
    "square": lambda: (square(-0.53, 0.61), QUAD),
    "steep": lambda: (flat((-0.5, -0.71), (0.13, -0.62), (-0.09, 0.77)), QUAD[:1]),
    "turned": lambda: (flat((0.0, -0.73), (0.71, 0.05), (-0.77, 0.02), (0.03, 0.69)), QUAD),
}


def area_derivative(pos: Tensor, tri: Tensor, axis: int) -> float:
    """Return d(covered share of the image) / d(coordinate of the vertices left of or below the centre), by areas."""
    points = pos[:, :2].clone().requires_grad_()
    a, b, c = points[tri.long()].unbind(dim=1)
    one, other = b - a, c - a
    area = (one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]).abs().sum() / 2
    return float(torch.autograd.grad(area / 4, points)[0][points[:, axis] < 0, axis].sum())


@pytest.mark.parametrize("shape", list(SHAPES))
@pytest.mark.parametrize("axis", [0, 1])
def test_position_gradients_are_those_of_the_area(backend: Backend, shape: str, axis: int) -> None:
    pos, tri = SHAPES[shape]()
    expected = area_derivative(pos, tri, axis)
    pos.requires_grad_()
    (grad,) = torch.autograd.grad(coverage(pos, tri, 256, backend).mean(), pos)
    assert float(grad[pos[:, axis] < 0, axis].sum()) == pytest.approx(expected, rel=0.03)


def test_position_gradients_are_differences_of_the_supersampled_image(backend: Backend) -> None:
    """A triangle in perspective, one vertex moved in depth: no closed form, supersampled."""
    pos = SHAPES["steep"]()[0] * torch.tensor([[1.0], [1.5], [0.8]])
    step = torch.zeros(3, 4)
    step[2, 3] = 0.05
    (grad,) = torch.autograd.grad(coverage(pos.requires_grad_(), QUAD[:1], 256, backend).mean(), pos)
    pos = pos.detach()
    fine = [rasterize(pos + sign * step, QUAD[:1], (512, 512), backend=backend)[0][..., 3].mean() for sign in (1, -1)]
    assert grad[2, 3].item() == pytest.approx(float(fine[0] - fine[1]) / 0.1, rel=0.04)


@pytest.mark.parametrize("axis", [0, 1])
def test_moving_a_square_as_a_whole_changes_nothing_in_the_mean(backend: Backend, axis: int) -> None:
    pos = square(-0.53, 0.61).requires_grad_()
    (grad,) = torch.autograd.grad(coverage(pos, QUAD, 32, backend).mean(), pos)
    assert grad[:, axis].sum().item() == pytest.approx(0.0, abs=1e-6)
    assert grad[pos[:, axis] > 0, axis].sum().item() == pytest.approx(1.14 / 4, rel=0.03)


def test_the_image_is_continuous_and_follows_its_gradient(backend: Backend) -> None:
    """A strip across pixel centres: its image is continuous and piecewise linear in its position."""
    weight = torch.rand(4, 16, generator=torch.Generator().manual_seed(0))
    values, slopes = [], []
    offsets = torch.linspace(0.0, 0.3, 37)
    for offset in offsets:
        moved = offset.clone().requires_grad_()
        pos = flat((-0.5, -2), (0.41, -2), (-0.5, 2), (0.41, 2)) + moved * torch.tensor([1.0, 0.0, 0.0, 0.0])
        rast, _ = rasterize(pos, QUAD, (4, 16), backend=backend)
        image = antialias((rast[..., 3:] > 0).float(), rast, pos, QUAD, backend=backend)
        value = (image[0, ..., 0] * weight).sum()
        values.append(value.detach())
        slopes.append(torch.autograd.grad(value, moved)[0])
    difference, slope = torch.stack(values).diff() / offsets.diff(), torch.stack(slopes)
    low, high = torch.minimum(slope[1:], slope[:-1]), torch.maximum(slope[1:], slope[:-1])
    assert ((difference > low - 0.02) & (difference < high + 0.02)).all()
    assert slope.unique().numel() > 4


def pyramids(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    """Return two views of two overlapping closed meshes in perspective, and an image of three channels."""
    generator = torch.Generator().manual_seed(3)
    angle = torch.arange(5) * (2 * math.pi / 5)
    rim = torch.stack([angle.cos(), angle.sin(), 0.3 * (2 * angle).sin()], dim=-1)
    points = torch.cat([rim, torch.tensor([[0.1, 0.2, 0.9], [0.0, -0.1, -0.8]])])
    points = torch.cat([points * 0.8, points * 0.5 + torch.tensor([0.5, 0.4, 0.6])])
    w = 1.6 - 0.5 * points[:, 2:]
    pos = torch.cat([points[:, :2], -0.5 * points[:, 2:], torch.ones_like(w)], dim=-1)
    pos = torch.stack([pos * w, (pos + 0.07) * w])
    color = torch.rand(2, 13, 17, 3, generator=generator, dtype=torch.float64)
    return pos.to(dtype), torch.cat([closed(5), closed(5) + 7]), color.to(dtype)


def test_gradients_of_the_torch_form_are_right() -> None:
    pos, tri, color = pyramids(torch.float64)
    rast, _ = rasterize(pos, tri, (13, 17))

    def run(color: Tensor, pos: Tensor) -> Tensor:
        return antialias(color, rast, pos, tri)

    assert not torch.equal(run(color, pos), color)
    assert torch.autograd.gradcheck(run, (color.requires_grad_(), pos.requires_grad_()), fast_mode=True)


def evaluate(dtype: torch.dtype, backend: Backend) -> list[Tensor]:
    """Return the image and its gradients."""
    pos, tri, color = pyramids(dtype)
    pos, color = pos.requires_grad_(), color.requires_grad_()
    rast, _ = rasterize(pos.detach(), tri, (13, 17), backend=backend)
    out = antialias(color, rast, pos, tri, topology(tri), backend=backend)
    weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(5)).to(dtype)
    return [out.detach(), *torch.autograd.grad((out * weight).sum(), (color, pos))]


def test_values_and_gradients_agree(backend: Backend) -> None:
    found, exact = evaluate(torch.float32, backend), evaluate(torch.float64, "torch")
    for one, other in zip(found, exact, strict=True):
        assert other.abs().max() > 0
        torch.testing.assert_close(one.double(), other, atol=1e-5 * float(other.abs().max()), rtol=1e-4)


def test_many_small_triangles_agree(backend: Backend) -> None:
    """A fine bumpy sheet in a coarse image: silhouettes are several triangles away from the visible ones."""
    cells = 60
    row, column = torch.meshgrid(torch.arange(cells), torch.arange(cells), indexing="ij")
    a = (row * (cells + 1) + column).flatten()
    tri = torch.cat([torch.stack(half, -1) for half in ((a, a + 1, a + cells + 2), (a, a + cells + 2, a + cells + 1))])
    x, y = torch.meshgrid(*[torch.linspace(-0.8, 0.8, cells + 1)] * 2, indexing="xy")
    depth = 0.4 * (5 * x).sin() * (4 * y).cos()
    pos = torch.stack([x + 0.6 * depth, 0.9 * y + 0.7 * depth, depth, torch.ones_like(x)], dim=-1).flatten(0, 1)
    images, grads = [], []
    for form in ("torch", backend):
        moved = pos.clone().requires_grad_()
        image = coverage(moved, tri.int(), 24, form)
        grads.append(torch.autograd.grad((image * torch.linspace(0, 1, 24)).sum(), moved)[0])
        images.append(image.detach())
    assert ((images[0] > 0.01) & (images[0] < 0.99)).sum() > 40
    torch.testing.assert_close(images[1], images[0])
    torch.testing.assert_close(grads[1], grads[0], atol=1e-4, rtol=1e-4)


def test_the_number_of_threads_changes_no_bit(two_threads: Backend) -> None:
    torch.set_num_threads(2)
    several = evaluate(torch.float32, two_threads)
    torch.set_num_threads(1)
    one = evaluate(torch.float32, two_threads)
    assert all(torch.equal(a, b) for a, b in zip(one, several, strict=True))


@pytest.mark.parametrize("triangles", [0, 2])
def test_an_empty_image_stays_as_it_is(backend: Backend, triangles: int) -> None:
    pos, color = square(5.0, 6.0).requires_grad_(), torch.rand(1, 3, 4, 2, requires_grad=True)
    rast, _ = rasterize(pos, QUAD[:triangles], (3, 4), backend=backend)
    found = antialias(color, rast, pos, QUAD[:triangles], backend=backend)
    assert torch.equal(found, color)
    assert torch.equal(torch.autograd.grad(found.sum(), color)[0], torch.ones_like(color))


@pytest.mark.skipif(native.library() is None, reason="the compiled kernels are not built")
def test_the_operators_are_ones() -> None:
    pos, tri, color = pyramids()
    rast, _ = rasterize(pos, tri, (13, 17), backend="cpp")
    inputs = (color.requires_grad_(), rast, pos.requires_grad_(), tri, topology(tri))
    torch.library.opcheck(torch.ops.bozzetto.antialias.default, inputs)
    out, blends, silhouettes = (item.detach() for item in torch.ops.bozzetto.antialias.default(*inputs))
    known = [item.detach() for item in inputs]
    plain = ("test_schema", "test_faketensor")
    torch.library.opcheck(torch.ops.bozzetto.antialias_backward_color.default, (rast, blends, out), test_utils=plain)
    torch.library.opcheck(
        torch.ops.bozzetto.antialias_backward_pos.default, (*known, silhouettes, blends, out), test_utils=plain
    )


@pytest.mark.skipif(native.library() is None, reason="the compiled kernels are not built")
def test_shapes_are_known_without_data() -> None:
    with FakeTensorMode():
        color, pos = torch.empty(2, 5, 7, 3, requires_grad=True), torch.empty(2, 9, 4, requires_grad=True)
        tri = torch.empty(4, 3, dtype=torch.int32)
        out = antialias(color, torch.empty(2, 5, 7, 4), pos, tri, torch.empty(4, 3, dtype=torch.int32), backend="cpp")
        to_color, to_pos = torch.autograd.grad(out.sum(), (color, pos))
        assert to_color.shape == color.shape and to_pos.shape == pos.shape


@pytest.mark.skipif(native.library() is None, reason="the compiled kernels are not built")
def test_an_index_out_of_range_is_an_error() -> None:
    pos, tri, color = pyramids()
    rast, _ = rasterize(pos, tri, (13, 17), backend="cpp")
    with pytest.raises(ValueError, match=r"opposite: indices must lie in \[-1, 60\), got 0 to 99"):
        antialias(color, rast, pos, tri, 99 * (tri == 0).int(), backend="cpp")
    with pytest.raises(ValueError, match="rast: triangle numbers reach"):
        antialias(color, rast, pos, tri[:3], backend="cpp")
