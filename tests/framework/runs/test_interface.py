"""The Python interface does what the command line does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh

import bozzetto
from bozzetto.config.layers import parse_overrides
from bozzetto.errors import ConfigError, RunFolderError
from bozzetto.runs.interface import as_settings


def test_a_run_from_a_prompt_to_a_mesh_and_on(tiny, tmp_path: Path) -> None:
    steps: list[tuple[int, dict[str, float]]] = []
    said: list[str] = []
    run = bozzetto.generate(
        "a blue mug", recipe=tiny.recipe_file(), overrides={"trainer.steps": 2}, report=said.append,
        on_step=lambda step, losses: steps.append((step, dict(losses))),
    )  # fmt: skip
    assert [step for step, _ in steps] == [1, 2]
    assert "random/sds" in steps[0][1]
    assert run.finished
    assert run.recipe.prompt == "a blue mug"
    assert any(line.startswith("wrote") for line in said)
    assert len(run.mesh().faces) > 20
    assert run.turntable is not None
    assert run.metrics["main"]["step"] == [1.0, 2.0]
    assert "data:image/png;base64," in run._repr_html_()
    assert "a blue mug" in run._repr_html_()
    assert "2" in run.images[-1].name

    resumed = bozzetto.resume(run, overrides={"trainer.steps": 3}, report=said.append)
    assert resumed.path == run.path
    assert resumed.metrics["main"]["step"] == [1.0, 2.0, 3.0]

    opened = bozzetto.open_run(run.path)
    assert repr(opened) == f"Run({str(run.path)!r}, finished)"
    image = opened.render(azimuth_deg=30.0, elevation_deg=10.0, size=12)
    assert (image.shape, image.dtype) == ((12, 12, 3), np.uint8)
    several = opened.render([0.0, 90.0], size=8, show="normal", distance=3.0, fov_y_deg=40.0)
    assert several.shape == (2, 8, 8, 3)
    written = opened.export("stl", tmp_path / "made" / "mug.stl")
    assert len(trimesh.load(written).faces) > 20
    assert [path.name for path in written.parent.iterdir()] == ["mug.stl"]


def test_errors_are_those_of_the_command_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"trainer\.step is not a field .*Did you mean 'steps'"):
        bozzetto.check(overrides={"trainer.step": 3})
    with pytest.raises(ConfigError, match="There is no recipe 'dreamfusion-sdd'"):
        bozzetto.generate("a mug", recipe="dreamfusion-sdd")
    with pytest.raises(RunFolderError, match="is not a run folder"):
        bozzetto.open_run(tmp_path)


def test_overrides_mean_what_they_are() -> None:
    given = {"trainer.steps": 3, "system.material": None, "prompt": "yes", "a.b": [1.5, "x"], "c": True}
    values = parse_overrides(as_settings(given))
    assert values == {
        "trainer": {"steps": 3}, "system": {"material": None}, "prompt": "yes", "a": {"b": [1.5, "x"]}, "c": True,
    }  # fmt: skip


def test_recipes_are_listed_and_checked_without_torch() -> None:
    code = (
        "import sys, bozzetto\n"
        "assert 'dreamfusion-sd' in bozzetto.recipes()\n"
        "assert bozzetto.check('dreamfusion-sd', overrides={'trainer.steps': 3}).stages[0].trainer.steps == 3\n"
        "assert {'generate', 'open_run'} <= set(dir(bozzetto))\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_not_there_is_said() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'generat'"):
        _ = bozzetto.generat  # type: ignore[attr-defined]
