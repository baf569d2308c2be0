"""Tests of `splat-ply`: the contract of an exporter, and a round trip of its values."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from bozzetto.errors import ConfigError, ExportError
from bozzetto.kinds.scene import Scene
from bozzetto.testing.exporter import ExporterContract, sphere_scene

from bozzetto_gsplat.config import SplatPlyConfig
from bozzetto_gsplat.splat_ply import COLUMNS, CONSTANT_HARMONIC, SplatPly


@pytest.fixture
def scene(scenes) -> Scene:
    return dataclasses.replace(sphere_scene(), geometry=scenes.ball(60))


class TestSplatPly(ExporterContract):
    @pytest.fixture(autouse=True)
    def _scene(self, scene: Scene) -> None:
        self.scene = scene

    def make(self) -> SplatPly:
        return SplatPly(SplatPlyConfig())

    def make_scene(self) -> Scene:
        return self.scene


def read(path: Path) -> dict[str, np.ndarray]:
    header, _, body = path.read_bytes().partition(b"end_header\n")
    lines = header.decode().splitlines()
    names = [line.split()[-1] for line in lines if line.startswith("property")]
    rows = np.frombuffer(body, "<f4").reshape(-1, len(names))
    assert f"element vertex {len(rows)}" in lines and lines[0] == "ply"
    return dict(zip(names, rows.T, strict=True))


def test_the_file_holds_what_a_viewer_needs(scene: Scene, tmp_path: Path) -> None:
    (path,) = SplatPly(SplatPlyConfig()).export(scene, tmp_path, lambda line: None).files
    found, cloud = read(path), scene.geometry.cloud()
    assert tuple(found) == COLUMNS
    np.testing.assert_allclose(np.stack([found[k] for k in "xyz"], 1), cloud.position.detach(), atol=1e-6)
    np.testing.assert_allclose(1.0 / (1.0 + np.exp(-found["opacity"])), cloud.opacity.detach(), atol=1e-5)
    np.testing.assert_allclose(np.exp(found["scale_2"]), cloud.scale[:, 2].detach(), rtol=1e-5)
    np.testing.assert_allclose(found["rot_0"], cloud.quaternion[:, 0].detach(), atol=1e-6)
    color = 0.5 + CONSTANT_HARMONIC * np.stack([found[f"f_dc_{i}"] for i in range(3)], 1)
    np.testing.assert_allclose(color, scene.material.albedo(cloud.features).detach(), atol=1e-5)


def test_faint_ones_are_left_out_and_none_at_all_is_an_error(scene: Scene, tmp_path: Path) -> None:
    with torch.no_grad():
        scene.geometry.opacity_logit[:20] = -9.0
    assert SplatPly(SplatPlyConfig()).export(scene, tmp_path, lambda line: None).facts == {"gaussians": 40}
    with pytest.raises(ExportError, match="Lower min_opacity"):
        SplatPly(SplatPlyConfig(min_opacity=0.99)).export(scene, tmp_path, lambda line: None)
    with pytest.raises(ConfigError, match="SoftSphere has none"):
        SplatPly(SplatPlyConfig()).export(sphere_scene(), tmp_path, lambda line: None)
