"""Contract tests of an exporter: subclass `ExporterContract`, define `make`, run with pytest."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch

from bozzetto.kinds.background import Background
from bozzetto.kinds.exporter import Exported, Exporter
from bozzetto.kinds.geometry import Geometry, module
from bozzetto.kinds.material import Material
from bozzetto.kinds.scene import Scene
from bozzetto.testing.scenes import PlainBackground, PlainMaterial, SoftSphere, cameras_around, render_plainly
from bozzetto.types import Cameras, Rendered, Shading

__all__ = ["ExporterContract", "PlainRenderer", "PlainViews", "sphere_scene"]


class PlainRenderer:
    """Renderer of the analytic ball: `render_plainly` over the background."""

    def __init__(self, steps: int = 48) -> None:
        self.steps = steps

    def __call__(
        self,
        cameras: Cameras,
        geometry: Geometry,
        material: Material,
        background: Background,
        shading: Shading,
        normal: bool = False,
        generator: torch.Generator | None = None,
    ) -> Rendered:
        seen = render_plainly(geometry, cameras, self.steps, generator)
        behind = background(cameras.rays(), generator).reshape(seen.image.shape)
        image = seen.image + (1.0 - seen.opacity) * behind
        return Rendered(image, seen.opacity, seen.depth, seen.normal if normal else None)

    def update(self, geometry: Geometry, step: int, generator: torch.Generator) -> None:
        """Do nothing; there is no acceleration structure."""


class PlainViews:
    """View source of small images around the object."""

    def sample(self, step: int, generator: torch.Generator) -> Cameras:
        return cameras_around(1)

    def eval_cameras(self, count: int, device: torch.device) -> Cameras:
        return cameras_around(count)


def sphere_scene() -> Scene:
    """Return a trained scene of a soft ball of radius 0.5 in a cube of half side 1."""
    return Scene(
        geometry=SoftSphere(softness=0.03),
        material=PlainMaterial(),
        background=PlainBackground(),
        renderer=PlainRenderer(),
        views=PlainViews(),
        device=torch.device("cpu"),
    )


class ExporterContract:
    """Tests of the written files, their determinism, an unmodified scene, and plain facts."""

    def make(self) -> Exporter:
        """Return an exporter to test, small enough to run in a second."""
        raise TypeError(f"{type(self).__name__} must define make()")

    def make_scene(self) -> Scene:
        """Return the scene to export."""
        return sphere_scene()

    @pytest.fixture
    def exported(self, tmp_path: Path) -> tuple[Path, Exported, list[str]]:
        """Return the folder, the result and the reported lines of one export."""
        lines: list[str] = []
        return tmp_path, self.make().export(self.make_scene(), tmp_path, lines.append), lines

    def test_every_file_is_returned_and_nothing_else_is_left(self, exported: tuple[Path, Exported, list[str]]) -> None:
        folder, files = exported[0], exported[1].files
        assert files and len(set(files)) == len(files)
        assert sorted(files) == sorted(path for path in folder.rglob("*") if path.is_file())
        assert all(path.stat().st_size > 0 for path in files)

    def test_the_report_is_lines_that_name_the_files(self, exported: tuple[Path, Exported, list[str]]) -> None:
        _, result, lines = exported
        assert lines and all(line.strip() and "\n" not in line for line in lines)
        assert [path.name for path in result.files if path.name not in " ".join(lines)] == []

    def test_exporting_again_overwrites_with_the_same_bytes(self, exported: tuple[Path, Exported, list[str]]) -> None:
        folder, result, _ = exported
        before = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in result.files}
        assert self.make().export(self.make_scene(), folder, lambda line: None) == result
        assert {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in result.files} == before

    def test_facts_are_plain_values_for_the_manifest(self, exported: tuple[Path, Exported, list[str]]) -> None:
        facts = dict(exported[1].facts)
        assert json.loads(json.dumps(facts, allow_nan=False)) == facts

    def test_the_scene_and_the_global_random_state_are_left_alone(self, tmp_path: Path) -> None:
        scene, before = self.make_scene(), torch.random.get_rng_state()
        parameters = {name: value.clone() for name, value in module(scene.geometry).state_dict().items()}
        self.make().export(scene, tmp_path, lambda line: None)
        assert torch.equal(before, torch.random.get_rng_state())
        for name, value in module(scene.geometry).state_dict().items():
            assert torch.equal(value, parameters[name]), name
        assert all(parameter.grad is None for parameter in module(scene.geometry).parameters())
