"""Tests of rasterisation: known pixels, the fill rule, clipping, and derivatives, in both forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from bozzetto.kernels.api import Backend, interpolate, rasterize
from bozzetto.kernels.cpp import native

NEAR, FAR = 0.1, 20.0


def perspective(fov_y_deg: float = 90.0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return OpenGL's projection of a square image: camera at the origin, looking along -z."""
    scale = 1.0 / math.tan(math.radians(fov_y_deg) / 2)
    depth = [0.0, 0.0, -(FAR + NEAR) / (FAR - NEAR), -2 * FAR * NEAR / (FAR - NEAR)]
    return torch.tensor([[scale, 0, 0, 0], [0, scale, 0, 0], depth, [0, 0, -1, 0]], dtype=dtype)


def project(points: Tensor, **camera: float) -> Tensor:
    return torch.nn.functional.pad(points, (0, 1), value=1.0) @ perspective(**camera, dtype=points.dtype).T


def flat(*corners: tuple[float, float], z: float = 0.0) -> Tensor:
    """Return clip-space points at w = 1."""
    return torch.tensor([[x, y, z, 1.0] for x, y in corners])


def soup(triangles: int = 120, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return two views of random triangles in front of, behind and through the camera, and far outside the image."""
    generator = torch.Generator().manual_seed(seed)
    pos = torch.randn(2, 90, 4, generator=generator) * torch.tensor([1.0, 1.0, 0.7, 1.0])
    pos[:, ::7] *= torch.tensor([300.0, 900.0, 1.0, 1.0])
    return pos, torch.randint(0, 90, (triangles, 3), generator=generator, dtype=torch.int32)


def sheet(cells: int, seed: int, size: float = 1.3) -> tuple[Tensor, Tensor]:
    """Return a square of jittered vertices (x, y) that overlaps [-1, 1]^2; some lie on centres of 8 x 8 pixels."""
    generator = torch.Generator().manual_seed(seed)
    steps = torch.linspace(-size, size, cells + 1)
    points = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1)
    points[1:-1, 1:-1] += (torch.rand(cells - 1, cells - 1, 2, generator=generator) - 0.5) * (size / cells)
    snapped = ((points[1:-1:2, 1:-1:2] * 4 - 0.5).round() + 0.5) / 4
    points[1:-1:2, 1:-1:2] = snapped
    row, column = torch.meshgrid(torch.arange(cells), torch.arange(cells), indexing="ij")
    a = (row * (cells + 1) + column).flatten()
    b, c, d = a + 1, a + cells + 2, a + cells + 1
    flip = torch.rand(cells * cells, 1, generator=generator) < 0.5
    first = torch.where(flip, torch.stack([a, b, c], -1), torch.stack([a, b, d], -1))
    second = torch.where(flip, torch.stack([a, c, d], -1), torch.stack([d, b, c], -1))
    return points.flatten(0, 1), torch.cat([first, second]).int()


def coverage(pos: Tensor, tri: Tensor, size: int, backend: Backend) -> Tensor:
    """Count the triangles that cover each pixel: one image per triangle, in which all others are removed."""
    alone = torch.where(torch.eye(len(tri), dtype=torch.bool)[:, :, None, None], pos[tri.long()], math.nan)
    numbers = torch.arange(3 * len(tri), dtype=torch.int32).view(-1, 3)
    rast, _ = rasterize(alone.flatten(1, 2), numbers, (size, size), backend=backend)
    return (rast[..., 3] > 0).float().sum(dim=0)


def test_a_triangle_at_known_pixels(backend: Backend) -> None:
    pos = flat((-1, -1), (1, -1), (-1, 1), z=0.25)
    rast, rast_db = rasterize(pos, torch.tensor([[0, 1, 2]], dtype=torch.int32), (4, 4), backend=backend)
    centre = (torch.arange(4) + 0.5) / 4
    v, last = torch.meshgrid(centre, centre, indexing="xy")
    seen = v + last < 1  # pixel centres on the hypotenuse do not belong to this triangle: it is a right edge
    expected = torch.stack([1 - v - last, v, torch.full_like(v, 0.25), torch.ones_like(v)], dim=-1) * seen[..., None]
    torch.testing.assert_close(rast[0], expected)
    change = torch.tensor([-0.25, -0.25, 0.25, 0.0]) * seen[..., None]
    torch.testing.assert_close(rast_db[0], change)


def test_a_cube_at_known_pixels(backend: Backend) -> None:
    """The front face covers 4 x 4 pixels, one pixel above the centre; no other face is visible. Row 0 is the lowest."""
    corners = torch.tensor([[x, y, z] for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)])
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    tri = torch.tensor([half for a, b, c, d in quads for half in ((a, b, c), (a, c, d))], dtype=torch.int32)
    pos = project(corners + torch.tensor([0.0, 0.5, -3.0]))
    rast, _ = rasterize(pos, tri, (8, 8), backend=backend)
    expected = torch.zeros(8, 8)
    expected[3:7, 2:6] = 1
    assert torch.equal((rast[0, ..., 3] > 0).float(), expected)
    seen = rast[0, 3:7, 2:6]
    assert torch.equal(seen[..., 3], 11.0 + torch.ones(4, 4).tril(-1))  # the diagonal is a left edge of triangle 11
    depth = ((FAR + NEAR) * 2.0 - 2 * FAR * NEAR) / (FAR - NEAR) / 2.0
    torch.testing.assert_close(seen[..., 2], torch.full((4, 4), depth))


def test_barycentrics_are_perspective_correct(backend: Backend) -> None:
    """Interpolated positions are the intersections of the pixels' rays with the triangle's plane."""
    points = torch.tensor([[-2.0, -1.0, -2.0], [3.0, -2.0, -6.0], [0.0, 2.0, -3.0]])
    tri = torch.tensor([[0, 1, 2]], dtype=torch.int32)
    rast, rast_db = rasterize(project(points), tri, (16, 16), backend=backend)
    found, change = interpolate(points, rast, tri, rast_db, "all", backend=backend)
    seen = rast[0, ..., 3] > 0
    assert seen.sum() > 40

    def meet(x: Tensor, y: Tensor) -> Tensor:
        ray = torch.stack([x, y, -torch.ones_like(x)], dim=-1)
        normal = torch.linalg.cross(points[1] - points[0], points[2] - points[0])
        return ray * ((points[0] @ normal) / (ray @ normal))[..., None]

    centre = (torch.arange(16) + 0.5) / 8 - 1
    x, y = torch.meshgrid(centre, centre, indexing="xy")
    torch.testing.assert_close(found[0][seen], meet(x, y)[seen], atol=1e-4, rtol=1e-4)
    step = 1e-2
    along_x = (meet(x + step, y) - meet(x - step, y)) / (2 * step) / 8
    along_y = (meet(x, y + step) - meet(x, y - step)) / (2 * step) / 8
    expected = torch.stack([along_x, along_y], dim=-1).flatten(-2)
    torch.testing.assert_close(change[0][seen], expected[seen], atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize("seed", range(4))
def test_each_pixel_of_a_closed_sheet_is_covered_exactly_once(backend: Backend, seed: int) -> None:
    points, tri = sheet(5, seed)
    w = 0.5 + torch.rand(len(points), 1, generator=torch.Generator().manual_seed(seed))
    pos = torch.cat([points, torch.zeros_like(points[:, :1]), torch.ones_like(points[:, :1])], dim=-1) * w
    for size in (8, 23):
        assert torch.equal(coverage(pos, tri, size, backend), torch.ones(size, size))


def test_vertices_on_pixel_centres_are_covered_exactly_once(backend: Backend) -> None:
    """A fan of thin triangles around a pixel centre: all of them tie."""
    angle = torch.arange(16) * (2 * math.pi / 16)
    rim = torch.stack([angle.cos(), angle.sin()], dim=-1) * 4 + 0.125
    pos = torch.nn.functional.pad(torch.cat([torch.tensor([[0.125, 0.125]]), rim]), (0, 2))
    pos[:, 3] = 1.0
    numbers = torch.arange(16)
    tri = torch.stack([torch.zeros_like(numbers), numbers + 1, (numbers + 1) % 16 + 1], dim=-1).int()
    assert torch.equal(coverage(pos, tri, 8, backend), torch.ones(8, 8))


def ground() -> tuple[Tensor, Tensor]:
    """Return a plane at y = -1 of jittered triangles, around and far behind the camera."""
    points, tri = sheet(4, seed=1, size=30.0)
    points[..., 1] += 5.0  # vertices beside and behind the camera, none near its plane
    return torch.stack([points[:, 0], torch.full_like(points[:, 0], -1.0), points[:, 1]], dim=-1), tri


def test_the_ground_passing_under_the_camera_is_clipped_not_dropped(backend: Backend) -> None:
    points, tri = ground()
    size = 16
    rast, _ = rasterize(project(points), tri, (size, size), backend=backend)
    centre = (torch.arange(size) + 0.5) * (2 / size) - 1
    x, y = torch.meshgrid(centre, centre, indexing="xy")
    distance = torch.where(y < 0, -1 / y, torch.inf)
    expected = (distance > NEAR) & (distance < FAR)
    assert torch.equal(rast[0, ..., 3] > 0, expected)
    found, _ = interpolate(points, rast, tri, backend=backend)
    meets = torch.stack([x, y, -torch.ones_like(x)], dim=-1) * distance[..., None]
    torch.testing.assert_close(found[0][expected], meets[expected], atol=1e-3, rtol=1e-4)
    w = distance[expected]
    torch.testing.assert_close(rast[0, ..., 2][expected], ((FAR + NEAR) * w - 2 * FAR * NEAR) / (FAR - NEAR) / w)


def test_clipped_triangles_leave_no_cracks(backend: Backend) -> None:
    points, tri = ground()
    pos = project(points)
    seen = rasterize(pos, tri, (32, 32), backend=backend)[0][0, ..., 3] > 0
    assert torch.equal(coverage(pos, tri, 32, backend), seen.float())
    pos[:, 2] = 0.0  # neither near nor far: all below the horizon of the plane
    assert torch.equal(coverage(pos, tri, 32, backend)[:15], torch.ones(15, 32))


def test_the_far_plane_cuts(backend: Backend) -> None:
    pos = torch.tensor([[-3.0, -3.0, -0.5, 1.0], [3.0, -3.0, 2.5, 1.0], [-3.0, 3.0, -0.5, 1.0], [3.0, 3.0, 2.5, 1.0]])
    tri = torch.tensor([[0, 1, 2], [2, 1, 3]], dtype=torch.int32)
    rast, _ = rasterize(pos, tri, (8, 8), backend=backend)
    x = (torch.arange(8) + 0.5) / 4 - 1
    assert torch.equal(rast[0, ..., 3] > 0, (0.5 * x + 1 <= 1).expand(8, 8))


def test_the_nearer_triangle_is_seen_and_the_lower_number_at_a_tie(backend: Backend) -> None:
    corners = ((-1, -1), (3, -1), (-1, 3))
    pos = torch.cat([flat(*corners, z=0.5), flat(*corners, z=-0.5), flat(*corners, z=-0.5)])
    tri = torch.arange(9, dtype=torch.int32).view(3, 3)
    assert (rasterize(pos, tri, (4, 4), backend=backend)[0][..., 3] == 2).all()


def test_both_sides_are_drawn(backend: Backend) -> None:
    pos = flat((-1, -1), (3, -1), (-1, 3))
    for order in ((0, 1, 2), (0, 2, 1)):
        rast, _ = rasterize(pos, torch.tensor([order], dtype=torch.int32), (4, 4), backend=backend)
        assert (rast[..., 3] == 1).all()


def test_a_vertex_that_is_not_a_number_takes_its_triangles_away(backend: Backend) -> None:
    pos = flat((-1, -1), (3, -1), (-1, 3), (math.nan, 0), (0, math.inf))
    tri = torch.tensor([[0, 1, 3], [0, 4, 2], [0, 1, 2]], dtype=torch.int32)
    assert (rasterize(pos, tri, (4, 4), backend=backend)[0][..., 3] == 3).all()


@pytest.mark.parametrize("triangles", [0, 3])
def test_nothing_to_see(backend: Backend, triangles: int) -> None:
    pos = torch.full((1, 4, 4), 5.0) * torch.tensor([1.0, 1.0, 1.0, -1.0])
    tri = torch.zeros(triangles, 3, dtype=torch.int32)
    rast, rast_db = rasterize(pos, tri, (3, 5), backend=backend)
    assert torch.equal(rast, torch.zeros(1, 3, 5, 4)) and torch.equal(rast_db, torch.zeros(1, 3, 5, 4))


@pytest.mark.parametrize("seed", range(3))
def test_both_forms_see_the_same_triangles(backend: Backend, seed: int) -> None:
    pos, tri = soup(seed=seed)
    one, one_db = rasterize(pos, tri, (21, 34), backend="torch")
    other, other_db = rasterize(pos, tri, (21, 34), backend=backend)
    assert torch.equal(one[..., 3], other[..., 3]) and torch.equal(one[..., 2], other[..., 2])
    assert len(one[..., 3].unique()) > 10
    torch.testing.assert_close(one, other)
    torch.testing.assert_close(one_db, other_db)


def two_triangles() -> tuple[Tensor, Tensor]:
    points = torch.tensor([[-1.1, -1.2, -2.0], [1.3, -0.9, -3.1], [-0.7, 1.4, -2.5], [1.2, 1.0, -1.7]])
    return points.double(), torch.tensor([[0, 1, 2], [2, 1, 3]], dtype=torch.int32)


def test_gradients_of_the_torch_form_are_right() -> None:
    points, tri = two_triangles()

    def run(pos: Tensor) -> tuple[Tensor, Tensor]:
        rast, rast_db = rasterize(pos, tri, (5, 6))
        return rast[..., :2], rast_db

    assert torch.autograd.gradcheck(run, project(points).requires_grad_())


def gradient(pos: Tensor, tri: Tensor, backend: Backend, parts: str) -> Tensor:
    pos = pos.clone().requires_grad_()
    rast, rast_db = rasterize(pos, tri, (21, 34), backend=backend)
    generator = torch.Generator().manual_seed(8)
    weights = [torch.randn(rast.shape, generator=generator).to(pos.dtype) for _ in range(2)]
    terms = {"u": (rast * weights[0])[..., :2].sum(), "d": 0.1 * (rast_db * weights[1]).sum(), "z": rast[..., 2:].sum()}
    return torch.autograd.grad(sum(terms[part] for part in parts), pos)[0]


@pytest.mark.parametrize("parts", ["u", "d", "ud"])
def test_gradients_agree(backend: Backend, parts: str) -> None:
    pos, tri = soup()
    exact = gradient(pos.double(), tri, "torch", parts)
    found = gradient(pos, tri, backend, parts)
    torch.testing.assert_close(found.double(), exact, atol=1e-6 * float(exact.abs().max()), rtol=1e-4)


def test_depth_carries_no_gradient(backend: Backend) -> None:
    pos, tri = soup()
    assert torch.equal(gradient(pos, tri, backend, "z"), torch.zeros_like(pos))


def test_the_number_of_threads_changes_no_bit(two_threads: Backend) -> None:
    pos, tri = soup()
    torch.set_num_threads(2)
    several = [*rasterize(pos, tri, (64, 48), backend=two_threads), gradient(pos, tri, two_threads, "ud")]
    torch.set_num_threads(1)
    one = [*rasterize(pos, tri, (64, 48), backend=two_threads), gradient(pos, tri, two_threads, "ud")]
    assert all(torch.equal(a, b) for a, b in zip(one, several, strict=True))


@pytest.mark.skipif(native.library() is None, reason="the compiled kernels are not built")
def test_the_operator_is_one() -> None:
    points, tri = two_triangles()
    pos = project(points).float()[None].requires_grad_()
    torch.library.opcheck(torch.ops.bozzetto.rasterize.default, (pos, tri, 4, 5))
    rast = rasterize(pos.detach(), tri, (4, 5), backend="cpp")[0]
    known = (pos.detach(), tri, rast, rast, rast)
    plain = ("test_schema", "test_faketensor")
    torch.library.opcheck(torch.ops.bozzetto.rasterize_backward.default, known, test_utils=plain)


@pytest.mark.skipif(native.library() is None, reason="the compiled kernels are not built")
def test_shapes_are_known_without_data() -> None:
    with FakeTensorMode():
        pos, tri = torch.empty(2, 9, 4, requires_grad=True), torch.empty(3, 3, dtype=torch.int32)
        rast, rast_db = rasterize(pos, tri, (5, 7), backend="cpp")
        assert rast.shape == rast_db.shape == (2, 5, 7, 4)
        assert torch.autograd.grad(rast.sum(), pos)[0].shape == pos.shape


def test_errors_name_the_argument(backend: Backend) -> None:
    pos, tri = flat((0, 0), (1, 0), (0, 1)), torch.tensor([[0, 1, 2]], dtype=torch.int32)
    with pytest.raises(ValueError, match=r"tri: expected int32, got torch.int64"):
        rasterize(pos, tri.long(), (4, 4), backend=backend)
    with pytest.raises(ValueError, match=r"resolution: height and width must lie in \[1, 16384\], got \(0, 4\)"):
        rasterize(pos, tri, (0, 4), backend=backend)


@pytest.mark.skipif(native.library() is None, reason="the compiled kernels are not built")
def test_an_index_beyond_the_vertices_is_an_error() -> None:
    pos = flat((0, 0), (1, 0), (0, 1))
    for corner in (-1, 3):
        with pytest.raises(ValueError, match=rf"tri: indices must lie in \[0, 3\), got {min(corner, 0)} to "):
            rasterize(pos, torch.tensor([[0, 1, corner]], dtype=torch.int32), (4, 4), backend="cpp")
