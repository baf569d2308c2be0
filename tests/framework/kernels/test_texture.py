"""Tests of texture sampling: filters, borders, mipmaps and their derivatives, in both forms."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from bozzetto.kernels.api import Backend, BoundaryMode, FilterMode, mipmaps, texture
from bozzetto.kernels.cpp import native

FILTERS: tuple[FilterMode, ...] = ("nearest", "linear", "linear-mipmap-nearest", "linear-mipmap-linear")
BOUNDARIES: tuple[BoundaryMode, ...] = ("wrap", "clamp", "zero")


def scene(
    dtype: torch.dtype = torch.float32, tex_images: int = 1, size: tuple[int, int] = (5, 6)
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return tex, uv outside of the texture on all sides, uv_da of all levels, bias."""
    generator = torch.Generator().manual_seed(1)
    tex = torch.rand(tex_images, 4, 8, 3, generator=generator, dtype=torch.float64)
    uv = torch.rand(2, *size, 2, generator=generator, dtype=torch.float64) * 3 - 1
    uv_da = torch.randn(2, *size, 4, generator=generator, dtype=torch.float64)
    uv_da = uv_da * 0.3 * torch.rand(2, *size, 1, generator=generator, dtype=torch.float64)
    bias = torch.rand(2, *size, generator=generator, dtype=torch.float64) - 0.5
    return tex.to(dtype), uv.to(dtype), uv_da.to(dtype), bias.to(dtype)


def rings() -> list[Tensor]:
    """Return a texture of 16 x 16 texels whose mipmap level k is k everywhere."""
    return [torch.full((1, 16 >> k, 16 >> k, 1), float(k)) for k in range(5)]


def footprint(length_u: float, length_v: float) -> Tensor:
    """Return uv_da of one pixel that covers this much of the texture along X and Y."""
    return torch.tensor([[[[length_u, 0.0, 0.0, length_v]]]])


@pytest.mark.parametrize("filter_mode", ["nearest", "linear"])
@pytest.mark.parametrize("boundary_mode", ["clamp", "zero"])
def test_equals_torch_grid_sample(backend: Backend, filter_mode: FilterMode, boundary_mode: BoundaryMode) -> None:
    tex, uv, _, _ = scene(tex_images=2)
    found = texture(tex, uv, filter_mode=filter_mode, boundary_mode=boundary_mode, backend=backend)
    expected = torch.nn.functional.grid_sample(
        tex.permute(0, 3, 1, 2),
        uv * 2 - 1,
        mode="bilinear" if filter_mode == "linear" else "nearest",
        padding_mode="border" if boundary_mode == "clamp" else "zeros",
        align_corners=False,
    )
    torch.testing.assert_close(found, expected.permute(0, 2, 3, 1))


@pytest.mark.parametrize("filter_mode", FILTERS)
def test_wrap_repeats(backend: Backend, filter_mode: FilterMode) -> None:
    tex, uv, uv_da, _ = scene()
    da = uv_da if "mipmap" in filter_mode else None
    expected = texture(tex, uv, da, filter_mode=filter_mode, backend=backend)
    moved = texture(tex, uv + torch.tensor([3.0, -2.0]), da, filter_mode=filter_mode, backend=backend)
    torch.testing.assert_close(moved, expected, atol=1e-5, rtol=1e-5)


def test_texel_centres_and_the_middle_of_the_seam(backend: Backend) -> None:
    """Column i of row 0 is at ((i + 0.5) / w, 0.5 / h); u = 0 is halfway between the last column and the first."""
    tex = torch.arange(8.0).view(1, 2, 4, 1)
    uv = torch.tensor([[[[0.125, 0.25], [0.875, 0.25], [0.125, 0.75], [0.0, 0.25], [1.0, 0.75]]]])
    found = texture(tex, uv, backend=backend).flatten()
    torch.testing.assert_close(found, torch.tensor([0.0, 3.0, 4.0, 1.5, 5.5]))


def test_mipmaps_are_means_of_two_by_two() -> None:
    tex = torch.arange(16.0).view(1, 2, 8, 1)
    levels = mipmaps(tex)
    assert [tuple(level.shape[1:3]) for level in levels] == [(1, 4), (1, 2), (1, 1)]
    assert levels[0].flatten().tolist() == [4.5, 6.5, 8.5, 10.5]
    assert levels[2].item() == 7.5
    assert len(mipmaps(tex, 2)) == 2


