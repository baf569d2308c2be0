"""System errors are one line with exit code 2; internal errors are one line with a saved log and exit code 1."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bozzetto.cli import entry, main
from bozzetto.cli.failures import own_message, system_message

ROOT = Path(__file__).parents[3]


class OutOfMemoryError(RuntimeError):
    """Exception with the name of torch's."""


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/out/a.ckpt"), "No space left on device: /out/a.ckpt. Free some space, or write elsewhere: output=FOLDER."),
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/out"), "Permission denied: /out. Grant yourself permission"),
        (OSError(errno.EROFS, os.strerror(errno.EROFS), "/out"), "Read-only file system: /out. Write elsewhere: output=FOLDER."),
        (OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), "x" * 300), "Choose a shorter name."),
        (FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), "/out"), "A file exists where a folder is needed"),
        (NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), "/out"), "A file exists where a folder is needed"),
        (OSError("odd"), "odd."),
        (MemoryError(), "system.renderer.samples_per_ray"),
        (OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"), "guidance.encode_views=1 and cpu_offload=model"),
        (UnicodeEncodeError("ascii", "é", 0, 1, "ordinal not in range"), "Use UTF-8"),
    ],
)  # fmt: skip
def test_errors_of_the_system(error, told):
    message = system_message(error)
    assert told in message and "\n" not in message


def test_memory_that_torch_cannot_get_is_an_error_of_the_system():
    with pytest.raises(RuntimeError) as error:
        torch.empty(2**60)
    assert "Out of memory. Reduce usage" in system_message(error.value)


def test_other_errors_are_ours():
    assert system_message(TypeError("x")) is None and system_message(RuntimeError("x")) is None


def command_that(error):
    def command(options, registry, stop):
        raise error

    return command


@pytest.fixture
def failing(monkeypatch, capsys):
    """Run `doctor`, whose command raises an error."""

    def run(error, *arguments):
        commands = {**entry.COMMANDS, "doctor": (entry.doctor_parser, command_that(error))}
        monkeypatch.setattr(entry, "COMMANDS", commands)
        code = main(["doctor", *arguments])
        return code, capsys.readouterr().err

    return run


def test_a_mistake_of_ours_is_saved_to_be_reported(failing):
    code, err = failing(TypeError("unsupported operand"))
    assert code == 1 and err.startswith("error: TypeError: unsupported operand\n") and "Traceback" not in err
    log = Path(err.split()[-1])
    text = log.read_text()
    log.unlink()
    assert "Traceback (most recent call last)" in text and "in command" in text and "Python" in text


def test_where_no_log_can_be_saved_the_traceback_is_shown(monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr("tempfile.mkstemp", full)
    try:
        raise TypeError("x")
    except TypeError as error:
        assert "Traceback" in own_message(error)


def test_the_systems_errors_are_not_ours(failing):
    code, err = failing(PermissionError(errno.EACCES, "Permission denied", "/out"))
    assert code == 2 and err.count("\n") == 1 and err.startswith("error: Permission denied: /out.")


def test_the_traceback_on_demand(failing):
    with pytest.raises(PermissionError):
        failing(PermissionError(errno.EACCES, "Permission denied", "/out"), "--traceback")


def test_notes_of_an_error_are_told(failing):
    error = MemoryError()
    error.add_note("The run is kept in /out")
    code, err = failing(error)
    assert code == 2 and err.endswith("The run is kept in /out\n")


def test_an_unknown_command_is_told(capsys):
    assert main(["chekc", "dreamfusion-sd"]) == 2
    assert "There is no command 'chekc'. Did you mean 'check'? Commands: run, check" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="descriptors are closed as a shell does it")
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&-", ">/dev/full"])
def test_standard_streams_may_be_closed_or_full(closed):
    done = subprocess.run(
        f"{sys.executable} {ROOT / 'launch.py'} doctor {closed}", shell=True, capture_output=True, text=True
    )
    assert done.returncode == (2 if "full" in closed else 0) and "Traceback" not in done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_what_a_terminal_cannot_show_is_replaced(encoding):
    recipe = str(ROOT / "configs" / "dreamfusion-sd.yaml")
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, str(ROOT / "launch.py"), "check", recipe, "prompt=a café 🍔", "--profile", "cpu"],
        capture_output=True, env=environment, encoding=encoding,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"a {'caf?' if encoding == 'ascii' else 'café'} ?" in done.stdout


def test_a_prompt_that_is_not_utf_8_is_refused(capsys):
    assert main(["check", "dreamfusion-sd", "prompt=caf\udce9"]) == 2
    assert "is not UTF-8" in capsys.readouterr().err


def test_a_reader_that_goes_ends_nothing():
    command = f"{sys.executable} {ROOT / 'launch.py'} schema | head -c 10; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.stdout.endswith("0\n") and len(done.stdout) == 12 and done.stderr == ""
