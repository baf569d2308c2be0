"""Tests of `bozzetto plugins`: list, show, check and new."""

import json
import re
import sys
import types
from pathlib import Path

import pytest
import yaml

from bozzetto import ComponentSpec, ModelSpec, hookimpl
from bozzetto.authoring.scaffold import TEMPLATES, write_package
from bozzetto.cli import main
from bozzetto.cli.plugins import list_plugins
from bozzetto.errors import ConfigError
from bozzetto.kinds import KINDS
from bozzetto.registry.discovery import Registry, Source


def run(capsys, *arguments):
    code = main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_list_is_a_table_and_json_for_programs(capsys):
    code, table, _ = run(capsys, "plugins", "list")
    assert code == 0 and "geometry" in table and "hash-grid" in table
    code, text, _ = run(capsys, "plugins", "list", "--json")
    (row,) = [row for row in json.loads(text) if row["name"] == "hash-grid"]
    assert list(row) == ["kind", "name", "distribution", "version", "status", "summary"]
    assert (row["kind"], row["distribution"], row["status"]) == ("geometry", "bozzetto", "ok")


def test_a_broken_plugin_is_a_row_of_its_own(capsys, monkeypatch):
    monkeypatch.setenv("BOZZETTO_PLUGINS", "mine=there_is_no_such_module")
    code, text, _ = run(capsys, "plugins", "list", "--json")
    (row,) = [row for row in json.loads(text) if row["kind"] is None]
    assert code == 0 and (row["name"], row["distribution"]) == ("mine", "local")
    assert row["status"] == "broken: ModuleNotFoundError: No module named 'there_is_no_such_module'"
    monkeypatch.setenv("BOZZETTO_STRICT_PLUGINS", "1")
    code, _, err = run(capsys, "plugins", "list")
    assert code == 2 and "Plugin local:mine failed to load" in err and "Traceback" not in err


def test_no_plugins_at_all_says_what_to_do():
    assert "pip install -e ." in list_plugins(Registry.discover([]))


def test_models_are_listed_shown_and_checked(capsys, monkeypatch, tmp_path):
    module = types.ModuleType("plugin_with_models")
    module.bozzetto_models = hookimpl(
        lambda: [ModelSpec("tiny", tmp_path / "tiny", note="A test.")], specname="bozzetto_models"
    )
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setenv("BOZZETTO_PLUGINS", f"mine={module.__name__}")
    lacking = f"there is no folder {tmp_path / 'tiny'}"
    _, text, _ = run(capsys, "plugins", "list", "--json")
    found = {row["name"]: row for row in json.loads(text) if row["kind"] == "model"}
    assert (found["tiny"]["status"], found["tiny"]["summary"]) == (f"broken: {lacking}", "A test.")
    assert (found["sd-1.5"]["status"], found["bozzetto-mini"]["status"]) == ("ok", "ok")
    _, text, _ = run(capsys, "plugins", "show", "model/local/tiny")
    assert text.startswith(f"local 0: broken: {lacking} in {tmp_path / 'tiny'}\n\n# model/tiny\n\nA test.\n")
    code, text, _ = run(capsys, "plugins", "check", "local")
    assert code == 1 and f"WRONG  model 'tiny' from local 0\n         {lacking}\n" in text
    code, text, err = run(capsys, "plugins", "show", "model/tyny")
    assert code == 2 and "there is no model named 'tyny'. Did you mean 'tiny'?" in err


def test_show_explains_fields(capsys):
    code, out, _ = run(capsys, "plugins", "show", "geometry/hash-grid")
    assert (
        code == 0
        and "levels: int in [1, 32] = 16" in out
        and "Number of resolutions" in out
        and out.startswith("bozzetto ")
    )
    code, out, _ = run(capsys, "plugins", "show", "geometry/bozzetto/hash-grid")
    assert code == 0 and "# geometry/hash-grid" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "geometri/hash-grid"], "Did you mean 'geometry'?"),
        (["show", "geometry"], "is not KIND/NAME"),
        (["show", "geometry/hash-gird"], "Did you mean 'hash-grid'?"),
        (["check", "bozetto"], "no plugin of 'bozetto' is installed. Did you mean 'bozzetto'?"),
        (["new", "Voxel_Box", "--kind", "exporter"], "is not a name in kebab-case"),
        (["new", "class", "--kind", "exporter"], "is taken"),
        (["new", "config", "--kind", "loss"], "is taken"),
        (["new", "cameras", "--kind", "renderer"], "Cameras is a class of the host"),
    ],
)
def test_mistakes_are_one_message(capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, "plugins", *arguments)
    assert code == 2 and message in err and "Traceback" not in err and not list(tmp_path.iterdir())


