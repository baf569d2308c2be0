"""Tests of `splatting`: the contract of a renderer, and a fit."""

from __future__ import annotations

import pytest
import torch
from bozzetto.errors import ConfigError, NonFiniteError
from bozzetto.testing.renderer import RendererContract
from bozzetto.testing.scenes import PlainBackground, PlainMaterial, SoftSphere, cameras_around, render_plainly

from bozzetto_gsplat.config import GaussiansConfig, SplattingConfig
from bozzetto_gsplat.gaussians import Gaussians
from bozzetto_gsplat.splatting import Splatting


class TestSplatting(RendererContract):
    @pytest.fixture(autouse=True)
    def _scenes(self, scenes) -> None:
        self.scenes = scenes

    def make(self, radius: float = 1.0) -> Splatting:
        return Splatting(SplattingConfig(relocate_every=2), radius)

    def ball(self) -> Gaussians:
        return self.scenes.ball()


def draw(geometry: torch.nn.Module, cameras, **options):
    material = PlainMaterial()
    renderer = Splatting(SplattingConfig(), 1.0)
    return renderer(cameras, geometry, material, PlainBackground(), material.eval_shading(cameras), **options)


def test_it_learns_a_ball_from_its_pictures() -> None:
    torch.manual_seed(0)
    geometry, cameras = Gaussians(GaussiansConfig(count=300, size=0.08)), cameras_around(4, size=16)
    with torch.no_grad():
        target = render_plainly(SoftSphere(), cameras)
    optimizer = torch.optim.Adam(geometry.parameters(), lr=0.03)
    errors = []
    for _ in range(60):
        seen = draw(geometry, cameras)
        color = seen.image - (1.0 - seen.opacity) * PlainBackground().color.detach()
        error = (color - target.image).square().mean() + (seen.opacity - target.opacity).square().mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(float(error.detach()))
    assert errors[-1] < 0.1 * errors[0]
    inside, outside = geometry.density(torch.tensor([[0.0, 0.0, 0.45], [0.0, 0.0, 0.75]])).tolist()
    assert inside > 10.0 * outside


def test_relocation_happens_when_it_is_time() -> None:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    for config, step, moves in (
        (SplattingConfig(relocate_every=10), 10, True),
        (SplattingConfig(relocate_every=10), 0, False),
        (SplattingConfig(relocate_every=10), 15, False),
        (SplattingConfig(relocate_every=0), 10, False),
        (SplattingConfig(relocate_every=10, relocate_until_step=10), 10, False),
    ):
        geometry = Gaussians(GaussiansConfig(count=8))
        with torch.no_grad():
            geometry.opacity_logit[:4] = -9.0
        before = geometry.position.clone()
        Splatting(config, 1.0).update(geometry, step, generator)
        assert torch.equal(geometry.position, before) != moves


def test_a_geometry_without_gaussians_is_told_apart() -> None:
    with pytest.raises(ConfigError, match="SoftSphere has none. Use geometry gaussians, or renderer volume"):
        draw(SoftSphere(), cameras_around())


def test_what_is_not_finite_is_named() -> None:
    geometry = Gaussians(GaussiansConfig(count=4))
    with torch.no_grad():
        geometry.position[1, 0] = torch.inf
    with pytest.raises(NonFiniteError, match="Gaussians gave a position that is not finite"):
        draw(geometry, cameras_around())
    with torch.no_grad():
        geometry.position.zero_()
        geometry.feature[0, 0] = torch.nan
    with pytest.raises(NonFiniteError, match="PlainMaterial gave a colour that is not finite"):
        draw(geometry, cameras_around())


@pytest.mark.gpu
def test_gsplat_on_a_gpu_gives_the_same_picture(scenes) -> None:
    pytest.importorskip("gsplat")
    from bozzetto.types import to_device

    device = torch.device("cuda")
    geometry, cameras = scenes.ball().to(device), to_device(cameras_around(2, size=64), device)
    material, background = PlainMaterial().to(device), PlainBackground().to(device)
    pictures = [
        Splatting(SplattingConfig(rasterizer=rasterizer), 1.0)(
            cameras, geometry, material, background, material.eval_shading(cameras), normal=True
        )
        for rasterizer in ("torch", "gsplat")
    ]
    for name in ("image", "opacity", "depth", "normal"):
        one, two = (getattr(picture, name) for picture in pictures)
        assert float((one - two).abs().mean()) < 2e-3, name
