"""Tests of attribute interpolation over rasterised pixels, both forms, with derivatives."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from bozzetto.kernels.api import Backend, interpolate
from bozzetto.kernels.cpp import native

HEIGHT, WIDTH, VERTICES = 5, 6, 7
TRI = torch.tensor([[0, 1, 2], [2, 1, 3], [4, 5, 6]], dtype=torch.int32)


def scene(
    dtype: torch.dtype = torch.float32, attr_images: int = 2, size: tuple[int, int] = (HEIGHT, WIDTH)
) -> tuple[Tensor, Tensor, Tensor]:
    """Return attributes and two rasterised images with holes; u, v anywhere in their triangle."""
    generator = torch.Generator().manual_seed(2)
    attr = torch.randn(attr_images, VERTICES, 4, generator=generator, dtype=torch.float64)
    weight = torch.rand(2, *size, 3, generator=generator, dtype=torch.float64) + 0.05
    weight = weight / weight.sum(dim=-1, keepdim=True)
    number = torch.randint(0, 4, (2, *size, 1), generator=generator).double()
    rast = torch.cat([weight[..., :2], 0.3 * torch.ones_like(number), number], dim=-1) * (number > 0)
    rast_db = torch.randn(2, *size, 4, generator=generator, dtype=torch.float64) * (number > 0)
    return attr.to(dtype), rast.to(dtype), rast_db.to(dtype)


def test_attributes_are_weighted_by_the_barycentrics(backend: Backend) -> None:
    attr, rast, rast_db = scene()
    out, out_da = interpolate(attr, rast, TRI, rast_db, [3, 0], backend=backend)
    assert out_da.shape == (2, HEIGHT, WIDTH, 4)
    for image in range(2):
        for row in range(HEIGHT):
            for column in range(WIDTH):
                u, v, _, number = rast[image, row, column].tolist()
                if number == 0:
                    assert not out[image, row, column].any() and not out_da[image, row, column].any()
                    continue
                a, b, c = attr[image, TRI[int(number) - 1].long()]
                torch.testing.assert_close(out[image, row, column], u * a + v * b + (1 - u - v) * c)
                ux, uy, vx, vy = rast_db[image, row, column].tolist()
                along = torch.stack([ux * (a - c) + vx * (b - c), uy * (a - c) + vy * (b - c)], dim=-1)
                torch.testing.assert_close(out_da[image, row, column], along[[3, 0]].flatten())


def test_attributes_may_be_shared_by_all_images(backend: Backend) -> None:
    attr, rast, _ = scene(attr_images=1)
    expected, none = interpolate(attr.expand(2, -1, -1), rast, TRI, backend=backend)
    assert none.shape == (2, HEIGHT, WIDTH, 0)
    for shared in (attr, attr[0]):
        torch.testing.assert_close(interpolate(shared, rast, TRI, backend=backend)[0], expected)


def test_gradients_of_the_torch_form_are_right() -> None:
    attr, rast, rast_db = scene(torch.float64, attr_images=1)
    uv, rest = rast.split(2, dim=-1)
    inputs = (attr.requires_grad_(), uv.clone().requires_grad_(), rast_db.requires_grad_())

    def run(attr: Tensor, uv: Tensor, rast_db: Tensor) -> tuple[Tensor, Tensor]:
        return interpolate(attr, torch.cat([uv, rest], dim=-1), TRI, rast_db, [2, 0])

    assert torch.autograd.gradcheck(run, inputs)


def gradients(
    dtype: torch.dtype, backend: Backend, attr_images: int, chosen: list[int] | None,
    size: tuple[int, int] = (HEIGHT, WIDTH),
) -> list[Tensor]:  # fmt: skip
    """Return the interpolated attributes, their derivatives, and the gradients of both."""
    inputs = [tensor.requires_grad_() for tensor in scene(dtype, attr_images, size)]
    out, out_da = interpolate(inputs[0], inputs[1], TRI, inputs[2], chosen, backend=backend)
    generator = torch.Generator().manual_seed(4)
    loss = (out * torch.randn(out.shape, generator=generator).to(dtype)).sum()
    loss = loss + (out_da * torch.randn(out_da.shape, generator=generator).to(dtype)).sum()
    wanted = inputs if chosen else inputs[:2]
    return [out.detach(), out_da.detach(), *torch.autograd.grad(loss, wanted)]


@pytest.mark.parametrize("attr_images", [1, 2])
@pytest.mark.parametrize("chosen", [None, [1, 1, 3]])
def test_gradients_agree(backend: Backend, attr_images: int, chosen: list[int] | None) -> None:
    found = gradients(torch.float32, backend, attr_images, chosen)
    exact = gradients(torch.float64, "torch", attr_images, chosen)
    for one, other in zip(found, exact, strict=True):
        torch.testing.assert_close(one.double(), other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("attr_images", [1, 2])
def test_the_number_of_threads_changes_no_bit(same_bits_on_two_threads: Callable, attr_images: int) -> None:
    """Two images of 2500 pixels: the kernels give a thread at least 4096."""
    same_bits_on_two_threads(lambda: gradients(torch.float32, "cpp", attr_images, [0], (50, 50)))


@pytest.mark.skipif(native.library() is None, reason="the compiled kernels are not built")
def test_the_operators_are_ones() -> None:
    attr, rast, rast_db = scene()
    inputs = (attr.requires_grad_(), rast.requires_grad_(), TRI, rast_db.requires_grad_(), [1])
    torch.library.opcheck(torch.ops.bozzetto.interpolate.default, inputs)
    out, out_da = (tensor.detach() for tensor in interpolate(attr, rast, TRI, rast_db, [1], backend="cpp"))
    known = (attr.detach(), rast.detach(), TRI, rast_db.detach(), [1], out, out_da)
    operators = torch.ops.bozzetto
    for backward in (operators.interpolate_backward_attr.default, operators.interpolate_backward_rast.default):
        torch.library.opcheck(backward, known, test_utils=("test_schema", "test_faketensor"))


@pytest.mark.skipif(native.library() is None, reason="the compiled kernels are not built")
def test_shapes_are_known_without_data() -> None:
    with FakeTensorMode():
        attr, rast = torch.empty(1, 9, 3, requires_grad=True), torch.empty(2, 5, 7, 4, requires_grad=True)
        tri = torch.empty(4, 3, dtype=torch.int32)
        out, out_da = interpolate(attr, rast, tri, torch.empty(2, 5, 7, 4), "all", backend="cpp")
        assert out.shape == (2, 5, 7, 3) and out_da.shape == (2, 5, 7, 6)
        to_attr, to_rast = torch.autograd.grad(out.sum() + out_da.sum(), (attr, rast))
        assert to_attr.shape == attr.shape and to_rast.shape == rast.shape


def test_errors_name_the_argument(backend: Backend) -> None:
    attr, rast, rast_db = scene()
    with pytest.raises(ValueError, match=r"diff_attrs: numbers must lie in \[0, 4\), got \[4\]"):
        interpolate(attr, rast, TRI, rast_db, [4], backend=backend)


@pytest.mark.skipif(native.library() is None, reason="the compiled kernels are not built")
def test_a_raster_of_another_mesh_is_an_error() -> None:
    attr, rast, _ = scene()
    with pytest.raises(ValueError, match="rast: triangle numbers reach 3, but tri has 2 triangles"):
        interpolate(attr, rast, TRI[:2], backend="cpp")
    with pytest.raises(ValueError, match=r"tri: indices must lie in \[0, 6\), got 0 to 6"):
        interpolate(attr[:, :6], rast, TRI, backend="cpp")