def test_a_side_that_cannot_be_halved_is_an_error(backend: Backend) -> None:
    tex, (uv, uv_da) = torch.zeros(1, 32, 160, 1), scene()[1:3]
    with pytest.raises(ValueError, match=r"tex: level 5 is 1 by 5 texels and cannot be halved; .*max_mip_level=5"):
        texture(tex, uv, uv_da, backend=backend)
    assert texture(tex, uv, uv_da, max_mip_level=5, backend=backend).shape == (2, 5, 6, 1)


@pytest.mark.parametrize(
    ("lengths", "level"),
    [
        ((1 / 16, 1 / 16), 0.0),
        ((2 / 16, 2 / 16), 1.0),
        ((2 / 16, 4 / 16), 2.0),  # the longer axis of the footprint selects the level
        ((math.sqrt(2) * 2 / 16, 0.0), 1.5),
        ((1 / 64, 1 / 64), 0.0),
        ((50.0, 50.0), 4.0),
        ((0.0, 0.0), 0.0),
    ],
)
def test_the_footprint_chooses_the_level(backend: Backend, lengths: tuple[float, float], level: float) -> None:
    base, *mips = rings()
    uv = torch.tensor([[[[0.3, 0.6]]]])
    found = texture(base, uv, footprint(*lengths), mips=mips, backend=backend)
    assert found.item() == pytest.approx(level, abs=1e-5)
    if level != 1.5:
        mode: FilterMode = "linear-mipmap-nearest"
        assert texture(base, uv, footprint(*lengths), mips=mips, filter_mode=mode, backend=backend).item() == level


def test_a_footprint_at_an_angle_counts_by_its_longer_axis(backend: Backend) -> None:
    """Four texels along the diagonal, one across: singular values of the matrix, not its entries."""
    base, *mips = rings()
    turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]])
    uv_da = (turn @ torch.diag(torch.tensor([4.0, 1.0]) / 16) @ turn.T).view(1, 1, 1, 4)
    found = texture(base, torch.zeros(1, 1, 1, 2), uv_da, mips=mips, backend=backend)
    assert found.item() == pytest.approx(2.0, abs=1e-5)


def test_the_bias_shifts_the_level_or_is_it(backend: Backend) -> None:
    base, *mips = rings()
    uv, bias = torch.zeros(1, 1, 1, 2), torch.full((1, 1, 1), 0.75)
    shifted = texture(base, uv, footprint(2 / 16, 2 / 16), bias, mips, backend=backend)
    assert shifted.item() == pytest.approx(1.75, abs=1e-5)
    assert texture(base, uv, None, bias, mips, backend=backend).item() == pytest.approx(0.75, abs=1e-5)
    assert texture(base, uv, None, bias + 9, mips, max_mip_level=2, backend=backend).item() == 2.0


def test_gradient_of_the_level(backend: Backend) -> None:
    """A footprint of twice the length is one level up: d value / d ln(length) = 1 / ln 2 between levels k and k + 1."""
    base, *mips = rings()
    uv_da = footprint(0.2, 0.2).requires_grad_()
    (grad,) = torch.autograd.grad(texture(base, torch.zeros(1, 1, 1, 2), uv_da, mips=mips, backend=backend), uv_da)
    along = (grad * uv_da).sum()
    assert along.item() == pytest.approx(1 / math.log(2), rel=1e-5)


@pytest.mark.parametrize("boundary_mode", BOUNDARIES)
def test_gradients_of_the_torch_form_are_right(boundary_mode: BoundaryMode) -> None:
    inputs = [tensor[:, :2, :3] if tensor.shape[0] == 2 else tensor for tensor in scene(torch.float64)]
    inputs = [tensor.clone().requires_grad_() for tensor in inputs]

    def run(tex: Tensor, uv: Tensor, uv_da: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        smooth = texture(tex, uv, uv_da, bias, boundary_mode=boundary_mode)
        return smooth, texture(tex, uv, boundary_mode=boundary_mode)

    assert torch.autograd.gradcheck(run, inputs, fast_mode=True)


def evaluate(
    dtype: torch.dtype, backend: Backend, tex_images: int, filter_mode: FilterMode, boundary_mode: BoundaryMode,
    size: tuple[int, int] = (5, 6),
) -> list[Tensor]:  # fmt: skip
    """Return the sample and its gradients."""
    tex, uv, uv_da, bias = (tensor.requires_grad_() for tensor in scene(dtype, tex_images, size))
    level = (uv_da, bias) if "mipmap" in filter_mode else (None, None)
    out = texture(tex, uv, *level, filter_mode=filter_mode, boundary_mode=boundary_mode, backend=backend)
    weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(3)).to(dtype)
    inputs = (tex, uv, uv_da, bias)
    grads = torch.autograd.grad((out * weight).sum(), inputs, allow_unused=True)
    return [out.detach(), *(torch.zeros_like(x) if g is None else g for x, g in zip(inputs, grads, strict=True))]


