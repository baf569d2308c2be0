"""Tests of the commands of packages: found by name, declarations as data, faults contained and told by name."""

import sys
import types

import pytest

from bozzetto.cli import entry
from bozzetto.commands import CommandSpec
from bozzetto.errors import PluginError
from bozzetto.registry.commands import HOST, PackageCommands
from bozzetto.registry.discovery import Source

SPEC = CommandSpec("bozzetto_convert.command", "say a word")


@pytest.fixture
def command(monkeypatch):
    """Create a module with a declaration, and its source."""

    def make(dist, name="say", spec=SPEC, version="1.0"):
        module = types.ModuleType(f"fake_command_{dist.replace('-', '_')}")
        module.SPEC = spec
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return Source(dist, version, name, f"{module.__name__}:SPEC")

    return make


@pytest.fixture
def file(tmp_path, monkeypatch):
    """Write a module that declares a command, and return its source."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name, text):
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
        return Source(f"bozzetto-{name}", "1.0", name, f"{name}:SPEC")

    return write


def test_the_names_of_the_host_are_those_of_its_table():
    assert tuple(entry.COMMANDS) == HOST


@pytest.mark.parametrize(
    ("values", "field"),
    [(("a-b", "x"), "module"), (("a:b", "x"), "module"), (("a", ""), "summary"), (("a", "x\ny"), "summary")],
)
def test_a_declaration_is_checked(values, field):
    with pytest.raises(ValueError, match=f"^{field}: must be"):
        CommandSpec(*values)


def test_a_command_is_found_by_bare_and_by_full_name(command):
    source = command("one")
    commands = PackageCommands((source,))
    assert commands.find("say") is commands.find("one/say") is source and commands.called(source) == "say"
    assert commands.load(source).__name__ == "bozzetto_convert.command"


def test_an_unknown_name_gives_the_nearest_and_all():
    commands = PackageCommands((Source("bozzetto", "1", "say", "a:B"), Source("one", "1", "run", "a:B")))
    with pytest.raises(PluginError) as error:
        commands.find("sya")
    assert str(error.value) == (
        "There is no command 'sya'. Did you mean 'say'? Commands: run, check, export, plugins, schema, doctor, say."
    )
    with pytest.raises(PluginError, match="There is no command 'two/say'"):
        commands.find("two/say")


def test_an_installation_from_before_the_commands_is_told():
    with pytest.raises(PluginError, match=r"no command 'convert'.* run 'pip install -e \.' in the project folder"):
        PackageCommands(()).find("convert")


def test_two_packages_with_one_name_need_the_full_name(command):
    one, two = command("one"), command("two", version="2.0")
    commands = PackageCommands((one, two))
    with pytest.raises(PluginError) as error:
        commands.find("say")
    assert str(error.value) == (
        "The command 'say' is provided by one 1.0, two 2.0. Write 'bozzetto one/say' or 'bozzetto two/say'."
    )
    assert commands.find("two/say") is two
    assert [listed.called for listed in commands.listed()] == ["one/say", "two/say"]


def test_one_package_that_declares_a_name_twice_is_told():
    commands = PackageCommands((Source("one", "1", "say", "a:B"), Source("one", "2", "say", "a:C")))
    with pytest.raises(PluginError, match="one declares the command 'say' twice"):
        commands.find("say")


@pytest.mark.parametrize(("name", "why"), [("run", "is a command of the host"), ("Say_It", "kebab-case")])
def test_a_name_that_no_package_can_take_is_refused_and_its_declaration_not_imported(name, why):
    source = Source("one", "1.0", name, "there_is_no_such_module:SPEC")
    (listed,) = PackageCommands((source,)).listed()
    assert listed.status.startswith("refused: ") and why in listed.status and not listed.usable
    with pytest.raises(PluginError, match=f"The command '{name}' of one 1.0 is refused: .*{why}"):
        PackageCommands((source,)).find(f"one/{name}")


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("raise RuntimeError('no\\nluck')", "broken: badness:SPEC cannot be imported: RuntimeError: no luck"),
        ("raise SystemExit(3)", "cannot be imported: SystemExit: 3"),
        ("import time\ntime.sleep(60)", "cannot be imported: TimeoutError: it took longer than 0.5 s"),
        ("SPEC = 3", "broken: badness:SPEC is not a CommandSpec"),
        ("from bozzetto.commands import CommandSpec\nSPEC = CommandSpec('no_such_package.part', 'x')", "broken: there is no module no_such_package"),
        ("from bozzetto.commands import CommandSpec\nSPEC = CommandSpec('bozzetto.errors', 'x')", "broken: bozzetto.errors has no add_arguments"),
    ],
)  # fmt: skip
def test_a_fault_is_told_by_name_and_stops_no_other(file, command, text, status):
    bad, good = file("badness", text), command("one")
    commands = PackageCommands((bad, good), limit_s=0.5)
    listed = {one.source.name: one for one in commands.listed()}
    assert status in listed["badness"].status and listed["say"].status == "ok"
    (fault,) = commands.faults()
    assert fault.startswith("The command 'badness' of bozzetto-badness 1.0 is broken: ")
    with pytest.raises(PluginError, match="The command 'badness' of bozzetto-badness 1.0 is broken"):
        commands.load(bad)
    assert commands.load(commands.find("say"))


def test_a_declaration_that_imports_something_heavy_is_slow(file, monkeypatch):
    monkeypatch.delitem(sys.modules, "tinycudann", raising=False)
    text = "import sys, types\nsys.modules['tinycudann'] = types.ModuleType('tinycudann')\n"
    source = file(
        "weighty",
        text + "from bozzetto.commands import CommandSpec\nSPEC = CommandSpec('bozzetto_convert.command', 'x')",
    )
    (listed,) = PackageCommands((source,)).listed()
    monkeypatch.delitem(sys.modules, "tinycudann")
    assert listed.status == "slow: imports tinycudann" and listed.usable


def test_the_environment_adds_and_leaves_out():
    found = PackageCommands.installed({"BOZZETTO_COMMANDS": "say=mine:SPEC", "BOZZETTO_PLUGIN_SECONDS": "3"})
    assert Source("local", "0", "say", "mine:SPEC") in found.sources and found.limit_s == 3.0
    assert {source.name for source in found.of(["bozzetto"]).sources} == {
        "bench",
        "convert",
        "prior",
        "report",
        "studio",
        "view",
    }
    assert PackageCommands.installed({"BOZZETTO_DISABLE": "bozzetto"}).of(["bozzetto"]).sources == ()
