"""Tests of docs/debugging.md: images of the guidance, and the profile of a step."""

from __future__ import annotations

import re
import types
from pathlib import Path

import pytest
from PIL import Image

PAGE = Path(__file__).parents[3] / "docs" / "debugging.md"
WANTED = {"reconstruction", "noisy", "denoised-one-step", "denoised-fully"}


@pytest.mark.parametrize(("every", "steps"), [(0, set()), (2, {2, 4})])
def test_pictures_are_written_every_n_steps(tiny, every, steps):
    guidance = {"debug_steps": 2}
    changes = {
        "trainer": {"debug_every": every},
        "system": {"tasks": {"random": {"guidance": guidance}}},
        "export": None,
    }
    recipe = tiny.recipe(changes)
    pipeline = tiny.pipeline(recipe)
    pipeline.run(recipe)
    found = {path.name for path in pipeline.folder.images.glob("main-*-random-*.png")}
    assert found == {f"main-{step:06d}-random-{name}.png" for step in steps for name in WANTED}
    for name in found:
        assert Image.open(pipeline.folder.images / name).size == (32, 32)


def test_the_page_names_every_picture():
    table = PAGE.read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE)) == WANTED


def test_the_profiler_of_the_page_profiles_the_third_step(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    module = types.ModuleType("profile_step")
    exec(code, module.__dict__)
    module.bozzetto_run_started(tmp_path)
    for step in (1, 2, 3, 4):
        module.torch.ones(8).sum()
        module.bozzetto_step_finished(step)
    module.PROFILE.stop()
    assert "aten::sum" in capsys.readouterr().out
    assert (tmp_path / "step.json").is_file()