def test_new_says_what_to_do_next_and_never_overwrites(capsys, tmp_path):
    code, out, _ = run(capsys, "plugins", "new", "bozzetto-voxel-box", "--kind", "exporter", "--into", str(tmp_path))
    folder = tmp_path / "bozzetto-voxel-box"
    assert code == 0 and f"pip install -e '{folder}[test]'" in out
    assert "bozzetto run --config bozzetto-voxel-box/voxel-box" in out
    with pytest.raises(ConfigError, match="is there already"):
        write_package(tmp_path, "voxel-box", "exporter")


def test_every_kind_has_templates_and_nothing_else_does():
    assert {folder.name for folder in TEMPLATES.iterdir()} == {"common", *KINDS}
    for kind in KINDS:
        assert yaml.safe_load((TEMPLATES / kind / "declared.yaml").read_text())["summary"].endswith(".")


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_package_is_whole(tmp_path, kind):
    folder = write_package(tmp_path, f"a-{kind}", kind)
    module = f"a_{kind.replace('-', '_')}"
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {
        "pyproject.toml", "README.md", ".gitignore", ".github/workflows/test.yml",
        f"src/bozzetto_{module}/__init__.py", f"src/bozzetto_{module}/manifest.py", f"src/bozzetto_{module}/config.py",
        f"src/bozzetto_{module}/{module}.py", f"src/bozzetto_{module}/recipes/a-{kind}.yaml",
        f"tests/test_{module}.py", f"tests/test_{module}_package.py",
        *(f"src/bozzetto_{module}/{name}.py" for name in ("prior", "weights") if kind == "guidance"),
    }  # fmt: skip
    for name in files:
        text = (folder / name).read_text()
        assert not re.search(r"@\w+@", text), name
        if name.endswith(".py"):
            compile(text, name, "exec")
    table, _, advice = (folder / "README.md").read_text().partition("Change ")
    modules = {name for name in files if name.startswith("src/") and not name.endswith("__init__.py")}
    assert all(f"| `{name}` |" in table for name in modules)
    changed = {f"`{Path(name).name}`" for name in modules if name.endswith(".py") and "manifest" not in name}
    assert all(name in advice for name in changed)


def test_templates_are_package_data():
    setup = Path(__file__).parents[3] / "setup.cfg"
    assert "authoring/templates/**/*.template" in setup.read_text(), (
        "package_data of bozzetto must list authoring/templates/**/*.template"
    )


class Wrong:
    """Class without the constructor and methods of its kind."""


def test_check_tells_what_a_component_lacks(capsys, monkeypatch):
    module = types.ModuleType("fake_wrong")
    here = "tests_framework_cli_wrong"
    monkeypatch.setitem(sys.modules, here, types.ModuleType(here))
    sys.modules[here].Wrong = Wrong
    spec = ComponentSpec("geometry", "wrong", f"{here}:Wrong", "bozzetto_plugins.loss.config:SparsityConfig", "Wrong.")
    module.bozzetto_components = hookimpl(lambda: [spec])
    module.bozzetto_components.__name__ = "bozzetto_components"
    monkeypatch.setitem(sys.modules, "fake_wrong", module)

    from bozzetto.authoring.conformance import report

    registry = Registry.discover([Source("wrong", "1.0", "main", "fake_wrong"), Source("bad", "0", "x", "no_such")])
    assert report(registry, []) == 1
    out = capsys.readouterr().out
    for text in (
        "WRONG  plugin bad:x", "it failed to load: ModuleNotFoundError",
        "WRONG  geometry 'wrong' from wrong 1.0", "Wrong has no method density, see bozzetto.kinds.geometry",
        "Wrong must be constructed as Wrong(config)", "Wrong is not a torch.nn.Module", "2 of them cannot be used",
    ):  # fmt: skip
        assert text in out, out


def test_check_finds_nothing_wrong_with_the_built_in_plugins():
    from bozzetto.authoring.conformance import findings
    from bozzetto.registry.discovery import installed_sources

    registry = Registry.discover([source for source in installed_sources({}) if source.dist == "bozzetto"])
    found = findings(registry, ["bozzetto"])
    assert {title: faults for title, faults in found if faults} == {}
    assert len(found) > len(KINDS) and any(title.startswith("recipe bozzetto/") for title, _ in found)
