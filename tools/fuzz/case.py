"""The records of a fuzz run: a case, the commands it runs, what they did, what was wrong with it."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

START = "{start}"
"""A word that stands for `--resume` of the run folder that an earlier command has made, else `--config recipe.yaml`."""

Reads = Literal["checked", "free"]
"""`checked`: reading outside the sandbox is a fault. `free`: the input names paths itself, as a recipe may."""


@dataclass(frozen=True)
class Interruption:
    """A signal that a command sends to itself at a reproducible moment."""

    signal: int
    call: int
    """Number of Python and C calls of the main thread after which it is sent, from the start of the command."""


@dataclass(frozen=True)
class Command:
    """One call of the program's command line, in a process of its own, in the sandbox folder."""

    words: tuple[str, ...]
    only_after_success: bool = False
    """Left out unless the command before ended with 0."""
    must_agree: bool = False
    """A refusal is a fault, as `check` has just accepted the same recipe."""
    may_diverge: bool = False
    """An exit with 1 because numbers are no longer finite is allowed: the input chooses the learning rate."""
    may_run_out: bool = False
    """An exit with 2 because memory is short is allowed: the input asks for an absurd but legal size."""
    most_steps: int = 3
    """A stage stops after this many steps, whatever its recipe says."""
    interruption: Interruption | None = None


@dataclass(frozen=True)
class Case:
    """One damaged input: files that the generator has written into the sandbox, and the commands that read them."""

    family: str
    number: int
    what: str
    """The damage, in words."""
    commands: tuple[Command, ...]
    reads: Reads = "checked"
    verify: Callable[[Path], list[str]] | None = None
    """Looks at the sandbox after the last command and returns what is wrong; runs in a process of its own."""


@dataclass(frozen=True)
class Result:
    """The outcome of one command."""

    command: Command
    code: int
    """The exit code; minus the number of the signal that ended it."""
    seconds: float
    peak_bytes: int
    """Largest resident memory of the process."""
    out: str
    err: str
    forbidden: tuple[str, ...]
    """Writes and reads outside the sandbox, connections, programs started."""
    timed_out: bool
    interrupted: bool
    """Its interruption took place."""


@dataclass(frozen=True)
class Fault:
    """A broken invariant."""

    kind: str
    """The rule that was broken and the place, equal for equal causes: faults are counted by it."""
    detail: str
    """The last lines of what was said."""
    words: tuple[str, ...]
    """The command."""


@dataclass(frozen=True)
class Verdict:
    """A case after its commands."""

    case: Case
    results: tuple[Result, ...]
    outcome: str
    """`ok`, `refused`, `not finite`, `memory`, or `fault`."""
    faults: tuple[Fault, ...]

    @property
    def seconds(self) -> float:
        """Duration of its commands together."""
        return sum(item.seconds for item in self.results)

    @property
    def peak_bytes(self) -> int:
        """Largest resident memory of any of its commands."""
        return max(item.peak_bytes for item in self.results)


def random_of(seed: int, family: str, number: int) -> random.Random:
    """The source of every choice of one case; independent of the cases before it."""
    digest = hashlib.sha256(f"{seed}/{family}/{number}".encode()).digest()
    return random.Random(int.from_bytes(digest[:8], "big"))
