"""Tests of the torch rasteriser against closed forms, finite differences and a dense reference; arguments of gsplat."""

from __future__ import annotations

import math
import sys
import types

import pytest
import torch
from bozzetto.errors import ConfigError
from bozzetto.types import Cameras
from torch import Tensor

from bozzetto_gsplat import rasterize_gsplat
from bozzetto_gsplat.cloud import Cloud
from bozzetto_gsplat.projection import BLUR, depths, focal_px, project
from bozzetto_gsplat.rasterize_torch import MAX_ALPHA, MIN_ALPHA, rasterize


def dense(cloud: Cloud, values: Tensor, viewmats: Tensor, intrinsics: Tensor, width: int, height: int) -> Tensor:
    """Evaluate every Gaussian at every pixel in sequence, in OpenCV's conventions; return values, then opacity."""
    pictures = []
    for view, matrix in enumerate(viewmats):
        own = cloud.position @ matrix[:3, :3].T + matrix[:3, 3]
        focal_x, focal_y = intrinsics[view, 0, 0], intrinsics[view, 1, 1]
        rows, columns = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
        total, passed = torch.zeros(height, width, values.shape[-1]), torch.ones(height, width)
        for i in own[:, 2].argsort():
            x, y, z = own[i]
            if z <= 0.01:
                continue
            jacobian = torch.stack(
                [
                    torch.stack([focal_x / z, 0 * z, -focal_x * x / z**2]),
                    torch.stack([0 * z, focal_y / z, -focal_y * y / z**2]),
                ]
            )
            turn = matrix[:3, :3] @ cloud.rotation[i]
            covariance = jacobian @ turn @ torch.diag(cloud.scale[i] ** 2) @ turn.T @ jacobian.T + BLUR * torch.eye(2)
            middle = torch.stack([focal_x * x / z, focal_y * y / z]) + intrinsics[view, :2, 2]
            away = torch.stack([columns, rows], dim=-1) - middle
            squared = torch.einsum("hwi,ij,hwj->hw", away, torch.linalg.inv(covariance), away)
            alpha = (cloud.opacity[i] * torch.exp(-0.5 * squared)).clamp(max=MAX_ALPHA)
            alpha = torch.where(alpha >= MIN_ALPHA, alpha, 0.0)
            total = total + (passed * alpha)[..., None] * values[view, i]
            passed = passed * (1.0 - alpha)
        pictures.append(torch.cat([total, 1.0 - passed[..., None]], dim=-1))
    return torch.stack(pictures)


def around(scenes) -> Cameras:
    """Return three non-square cameras, one of them inside the cloud."""
    one = scenes.camera(height=18, width=25, fov_y_rad=0.8)
    turns = torch.tensor(
        [[[0.6, -0.8, 0.0], [0.8, 0.6, 0.0], [0.0, 0.0, 1.0]], torch.eye(3).tolist(), torch.eye(3).tolist()]
    )
    c2w = one.c2w.repeat(3, 1, 1)
    c2w[:, :3] = turns @ c2w[:, :3]
    c2w[2, 0, 3] = 1.0
    return Cameras(c2w, one.fov_y_rad.repeat(3), 18, 25)


