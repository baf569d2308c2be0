"""Tests of the table of kinds, and that it is the only one."""

import ast
import inspect
from dataclasses import fields
from pathlib import Path

import pytest

import bozzetto
from bozzetto.authoring.scaffold import TEMPLATES
from bozzetto.kinds import KINDS, SYSTEM_KINDS, TASK_KINDS
from bozzetto.recipe import SYSTEM, TASK, TOP, Stage
from bozzetto.spec import load

HOST = Path(bozzetto.__file__).parent
MODULES = [path for path in sorted(HOST.rglob("*.py")) if path != HOST / "kinds" / "__init__.py"]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(HOST).as_posix())
def test_no_other_module_lists_the_kinds(path):
    for node in ast.walk(ast.parse(path.read_text())):
        items = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", ())
        texts = {item.value.replace("_", "-") for item in items if isinstance(getattr(item, "value", None), str)}
        assert len(texts & set(KINDS)) < 4, f"line {node.lineno}"


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_a_row_names_what_exists(kind):
    assert inspect.isclass(load(kind.protocol)) and kind.meaning.endswith(".")
    assert (TEMPLATES / kind.name / "declared.yaml").is_file()
    keys = {"system": SYSTEM, "export": TOP}[kind.place.partition(".")[0]]
    assert kind.key in (TASK if kind in TASK_KINDS else keys)


def test_each_part_of_a_system_is_a_field_of_a_stage():
    assert {kind.key for kind in SYSTEM_KINDS} <= {item.name for item in fields(Stage)}
    assert [kind.key for kind in SYSTEM_KINDS] == ["geometry", "material", "background", "renderer", "prompt_processor"]
