"""Tests of `bozzetto faces`, with runs that hold a box."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from types import SimpleNamespace

import bozzetto
import pytest
import trimesh
from bozzetto.commands import Host
from bozzetto.errors import ConfigError

from bozzetto_faces import command


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder in which `box` and `open-box` are runs, and everything else is none."""
    box = trimesh.creation.box()
    meshes = {"box": box, "open-box": trimesh.Trimesh(box.vertices, box.faces[:-1])}
    for name, mesh in meshes.items():
        (tmp_path / name / "export").mkdir(parents=True)
        mesh.export(tmp_path / name / "export" / "mesh.glb")

    def open_run(path: Path) -> SimpleNamespace:
        if path.name not in meshes:
            raise ConfigError(f"{path} is not a run folder.")
        recipe = SimpleNamespace(subject=f"a {path.name}")
        return SimpleNamespace(path=path, recipe=recipe, mesh=lambda: meshes[path.name].copy())

    monkeypatch.setattr(bozzetto, "open_run", open_run)
    return tmp_path


def run(*words: str) -> int:
    """Run the command as the host does."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args(words), Host(lambda: pytest.fail("the command needs no components")))


def test_a_box_has_twelve_faces(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(folder / "box"), str(folder / "open-box")) == 0
    head, closed, opened = capsys.readouterr().out.splitlines()
    assert head.split() == ["faces", "vertices", "closed", "MB", "run"]
    assert closed.split()[:3] == ["12", "8", "yes"] and closed.endswith("box: a box")
    assert opened.split()[:3] == ["11", "8", "no"]


def test_a_folder_that_is_no_run_hides_no_other(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(folder / "none"), str(folder / "box")) == 1
    _, none, box = capsys.readouterr().out.splitlines()
    assert none.endswith(f"{folder / 'none'} is not a run folder.") and box.split()[0] == "12"


def test_json_for_programs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--json", str(folder / "box")) == 0
    (size,) = json.loads(capsys.readouterr().out)
    assert (size["faces"], size["vertices"], size["closed"], size["problem"]) == (12, 8, True, "")
    assert 0.0 < size["megabytes"] < 0.01
