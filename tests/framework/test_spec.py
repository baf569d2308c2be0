"""Tests of the declarations in a manifest."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bozzetto import ComponentSpec, ModelSpec
from bozzetto.spec import installed

GOOD = {"kind": "loss", "name": "a-loss", "target": "a.b:C", "config": "a.b:D", "summary": "One line."}

WRONG_TYPES = [
    ("kind", "3"),
    ("name", "None"),
    ("api", "'1'"),
    ("api", "True"),
    ("requires", "'torch'"),
    ("provides", "{'density'}"),
    ("needs", "'density'"),
]


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", "CamelCase"), ("target", "a.b"), ("config", "a b:C"), ("summary", "two\nlines")],
)
def test_a_wrong_field_is_named(field, value):
    with pytest.raises(ValueError, match=f"^{field}: must be "):
        ComponentSpec(**{**GOOD, field: value})


def test_a_field_of_the_wrong_type_is_named():
    """Runs in its own process: here the type checker of the tests would raise first."""
    code = (
        "import json\nfrom bozzetto import ComponentSpec\nfound = []\n"
        f"for field, value in {WRONG_TYPES!r}:\n"
        f"    try: ComponentSpec(**{{**{GOOD!r}, field: eval(value)}})\n"
        "    except ValueError as error: found.append(str(error))\n"
        "print(json.dumps(found))"
    )
    told = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout)
    assert [text.partition(": must be ")[0] for text in told] == [field for field, _ in WRONG_TYPES]


def test_packages_are_looked_up_not_imported(monkeypatch):
    monkeypatch.delitem(sys.modules, "wave", raising=False)
    spec = ComponentSpec(**GOOD, requires=("json", "wave.nothing", "no_such_package.part"))
    assert spec.missing() == ["no_such_package.part"]
    assert "wave" not in sys.modules
    assert not installed("")


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("alias", {"alias": "SD 2"}),
        ("alias", {"alias": "a/b"}),
        ("alias", {"alias": "sd-"}),
        ("folder", {"folder": Path("weights"), "repositories": ()}),
        ("folder", {"folder": Path("/weights")}),
        ("folder", {"repositories": ()}),
        ("folder", {"folder": Path("/weights"), "repositories": (), "withdrawn": ("a/b",)}),
        ("repositories", {"repositories": ("no-owner",)}),
        ("withdrawn", {"withdrawn": ("a/b/c",)}),
        ("size_gb", {"size_gb": 0.0}),
        ("converter", {"converter": "one\ntwo"}),
        ("converter", {"converter": "python mine.py", "folder": Path("/mine"), "repositories": ()}),
        ("size_gb", {"size_gb": float("nan")}),
        ("kept_gb", {"size_gb": 2.0, "kept_gb": 2.1}),
        ("kept_gb", {"kept_gb": 0.0}),
        ("licence", {"licence": "two\nlines"}),
    ],
)
def test_a_wrong_field_of_a_model_is_named(field, values):
    with pytest.raises(ValueError, match=f"^{field}: must be "):
        ModelSpec(**{"alias": "sd-2.1", "repositories": ("owner/name@v1",), **values})


def test_a_field_of_a_model_of_the_wrong_type_is_named():
    """Runs in its own process: here the type checker of the tests would raise first."""
    wrong = [("alias", "3"), ("folder", "'/weights'"), ("repositories", "'a/b'"), ("withdrawn", "[]"), ("note", "None")]
    code = (
        "from bozzetto import ModelSpec\n"
        f"for field, value in {wrong!r}:\n"
        "    try: ModelSpec(**{'alias': 'a', 'repositories': ('a/b',), field: eval(value)})\n"
        "    except ValueError as error: print(error)\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.splitlines()
    assert [text.partition(": must be ")[0] for text in told] == [field for field, _ in wrong]
