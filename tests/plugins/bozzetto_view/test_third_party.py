"""Test that a renderer of another package is shown: the Gaussians of an example, through the same `Rendered`."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bozzetto_view.pictures import BEHIND, SHOWN, Look, Pose, cameras_of, picture_of

EXAMPLE = Path(__file__).parents[3] / "examples" / "bozzetto-gsplat" / "src"
FRONT = Pose((0.5, -0.5, -0.5, 0.5), (3.0, 0.0, 0.0), 0.7, 1.0)
"""Camera on +x that looks at the origin, z up; as a browser gives it."""


@pytest.fixture
def gaussians(tiny, monkeypatch):
    """Return a scene of a red ball of radius 1/2 of opaque discs that face outward."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    before = set(sys.modules)
    from bozzetto_gsplat.config import GaussiansConfig, SplattingConfig
    from bozzetto_gsplat.gaussians import Gaussians
    from bozzetto_gsplat.splatting import Splatting

    from bozzetto_plugins.material.config import NoMaterialConfig
    from bozzetto_plugins.material.no_material import NoMaterial

    geometry = Gaussians(GaussiansConfig(count=1000))
    outward = torch.nn.functional.normalize(torch.randn(1000, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
    half_way = torch.stack([1.0 + outward[:, 2], -outward[:, 1], outward[:, 0], torch.zeros(1000)], dim=-1)
    with torch.no_grad():
        geometry.position.copy_(0.5 * outward)
        geometry.quaternion.copy_(torch.nn.functional.normalize(half_way, dim=-1))
        geometry.log_scale.copy_(torch.tensor([0.05, 0.05, 0.005]).log().expand(1000, 3))
        geometry.opacity_logit.fill_(3.0)
        geometry.feature.copy_(torch.tensor([9.0, -9.0, -9.0]).expand(1000, 3))
    scene = tiny.system(tiny.recipe()).scene
    renderer = Splatting(SplattingConfig(rasterizer="torch"), 1.0)
    yield replace(scene, geometry=geometry, renderer=renderer, material=NoMaterial(NoMaterialConfig(), 3))
    for name in set(sys.modules) - before:
        if name.startswith("bozzetto_gsplat"):
            del sys.modules[name]


@pytest.mark.parametrize("shown", SHOWN)
def test_gaussians_are_shown_as_any_scene(gaussians, shown):
    cameras = cameras_of(FRONT, 32, torch.device("cpu"))
    found = picture_of(gaussians.preview(), cameras, Look(shown, with_depth=True))
    middle, corner = found.pixels[16, 16].astype(int), found.depth[0, 0]
    assert corner == np.float32(BEHIND) and abs(found.depth[16, 16] - 2.5) < 0.05
    facing = {"normal": (255, 128, 128), "opacity": (255, 255, 255), "depth": (255, 255, 255)}
    if shown in facing:
        assert np.abs(middle - facing[shown]).max() < 40
    else:
        assert middle[0] > 120 > middle[1:].max() + 60
