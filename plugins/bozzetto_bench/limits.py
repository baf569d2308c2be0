"""Hardware limits measured on this machine: memory bandwidth, random access, matrix products."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from bozzetto.kernels.cpp import native
from bozzetto_bench.timing import Now, Timing, interleaved

ENTRY_BYTES = 8
"""Bytes of a hash table entry of two float32 features, as in Instant NGP."""

ACCESS_BLOCK = 64
"""Accesses per block in limits.cpp."""

SMALL_TABLE, LARGE_TABLE = 1 << 15, 1 << 19
"""Entries of the tables: one level with log2 table size 15 (256 KB, near the core) or 19 (4 MB, shared cache)."""


@dataclass(frozen=True)
class Limit:
    """Hardware limit and a run that performs a known amount of it."""

    name: str
    unit: str
    amount: float
    """Amount performed by one run, in `unit` times seconds."""
    run: Callable[[], object]

    def rate(self, timing: Timing) -> float:
        """Return the amount per second."""
        return self.amount / timing.median


@dataclass(frozen=True)
class Effort:
    """Sizes of the runs that measure the limits."""

    numbers: int = 1 << 24
    """Elements of each array of the stream triad."""
    accesses: int = 1 << 22
    side: int = 1536
    """Side of the square matrices."""


def limits(effort: Effort) -> dict[str, Limit]:
    """Return all limits by name; the ones that require the compiled kernels only if these are built."""
    found = [_gemm("gemm fp32", torch.float32, effort), _gemm("gemm bf16", torch.bfloat16, effort)]
    if native.library() is not None:
        found += [_triad(effort)]
        found += [_table(kind, entries, effort) for kind in ("gather", "add") for entries in (SMALL_TABLE, LARGE_TABLE)]
    return {limit.name: limit for limit in found}


def table_limit(kind: str, entries: int) -> str:
    """Return the name of the random-access limit for a table: the measured size nearest to `entries`."""
    return f"{kind} {'256 KB' if entries <= SMALL_TABLE else '4 MB'}"


def ideal_seconds(work: Mapping[str, float], rates: Mapping[str, float]) -> float | None:
    """Return the minimum seconds for the work at the given rates; None if a required rate is unknown."""
    if not work or any(name not in rates for name in work):
        return None
    return sum(amount / rates[name] for name, amount in work.items())


def measure(chosen: Iterable[Limit], repeats: int, now: Now = time.perf_counter) -> dict[str, float]:
    """Measure the limits and return their rates by name."""
    known = {limit.name: limit for limit in chosen}
    timings = interleaved({name: limit.run for name, limit in known.items()}, repeats, now=now)
    return {name: limit.rate(timings[name]) for name, limit in known.items()}


def _triad(effort: Effort) -> Limit:
    a, b, c = (torch.ones(effort.numbers) for _ in range(3))

    def run() -> None:
        native.call("limit_triad", effort.numbers, b, c, 0.5, a)

    return Limit("stream", "B/s", 12.0 * effort.numbers, run)


def _table(kind: str, entries: int, effort: Effort) -> Limit:
    table, sums = torch.zeros(entries, 2), torch.zeros(effort.accesses // ACCESS_BLOCK, 2)

    def run() -> None:
        extra = (sums,) if kind == "gather" else ()
        native.call(f"limit_{kind}", effort.accesses, entries, table, *extra)

    return Limit(table_limit(kind, entries), "1/s", float(effort.accesses), run)


def _gemm(name: str, dtype: torch.dtype, effort: Effort) -> Limit:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(effort.side, effort.side, generator=generator).to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    return Limit(name, "FLOP/s", 2.0 * effort.side**3, lambda: torch.mm(a, b, out=out))


def machine() -> dict[str, str | int]:
    """Describe the machine: processor, usable cores, system, versions."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {
        "processor": _processor(),
        "cores usable": usable,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "compiled kernels": "yes" if native.library() is not None else "no",
    }


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"
