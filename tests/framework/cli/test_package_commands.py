"""Tests of commands of packages on the command line: help, arguments, exit codes, errors told by name."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bozzetto.authoring.command_conformance import command_findings
from bozzetto.cli import main
from bozzetto.registry.commands import PackageCommands

ROOT = Path(__file__).parents[3]
DECLARED = "from bozzetto.commands import CommandSpec\nSPEC = CommandSpec({!r}, 'say a word')\n"
GOOD = """
from bozzetto.errors import UserError

def add_arguments(parser):
    parser.add_argument("words", nargs="*")
    parser.add_argument("--loud", action="store_true")

def run(options, host):
    if "nothing" in options.words:
        raise UserError("words: must say something")
    print(" ".join(options.words), options.loud, "hash-grid" in host.registry().names("geometry"))
    return 0
"""


@pytest.fixture
def bozzetto(tmp_path, monkeypatch, capsys):
    """Write the module of a command `say`, and run the command line with it; returns code, output and errors."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("BOZZETTO_COMMANDS", "say=say_manifest:SPEC")

    def run(text, *words):
        for name in ("say_manifest", "say_module"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        (tmp_path / "say_manifest.py").write_text(DECLARED.format("say_module"))
        (tmp_path / "say_module.py").write_text(text)
        code = main(list(words))
        out, err = capsys.readouterr()
        return code, out, err

    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return run


def test_help_lists_the_hosts_commands_then_those_of_packages(bozzetto):
    code, out, _ = bozzetto(GOOD, "--help")
    assert code == 0
    names = [line.split()[0] for line in out.splitlines() if line.startswith("  ") and "python" not in line]
    assert names == [
        "run",
        "check",
        "export",
        "plugins",
        "schema",
        "doctor",
        "bench",
        "convert",
        "prior",
        "report",
        "say",
        "studio",
        "view",
    ]
    assert "  convert   convert a threestudio recipe\n" in out and "  say       say a word (local 0)\n" in out


def test_it_runs_with_its_arguments_and_the_registry(bozzetto):
    assert bozzetto(GOOD, "say", "a", "--loud", "b") == (0, "a b True True\n", "")
    assert bozzetto(GOOD, "local/say", "a") == (0, "a False True\n", "")


def test_its_help_is_made_of_its_arguments(bozzetto, capsys):
    with pytest.raises(SystemExit, match="0"):
        bozzetto(GOOD, "say", "--help")
    out = capsys.readouterr().out
    assert "usage: bozzetto say" in out and "Say a word." in out and "--loud" in out and "--traceback" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["say", "nothing"], "words: must say something"),
        (["say", "--lout"], "There is no option '--lout'. Did you mean '--loud'? See bozzetto say --help"),
        (["sya"], "There is no command 'sya'. Did you mean 'say'?"),
        (["two/say"], "There is no command 'two/say'."),
    ],
)
def test_an_error_of_the_user_is_one_line_and_exit_code_2(bozzetto, words, message):
    code, out, err = bozzetto(GOOD, *words)
    assert (code, out) == (2, "") and err.startswith(f"error: {message}") and err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("raise RuntimeError('no luck')", "say_module cannot be imported: RuntimeError: no luck. Tell the authors of local."),
        ("def run(options, host): return 0", "say_module has no function add_arguments."),
        (GOOD.replace('"--loud"', '"--traceback"'), "its add_arguments raises ArgumentError"),
        (GOOD.replace('nargs="*"', "type=lambda text: {}[text]"), "reading its arguments raises KeyError: 'a'"),
        (GOOD.replace("return 0", "pass"), "its run returned None, not an exit code."),
    ],
)  # fmt: skip
def test_a_broken_command_is_told_by_name_and_package(bozzetto, text, told):
    code, _, err = bozzetto(text, "say", "a")
    assert code == 2 and err.startswith("error: The command 'say' of local 0 is broken: ") and told in err
    assert "Traceback" not in err
    assert bozzetto(text, "--version")[0] == 0 and "convert" in bozzetto(text, "--help")[1]


