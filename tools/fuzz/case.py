"""Records of a fuzz run: cases, commands, results, faults, verdicts."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

START = "{start}"
"""Placeholder for `--resume` of the run folder that an earlier command created, else `--config recipe.yaml`."""

Reads = Literal["checked", "free"]
"""`checked`: reading outside the sandbox is a fault; `free`: the input may name paths itself, like a recipe."""


@dataclass(frozen=True)
class Interruption:
    """Signal that a command sends to itself at a reproducible moment."""

    signal: int
    call: int
    """Number of Python and C calls of the main thread, from the start of the command, after which it is sent."""


@dataclass(frozen=True)
class Command:
    """One call of the program's command line, in a separate process, in the sandbox folder."""

    words: tuple[str, ...]
    only_after_success: bool = False
    """Skipped unless the previous command ended with 0."""
    must_agree: bool = False
    """A refusal is a fault, because `check` has accepted the same recipe."""
    may_diverge: bool = False
    """Exit code 1 due to non-finite numbers is allowed: the input sets the learning rate."""
    may_run_out: bool = False
    """Exit code 2 due to insufficient memory is allowed: the input asks for an absurd but legal size."""
    most_steps: int = 3
    """Maximum number of steps per stage, overriding the recipe."""
    interruption: Interruption | None = None


@dataclass(frozen=True)
class Case:
    """One damaged input: files written into the sandbox by a generator, and the commands that read them."""

    family: str
    number: int
    what: str
    """Description of the damage."""
    commands: tuple[Command, ...]
    reads: Reads = "checked"
    verify: Callable[[Path], list[str]] | None = None
    """Function that inspects the sandbox after the last command, in a separate process, and returns the problems."""


@dataclass(frozen=True)
class Result:
    """Outcome of one command."""

    command: Command
    code: int
    """Exit code; negative number of the signal that ended the command."""
    seconds: float
    peak_bytes: int
    """Peak resident memory of the process, bytes."""
    out: str
    err: str
    forbidden: tuple[str, ...]
    """Writes and reads outside the sandbox, network connections, started programs."""
    timed_out: bool
    interrupted: bool
    """True if the interruption was sent."""


@dataclass(frozen=True)
class Fault:
    """Violated invariant."""

    kind: str
    """Violated rule and code location, equal for equal causes; faults are counted by it."""
    detail: str
    """Last lines of the output."""
    words: tuple[str, ...]
    """Words of the command."""


@dataclass(frozen=True)
class Verdict:
    """Verdict on a case after its commands."""

    case: Case
    results: tuple[Result, ...]
    outcome: str
    """`ok`, `refused`, `not finite`, `memory`, or `fault`."""
    faults: tuple[Fault, ...]

    @property
    def seconds(self) -> float:
        """Total duration of the commands, seconds."""
        return sum(item.seconds for item in self.results)

    @property
    def peak_bytes(self) -> int:
        """Peak resident memory over the commands, bytes."""
        return max(item.peak_bytes for item in self.results)


def random_of(seed: int, family: str, number: int) -> random.Random:
    """Return the random source of one case; independent of the other cases."""
    digest = hashlib.sha256(f"{seed}/{family}/{number}".encode()).digest()
    return random.Random(int.from_bytes(digest[:8], "big"))