def test_one_gaussian_is_its_closed_form(scenes) -> None:
    cloud = scenes.round_cloud([[0.0, 0.1, 0.2]], [0.15], [0.7])
    camera = scenes.camera()
    picture, opacity = rasterize(cloud, torch.tensor([[[2.0]]]), camera)
    focal = float(focal_px(camera)[0])
    rows, columns = torch.meshgrid(torch.arange(21) + 0.5, torch.arange(21) + 0.5, indexing="ij")
    x, y = columns - (10.5 + focal * 0.1 / 4.0), rows - (10.5 - focal * 0.2 / 4.0)
    # For slope s, the Jacobian scales x and y by f / z and adds their product with the slopes.
    sigma, slope = 0.15 * focal / 4.0, torch.tensor([0.1 / 4.0, -0.2 / 4.0])
    covariance = sigma**2 * (torch.eye(2) + torch.outer(slope, slope)) + BLUR * torch.eye(2)
    away = torch.stack([x, y], dim=-1)
    squared = torch.einsum("hwi,ij,hwj->hw", away, torch.linalg.inv(covariance), away)
    expected = 0.7 * torch.exp(-0.5 * squared)
    expected = torch.where(expected >= MIN_ALPHA, expected, 0.0)
    torch.testing.assert_close(opacity[0, ..., 0], expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(picture[0, ..., 0], 2.0 * expected, atol=1e-5, rtol=1e-4)


def test_of_two_gaussians_the_nearer_hides_the_farther(scenes) -> None:
    """Through both centres: a1 v1 + (1 - a1) a2 v2, independent of the order in the list."""
    near, far = [0.5, 0.0, 0.0], [-0.5, 0.0, 0.0]
    for position, opacity, values in (([near, far], [0.6, 0.5], [1.0, 10.0]), ([far, near], [0.5, 0.6], [10.0, 1.0])):
        cloud = scenes.round_cloud(position, [0.2, 0.2], opacity)
        picture, covered = rasterize(cloud, torch.tensor(values)[None, :, None], scenes.camera())
        assert float(picture[0, 10, 10, 0]) == pytest.approx(0.6 * 1.0 + 0.4 * 0.5 * 10.0, abs=1e-4)
        assert float(covered[0, 10, 10, 0]) == pytest.approx(1.0 - 0.4 * 0.5, abs=1e-5)


def test_many_gaussians_equal_the_dense_picture_in_opencv_conventions(scenes) -> None:
    """The dense reference receives gsplat's arguments: this tests matrices, intrinsics and pixel centres."""
    cloud, cameras = scenes.cloud(), around(scenes)
    values = torch.randn(3, len(cloud), 5, generator=torch.Generator().manual_seed(1))
    seen = rasterize(cloud, values, cameras)
    matrices, intrinsics = rasterize_gsplat.world_to_opencv(cameras.c2w), rasterize_gsplat.intrinsics(cameras)
    expected = dense(cloud, values, matrices, intrinsics, cameras.width, cameras.height)
    far = slice(0, 2)  # the third camera has Gaussians beside it, whose Jacobian is clamped
    torch.testing.assert_close(seen.opacity[far, ..., 0], expected[far, ..., -1], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(seen.accumulated[far], expected[far, ..., :-1], atol=1e-4, rtol=1e-3)
    assert bool(seen.accumulated.isfinite().all())


def test_gradients_are_those_of_finite_differences(scenes) -> None:
    """For every field of the cloud and the values; opaque enough that no pair appears or disappears."""
    cloud = scenes.round_cloud([[0.0, 0.05, -0.1], [-0.4, -0.1, 0.1]], [0.4, 0.5], [0.6, 0.7])
    camera = scenes.camera(height=3, width=3, fov_y_rad=0.05)
    weight = torch.linspace(-1.0, 1.0, 18).view(1, 3, 3, 2)

    def loss(position: Tensor, scale: Tensor, quaternion: Tensor, opacity: Tensor, values: Tensor) -> Tensor:
        changed = Cloud(position, scale, quaternion / quaternion.norm(dim=-1, keepdim=True), opacity, cloud.features)
        seen = rasterize(changed, values, camera)
        return (seen.accumulated * weight).sum() + (seen.opacity * weight[..., :1]).sum()

    uneven = cloud.scale * torch.tensor([1.0, 0.7, 1.4])
    turned = torch.tensor([[0.9, 0.1, 0.2, -0.3], [0.8, -0.3, 0.2, 0.1]])
    values = torch.tensor([[[0.3, -0.5], [0.9, 0.2]]])
    inputs = [t.clone().requires_grad_() for t in (cloud.position, uneven, turned, cloud.opacity, values)]
    loss(*inputs).backward()
    for which, leaf in enumerate(inputs):
        gradient = leaf.grad.flatten()
        assert bool(gradient.count_nonzero())
        for index in range(leaf.numel()):
            both = []
            for sign in (1.0, -1.0):
                moved = [t.detach().clone() for t in inputs]
                moved[which].view(-1)[index] += sign * 1e-2
                both.append(float(loss(*moved)))
            assert float(gradient[index]) == pytest.approx((both[0] - both[1]) / 2e-2, abs=3e-3, rel=2e-2)


def test_nothing_in_the_picture_is_no_trouble(scenes) -> None:
    cloud = scenes.round_cloud([[6.0, 0.0, 0.0], [0.0, 0.0, 9.0]], [0.1, 0.1], [0.9, 0.9])  # behind, and above
    values = torch.ones(1, 2, 1, requires_grad=True)
    seen = rasterize(cloud, values, scenes.camera())
    assert float(seen.opacity.detach().abs().max()) == 0.0
    seen.accumulated.sum().backward()
    assert float(values.grad.abs().max()) == 0.0


def test_depth_is_measured_along_the_view_axis(scenes) -> None:
    cloud = scenes.round_cloud([[1.0, 0.5, 0.0], [5.0, 0.0, 0.0]], [0.1, 0.1], [0.9, 0.9])
    torch.testing.assert_close(depths(cloud, scenes.camera()), torch.tensor([[3.0, -1.0]]))
    assert project(cloud, scenes.camera()).depth.tolist() == pytest.approx([3.0, -1.0])


def test_gsplat_gets_what_it_wants(scenes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in with gsplat's signature that rasterises densely gives the image of the torch rasteriser."""

    def rasterization(
        means, quats, scales, opacities, colors, viewmats, Ks, width, height, near_plane=0.01, far_plane=1e10,
        radius_clip=0.0, eps2d=0.3,
    ):  # fmt: skip
        assert math.isclose(eps2d, BLUR) and colors.shape == (len(viewmats), len(means), 3)
        cloud = Cloud(means, scales, quats, opacities, torch.zeros(len(means), 3))
        whole = dense(cloud, colors, viewmats, Ks, width, height)
        return whole[..., :-1], whole[..., -1:], {}

    module = types.ModuleType("gsplat")
    module.rasterization = rasterization
    monkeypatch.setitem(sys.modules, "gsplat", module)
    cloud, camera = scenes.cloud(10), scenes.camera()
    values = torch.rand(1, 10, 3)
    for one, two in zip(
        rasterize_gsplat.rasterize(cloud, values, camera), rasterize(cloud, values, camera), strict=True
    ):
        torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-3)


def test_without_gsplat_asking_for_it_says_what_to_do(scenes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gsplat", None)
    with pytest.raises(ConfigError, match="pip install gsplat, or choose torch"):
        rasterize_gsplat.rasterize(scenes.cloud(2), torch.zeros(1, 2, 3), scenes.camera())
