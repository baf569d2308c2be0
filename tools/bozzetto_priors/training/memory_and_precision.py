"""Memory and precision settings shared by the trainings."""

from __future__ import annotations

import ctypes
import platform

import torch

from bozzetto_plugins.guidance.precision import processor_dtype


def mixed_precision() -> torch.autocast:
    """Return bfloat16 autocast if the CPU has bfloat16 matrix units, else disabled: it is twenty times slower there."""
    return torch.autocast("cpu", torch.bfloat16, enabled=processor_dtype() == torch.bfloat16)


def keep_memory_mapped() -> None:
    """Make glibc reuse large blocks instead of returning them (page faults cost 2-3x here)."""
    if platform.system() == "Linux":
        libc = ctypes.CDLL("libc.so.6", use_errno=True)
        m_trim_threshold, m_mmap_threshold = -1, -3
        libc.mallopt(m_mmap_threshold, 1 << 30)
        libc.mallopt(m_trim_threshold, 2**31 - 1)