@pytest.mark.parametrize("tex_images", [1, 2])
@pytest.mark.parametrize("filter_mode", FILTERS)
@pytest.mark.parametrize("boundary_mode", BOUNDARIES)
def test_values_and_gradients_agree(
    backend: Backend, tex_images: int, filter_mode: FilterMode, boundary_mode: BoundaryMode
) -> None:
    found = evaluate(torch.float32, backend, tex_images, filter_mode, boundary_mode)
    exact = evaluate(torch.float64, "torch", tex_images, filter_mode, boundary_mode)
    for one, other in zip(found, exact, strict=True):
        torch.testing.assert_close(one.double(), other, atol=2e-5 * (1 + float(other.abs().max())), rtol=1e-4)


def test_mipmaps_given_by_hand_get_gradients_of_their_own(backend: Backend) -> None:
    base, *mips = (level.requires_grad_() for level in rings())
    found = texture(base, torch.zeros(1, 1, 1, 2), footprint(3 / 16, 3 / 16), mips=mips, backend=backend)
    grads = torch.autograd.grad(found, (base, *mips), allow_unused=True)
    sums = [0.0 if grad is None else float(grad.sum()) for grad in grads]
    share = math.log2(3) - 1
    assert sums == pytest.approx([0, 1 - share, share, 0, 0], abs=1e-5)


def test_coordinates_that_are_not_numbers_stay_inside_the_memory(backend: Backend) -> None:
    if backend == "torch":
        pytest.skip("the torch form reports what torch does")
    tex, uv, uv_da, _ = scene()
    uv[0, 0, 0], uv[0, 0, 1, 0], uv_da[0, 0, 2] = math.nan, math.inf, math.nan
    for filter_mode in FILTERS:
        for boundary_mode in BOUNDARIES:
            da = uv_da if "mipmap" in filter_mode else None
            found = texture(tex, uv, da, filter_mode=filter_mode, boundary_mode=boundary_mode, backend=backend)
            assert found[0, 1:].isfinite().all()


@pytest.mark.parametrize("tex_images", [1, 2])
def test_the_number_of_threads_changes_no_bit(same_bits_on_two_threads: Callable, tex_images: int) -> None:
    """Two images of 2500 pixels: the kernels give a thread at least 4096."""
    same_bits_on_two_threads(
        lambda: evaluate(torch.float32, "cpp", tex_images, "linear-mipmap-linear", "wrap", (50, 50))
    )


@pytest.mark.skipif(native.library() is None, reason="the compiled kernels are not built")
def test_the_operators_are_ones() -> None:
    tex, uv, _, level = scene()
    levels, level = [tex, *mipmaps(tex)], level.abs()
    known = (levels, uv, level, "linear-mipmap-linear", "wrap")
    operators = torch.ops.bozzetto
    for backward in (operators.texture_backward_points.default, operators.texture_backward_levels.default):
        inputs = (*known, uv.new_ones(2, 5, 6, 3))
        torch.library.opcheck(backward, inputs, test_utils=("test_schema", "test_faketensor"))
    for tensor in (*levels, uv, level):
        tensor.requires_grad_()
    torch.library.opcheck(torch.ops.bozzetto.texture.default, known)


@pytest.mark.skipif(native.library() is None, reason="the compiled kernels are not built")
def test_shapes_are_known_without_data() -> None:
    with FakeTensorMode():
        tex, uv = torch.empty(1, 8, 8, 3, requires_grad=True), torch.empty(2, 5, 7, 2, requires_grad=True)
        out = texture(tex, uv, torch.empty(2, 5, 7, 4), backend="cpp")
        assert out.shape == (2, 5, 7, 3)
        to_tex, to_uv = torch.autograd.grad(out.sum(), (tex, uv))
        assert to_tex.shape == tex.shape and to_uv.shape == uv.shape


def test_errors_name_the_argument(backend: Backend) -> None:
    tex, uv, uv_da, _ = scene()
    with pytest.raises(ValueError, match="filter_mode: 'linear-mipmap-linear' needs uv_da or mip_level_bias"):
        texture(tex, uv, filter_mode="linear-mipmap-linear", backend=backend)
    with pytest.raises(ValueError, match=r"mips\[0\]: expected shape \(1, 2, 4, 3\), got \(1, 4, 8, 3\)"):
        texture(tex, uv, uv_da, mips=[tex], backend=backend)
