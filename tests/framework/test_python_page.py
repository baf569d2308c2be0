"""The code of docs/python.md and of the example notebook runs, with a tiny recipe in the place of a large one."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE, NOTEBOOK = ROOT / "docs" / "python.md", ROOT / "examples" / "notebook.ipynb"


def code_of_page() -> list[str]:
    return [block.strip() for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)]


def code_of_notebook() -> list[str]:
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    return ["".join(cell["source"]).strip() for cell in cells if cell["cell_type"] == "code"]


def test_the_notebook_is_the_page() -> None:
    assert code_of_notebook() == code_of_page()


def test_the_page_runs(tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = "\n".join(code_of_page())
    for large, small in ((": 220", ": 2"), (": 300", ": 3"), ("size=256", "size=8"), ("size=128", "size=8")):
        assert large in code
        code = code.replace(large, small)
    code = code.replace('recipe="dreamfusion-sd"', "recipe=TINY").replace(
        '"a red chair", ', '"a red chair", recipe=TINY, '
    )
    names: dict[str, object] = {"TINY": tiny.recipe_file()}
    exec(compile(code, str(PAGE), "exec"), names)
    assert len(names["losses"]) == 2
    assert names["normals"].shape == (4, 8, 8, 3)
    assert Path("chair.stl").is_file()
    assert names["run"].metrics["main"]["step"] == [1.0, 2.0, 3.0]
