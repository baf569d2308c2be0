"""Tests that the geometry `mesh` starts with the colours of its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from bozzetto.errors import ConfigError
from bozzetto_plugins.geometry import file_colors
from bozzetto_plugins.geometry.file_colors import colored_points
from bozzetto_plugins.geometry.mesh import Mesh
from bozzetto_plugins.geometry.surface_config import AssetConfig, MeshConfig, SurfaceFeaturesConfig

RED, BLUE = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)
SMALL = SurfaceFeaturesConfig(levels=3, log2_table_size=10, base_resolution=4, finest_resolution=16)


def textured(path: Path) -> AssetConfig:
    """Write a box, red where x < 0 and blue beyond, by a texture."""
    box = trimesh.creation.box()
    pixels = np.array([[(255, 0, 0)] * 4 + [(0, 0, 255)] * 4] * 8, dtype=np.uint8)
    uv = np.stack([0.01 + 0.98 * (box.vertices[:, 0] + 0.5), box.vertices[:, 1] + 0.5], axis=1)
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=Image.fromarray(pixels))
    box.visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
    box.export(path)
    return AssetConfig(path=str(path))


def painted(path: Path) -> AssetConfig:
    """Write the same box with colours of its vertices, which are red and blue at the ends."""
    box = trimesh.creation.box()
    box.visual.vertex_colors = [(0, 0, 255, 255) if x > 0 else (255, 0, 0, 255) for x in box.vertices[:, 0]]
    box.export(path)
    return AssetConfig(path=str(path))


def test_points_lie_on_the_placed_surface_and_have_the_colour_of_the_texture(tmp_path: Path) -> None:
    found = colored_points(textured(tmp_path / "box.glb"), radius=2.0)
    assert found is not None
    points, colors = found
    torch.testing.assert_close(points.abs().amax(dim=1), torch.full((len(points),), 1.4), atol=1e-5, rtol=0.0)
    # glTF's +z is the front, +x in the world; its +x is +y.
    right = points[:, 1] > 0.05
    left = points[:, 1] < -0.05
    assert torch.equal(colors[right], torch.tensor(BLUE).expand(int(right.sum()), 3))
    assert torch.equal(colors[left], torch.tensor(RED).expand(int(left.sum()), 3))


def test_colours_of_vertices_are_blended(tmp_path: Path) -> None:
    found = colored_points(painted(tmp_path / "box.ply"), radius=1.0)
    assert found is not None
    points, colors = found
    share = 0.5 + points[:, 1] / 1.4
    expected = torch.stack([1.0 - share, torch.zeros_like(share), share], dim=1)
    torch.testing.assert_close(colors, expected, atol=1e-4, rtol=0.0)


def test_the_geometry_starts_with_them_and_a_resumed_one_reads_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_colors, "STEPS", 60)
    monkeypatch.setattr(file_colors, "BATCH", 512)
    asset = textured(tmp_path / "box.glb")
    torch.manual_seed(0)
    config = MeshConfig(asset=asset, start_colors=True, features=SMALL)
    made = Mesh(config)
    shown = torch.sigmoid(made.features(torch.tensor([[0.7, -0.4, 0.1], [0.7, 0.4, 0.1]])))
    torch.testing.assert_close(shown, torch.tensor([RED, BLUE]), atol=0.1, rtol=0.0)
    assert all(value.grad is None for value in made.parameters())
    assert "its colours are taken over" in made.notices[-1]
    (tmp_path / "box.glb").unlink()
    resumed = Mesh.from_saved(config, made.state_dict())
    resumed.load_state_dict(made.state_dict())
    assert resumed.notices == ()


def test_a_file_without_colours_starts_grey_and_says_so(tmp_path: Path) -> None:
    trimesh.creation.box().export(tmp_path / "box.stl")
    for asset in (AssetConfig(), AssetConfig(path=str(tmp_path / "box.stl"))):
        made = Mesh(MeshConfig(asset=asset, start_colors=True, features=SMALL))
        assert "has no colours, and starts grey" in made.notices[-1]
        shown = torch.sigmoid(made.features(torch.rand(50, 3) - 0.5))
        torch.testing.assert_close(shown, torch.full_like(shown, 0.5), atol=0.2, rtol=0.0)


def test_colours_that_cannot_be_read_are_one_line_with_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object, **named: object) -> None:
        raise KeyError("no such accessor")

    monkeypatch.setattr(trimesh, "load", broken)
    with pytest.raises(ConfigError, match="KeyError.*start_colors=false"):
        colored_points(textured(tmp_path / "box.glb"), radius=1.0)


def test_two_features_are_too_few() -> None:
    with pytest.raises(ValueError, match="start_colors: needs three features"):
        MeshConfig(start_colors=True, features=SurfaceFeaturesConfig(feature_count=2))
