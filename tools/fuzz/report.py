"""Report of outcomes, with one entry per kind of fault and a command that reproduces it."""

from __future__ import annotations

import shlex
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from fuzz.case import Fault, Verdict

OUTCOMES = ("ok", "refused", "not finite", "memory", "stopped", "fault")
EVERY_S = 30.0
"""Seconds between progress lines."""


@dataclass
class Report:
    """Counts and faults found so far."""

    seed: int
    file: Path | None
    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    faults: dict[tuple[str, str], list[tuple[Verdict, Fault]]] = field(default_factory=lambda: defaultdict(list))
    peaks: dict[str, int] = field(default_factory=dict)
    slowest: dict[str, float] = field(default_factory=dict)
    said: float = field(default_factory=time.monotonic)

    @property
    def distinct(self) -> int:
        """Number of kinds of faults."""
        return len(self.faults)

    def add(self, verdict: Verdict) -> None:
        """Count one case."""
        family = verdict.case.family
        self.counts[family][verdict.outcome] += 1
        self.peaks[family] = max(self.peaks.get(family, 0), verdict.peak_bytes)
        self.slowest[family] = max(self.slowest.get(family, 0.0), verdict.seconds)
        fresh = False
        for fault in verdict.faults:
            fresh = fresh or (family, fault.kind) not in self.faults
            self.faults[family, fault.kind].append((verdict, fault))
        if fresh:
            kinds = "; ".join(fault.kind for fault in verdict.faults)
            print(f"{family} {verdict.case.number}: {kinds}", flush=True)
            self._write()
        if time.monotonic() - self.said > EVERY_S:
            self.said = time.monotonic()
            print(f"{family}: {dict(self.counts[family])}", flush=True)

    def finish(self, note: str = "") -> int:
        """Print the table and the faults; return the exit code."""
        self._write()
        print("\n".join([*self.table(), *self.list(), *([note] if note else [])]), flush=True)
        return 1 if self.faults else 0

    def table(self) -> list[str]:
        """Return the table, one line per family."""
        lines = [
            "",
            f"| family | cases | {' | '.join(OUTCOMES)} | peak | slowest |",
            "|---" * (len(OUTCOMES) + 4) + "|",
        ]
        for family, count in self.counts.items():
            cells = [family, count.total(), *(count[name] for name in OUTCOMES)]
            cells += [f"{self.peaks[family] / 1e9:.2f} GB", f"{self.slowest[family]:.0f} s"]
            lines.append("| " + " | ".join(map(str, cells)) + " |")
        return lines

    def list(self) -> list[str]:
        """Return all kinds of faults, the most frequent first."""
        lines = ["", f"{self.distinct} kinds of faults" if self.faults else "every invariant held"]
        for (family, kind), found in sorted(self.faults.items(), key=lambda item: -len(item[1])):
            verdict, fault = found[0]
            numbers = ", ".join(str(item.case.number) for item, _ in found[:5])
            lines += [
                "",
                f"## {kind}",
                f"{len(found)} x, {family} {numbers}: {shown(verdict.case.what)}",
                f"    python tools/fuzz --family {family} --seed {self.seed} --case {verdict.case.number}",
                f"    bozzetto {shown(shlex.join(fault.words))}",
                *(f"    | {line}" for line in fault.detail.splitlines()),
            ]
        return lines

    def _write(self) -> None:
        if self.file is not None:
            text = "\n".join([*self.table(), *self.list(), ""])
            self.file.write_text(text, encoding="utf-8", errors="backslashreplace")


def shown(text: str) -> str:
    """Return the start of a text with everything that a terminal cannot show escaped."""
    return text.encode("utf-8", "backslashreplace").decode()[:300].replace("\n", "\\n").replace("\x1b", "\\e")
