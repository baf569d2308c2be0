"""Settings of the process that make it start sooner, and torch on a CPU faster. Called, never set by an import."""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager

M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
"""malloc.h of glibc."""

MMAP_THRESHOLDS = (1 << 30, 1 << 25)
"""Bytes, best first: glibc before 2.35 accepts at most 32 MiB."""

SWITCH = "BOZZETTO_TUNE_ALLOCATOR"
"""The environment variable that turns the tuning off, with the value 0."""

TRIM_THRESHOLD = (1 << 31) - 1
"""Bytes: practically never."""


@contextmanager
def growing() -> Iterator[None]:
    """While imports and models are loaded: they make a million objects and drop few.

    Looking for garbage among those takes a sixth of the time until the first step; they are not looked at later either.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def tune_allocator() -> str:
    """Keep freed memory in the process and ask for huge pages; returns one line that says what was done.

    By default glibc hands each large block back to the system, so that every new tensor is paid for again page by
    page: 1.5 to 3 times the time of a training step on a CPU. The price is that the process keeps its peak memory.
    Must run before the first large allocation. Does nothing but say so outside Linux with glibc, and where
    `BOZZETTO_TUNE_ALLOCATOR=0` is set: for machines whose memory is shared tightly, and to measure the difference. A
    `THP_MEM_ALLOC_ENABLE` that is already set is left as it is.
    """
    if os.environ.get(SWITCH) == "0":
        return f"allocator: left as it is ({SWITCH}=0)"
    if not sys.platform.startswith("linux") or platform.libc_ver()[0] != "glibc":
        return "allocator: left as it is (tuned on Linux with glibc only)"
    huge_pages = os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1") == "1"
    mallopt = ctypes.CDLL(None).mallopt
    kept = any(mallopt(M_MMAP_THRESHOLD, size) for size in MMAP_THRESHOLDS)
    kept = bool(mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD)) and kept
    return f"allocator: huge pages {'on' if huge_pages else 'off'}, freed memory {'kept' if kept else 'returned'}"
