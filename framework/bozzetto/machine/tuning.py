"""Process settings that speed up start and CPU training. Functions only; importing changes nothing."""

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
"""Parameters of glibc's mallopt, from malloc.h."""

MMAP_THRESHOLDS = (1 << 30, 1 << 25)
"""mmap thresholds to try in bytes; glibc before 2.35 accepts at most 32 MiB."""

SWITCH = "BOZZETTO_TUNE_ALLOCATOR"
"""Environment variable that disables the tuning with the value 0."""

TRIM_THRESHOLD = (1 << 31) - 1
"""Trim threshold in bytes: practically never."""


@contextmanager
def growing() -> Iterator[None]:
    """Disable garbage collection during imports and model loading, which create a million objects and free few.

    Collection would take a sixth of the time until the first step; these objects are excluded from later collections,
    too.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def tune_cuda(tf32: bool, benchmark: bool) -> None:
    """Set how torch computes on NVIDIA GPUs, for the rest of the process; has no effect on other devices."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = benchmark


def tune_allocator() -> str:
    """Keep freed memory in the process and request huge pages; returns one line that describes what was done.

    By default glibc returns each large block to the system, so that every new tensor causes page faults again: 1.5 to 3
    times the time of a training step on a CPU. The cost is that the process keeps its peak memory.

    Must run before the first large allocation. Has no effect outside Linux with glibc, or with
    `BOZZETTO_TUNE_ALLOCATOR=0` (for machines with scarce memory, and to measure the difference). An existing
    `THP_MEM_ALLOC_ENABLE` is kept.
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
