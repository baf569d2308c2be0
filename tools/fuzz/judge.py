"""Rules that hold for every command, and names of faults that are equal for equal causes."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from pathlib import Path

from fuzz.case import Case, Fault, Result, Verdict
from fuzz.child import MEMORY_BYTES, PROJECT

ERROR_LINE = re.compile(r"(?:^|\r)error: .*\S", re.MULTILINE)
NOT_FINITE = re.compile(r"not finite|non-finite|nan\b|infinit", re.IGNORECASE)
DONE = re.compile(r"^done in ", re.MULTILINE)
LEARNT = re.compile(r"vanished|no surface|no clear surface|export\.\S+: ", re.IGNORECASE)
"""Errors that no check can predict, because they depend on the trained scene."""
MEMORY = re.compile(r"memory of this machine|this machine has|out of memory", re.IGNORECASE)
SAVED_LOG = re.compile(r"/\S+\.(?:log|txt)\b")
TRACEBACK = "Traceback (most recent call last)"
_FRAME = re.compile(r'File "([^"]+)", line (\d+),? in (\S+)')
_RAISED = re.compile(r"^([A-Za-z_][\w.]*)(?::|$)")
_NUMBERS = re.compile(r"\d+|0x[0-9a-f]+")
SHOWN_LINES = 6


def judge(case: Case, results: Sequence[Result], stray: Sequence[str], wrong: Sequence[Fault]) -> Verdict:
    """Return the verdict on a case.

    Args:
        stray: new files beside the sandbox.
        wrong: faults found by the case's own `verify`.
    """
    faults = [*wrong, *(fault for result in results for fault in faults_of(result))]
    if stray:
        faults.append(Fault("file written beside the sandbox", ", ".join(stray), results[-1].command.words))
    return Verdict(case, tuple(results), "fault" if faults else outcome_of(results[-1]), tuple(faults))


def outcome_of(result: Result) -> str:
    """Return the outcome of a command without faults, in a word."""
    if result.code == 2:
        return "memory" if result.command.may_run_out and MEMORY.search(error_of(result)) else "refused"
    return {0: "ok", 1: "not finite"}.get(result.code, "stopped")


def faults_of(result: Result) -> list[Fault]:
    """Return all invariants that a command violated."""
    kinds = _about_end(result)
    if result.peak_bytes > MEMORY_BYTES:
        kinds.append(f"memory: {result.peak_bytes / 1e9:.0f} GB")
    kinds += [_NUMBERS.sub("N", line) for line in result.forbidden]
    detail = last_lines(result.err) or last_lines(result.out)
    if result.forbidden:
        detail = "\n".join(result.forbidden[:3]) + "\n" + detail
    return [Fault(kind, detail, result.command.words) for kind in dict.fromkeys(kinds)]


def _about_end(result: Result) -> list[str]:
    """Return faults of the command's exit code and final output."""
    said = result.out + "\n" + result.err
    if result.timed_out:
        return [f"hang: {place_of(result.err.rpartition('most recent call first')[2], newest_first=True)}"]
    if TRACEBACK in said and result.interrupted:
        return [f"traceback after {_sent(result).name}: {raised_in(said.rpartition(TRACEBACK)[2]).partition(' ')[0]}"]
    if TRACEBACK in said:
        return [f"traceback: {raised_in(said.rpartition(TRACEBACK)[2])}"]
    if result.interrupted:
        return _about_interruption(result)
    if result.code < 0:
        return [f"killed by signal {-result.code}: {place_of(result.err, newest_first=True)}"]
    if result.code == 0:
        return []
    error = error_of(result)
    if not error and result.code in (1, 2):
        return [f"exit {result.code} without a line that starts with 'error:'"]
    if result.code == 1 and NOT_FINITE.search(error):
        return [] if result.command.may_diverge else [f"exit 1: {_short(error)}"]
    if result.code != 2:
        return [f"exit {result.code}: {_reported(result.err) or _short(error)}"]
    if MEMORY.search(_short(error)):
        return [] if result.command.may_run_out else [f"memory: {_short(error)}"]
    return [f"check accepted it: {_short(error)}"] if result.command.must_agree and not LEARNT.search(error) else []


def _about_interruption(result: Result) -> list[str]:
    """Check that it exits with 128 + the signal or dies of it, unless the run was done when the signal came."""
    number = _sent(result)
    done = result.code == 0 and DONE.search(result.out) is not None
    ended = result.code in (128 + number, -number)
    return [] if ended or done else [f"exit {result.code} after {number.name}"]


def _sent(result: Result) -> signal.Signals:
    assert result.command.interruption is not None
    return signal.Signals(result.command.interruption.signal)


def error_of(result: Result) -> str:
    """Return the last error line of a command; empty if there is none."""
    found = ERROR_LINE.findall(result.err)
    return found[-1] if found else ""


def raised_in(traceback: str) -> str:
    """Return `ValueError at framework/bozzetto/config/loading.py:120 in recipe (np/core.py:7)`, equal for equal causes."""
    lines = [line for line in traceback.splitlines() if line and not line.startswith((" ", "\t"))]
    raised = next((found[1] for line in lines if (found := _RAISED.match(line))), "unknown error")
    return f"{raised} at {place_of(traceback)}"


def place_of(frames: str, newest_first: bool = False) -> str:
    """Return the deepest frame in the project, and the deepest of all."""
    found = _FRAME.findall(frames)
    if newest_first:
        found = found[::-1]
    ours = [item for item in found if item[0].startswith(str(PROJECT)) and "/tools/fuzz/" not in item[0]]
    shown = [f"{_relative(path)}:{line} in {name}" for path, line, name in (ours[-1:] or found[-1:])]
    if ours and found[-1] != ours[-1]:
        path, line, name = found[-1]
        shown.append(f"({'/'.join(Path(path).parts[-2:])}:{line} in {name})")
    return " ".join(shown) or "unknown place"


def _relative(path: str) -> str:
    return str(Path(path).relative_to(PROJECT)) if path.startswith(str(PROJECT)) else path


def _reported(err: str) -> str:
    """Return the location of a bug that the program itself reports, from the log it has saved."""
    for name in SAVED_LOG.findall(err):
        log = Path(name)
        if log.is_file() and TRACEBACK in (text := log.read_text(encoding="utf-8", errors="replace")):
            return raised_in(text.rpartition(TRACEBACK)[2])
    return ""


def _short(error: str) -> str:
    """Return an error without its variable parts: quoted texts, paths, numbers."""
    text = re.sub(r"'[^']*'|\"[^\"]*\"|\S*/\S*", "…", error)
    return _NUMBERS.sub("N", text)[:140]


def last_lines(text: str, count: int = SHOWN_LINES) -> str:
    """Return the last non-empty lines, without progress bars."""
    lines = [line.rpartition("\r")[2].rstrip() for line in text.splitlines()]
    return "\n".join(line[:300] for line in [line for line in lines if line.strip()][-count:])