def test_a_bug_is_one_of_its_package(bozzetto):
    code, _, err = bozzetto(GOOD.replace("return 0", "return options.nowhere"), "say", "a")
    assert code == 1 and "This is a bug in local 0. Please report it, with" in err
    Path(err.split()[-1]).unlink()


def test_the_traceback_on_demand(bozzetto):
    with pytest.raises(AttributeError, match="nowhere"):
        bozzetto(GOOD.replace("return 0", "return options.nowhere"), "say", "a", "--traceback")
    with pytest.raises(Exception, match="no luck") as raised:
        bozzetto("raise RuntimeError('no luck')", "say", "--traceback")
    assert isinstance(raised.value.__cause__, RuntimeError)


def test_it_is_listed_beside_the_components(bozzetto, monkeypatch):
    code, out, _ = bozzetto(GOOD, "plugins", "list", "--json")
    (row,) = [row for row in json.loads(out) if row["name"] == "say"]
    assert code == 0 and row == {
        "kind": "command", "name": "say", "distribution": "local", "version": "0", "status": "ok",
        "summary": "say a word",
    }  # fmt: skip
    assert "command " in bozzetto(GOOD, "plugins", "list")[1]
    assert "bozzetto say --help" in bozzetto(GOOD, "plugins", "show", "command/say")[2]
    monkeypatch.setenv("BOZZETTO_COMMANDS", "run=say_manifest:SPEC,bench=say_manifest:SPEC")
    _, out, _ = bozzetto(GOOD, "plugins", "list", "--json")
    status = {f"{row['distribution']}/{row['name']}": row["status"] for row in json.loads(out)}
    assert status["local/run"] == "refused: 'bozzetto run' is a command of the host"
    assert status["local/bench"] == status["bozzetto/bench"] == "CONFLICT"
    monkeypatch.setenv("BOZZETTO_STRICT_PLUGINS", "1")
    code, _, err = bozzetto(GOOD, "plugins", "list")
    assert code == 2 and "error: The command 'run' of local 0 is refused" in err


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (GOOD, ""),
        (GOOD + "raise RuntimeError('no luck')", "say_module cannot be imported: RuntimeError: no luck"),
        ("", "it is broken: say_module has no add_arguments"),
        (GOOD.replace("def run(options, host)", "def run(options)"), "its run must be callable as run(options, host)"),
        (GOOD.replace('"--loud", action="store_true"', '"--loud", action="no"'), "its add_arguments raises ValueError"),
        (GOOD.replace('nargs="*"', 'help="100 %"'), "its add_arguments raises ValueError"),
    ],
)
def test_check_compares_it_with_the_contract(bozzetto, monkeypatch, text, fault):
    bozzetto(text, "--version")  # writes the modules
    commands = PackageCommands.installed({"BOZZETTO_COMMANDS": "say=say_manifest:SPEC"})
    ((title, faults),) = command_findings(commands.of(["local"]))
    assert title == "command 'say' of local 0" and len(faults) == (fault != "") and fault in "".join(faults)


def test_check_finds_nothing_wrong_with_the_own_commands():
    found = command_findings(PackageCommands.installed({}).of(["bozzetto"]))
    assert [title.split("'")[1] for title, _ in found] == ["bench", "convert", "prior", "report", "studio", "view"]
    assert all(faults == [] for _, faults in found)


def test_neither_the_overview_nor_the_help_of_a_command_imports_what_it_does_not_need():
    code = (
        "import sys; from bozzetto.cli import main; main(['--help'])\n"
        "found = {'torch', 'numpy', 'bozzetto_convert.command', 'bozzetto_bench.command', 'bozzetto_view.command', 'viser'} & set(sys.modules)\n"
        "try: main(['bench', '--help'])\n"
        "except SystemExit: print(found, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.endswith("set() False\n"), done.stdout + done.stderr
