"""Tests of the declarations in a manifest."""

import json
import subprocess
import sys

import pytest

from bozzetto import ComponentSpec
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
