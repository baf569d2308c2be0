"""What several trainings share: memory that is reused, and precision."""

from __future__ import annotations

import ctypes
import platform

import torch

from bozzetto_plugins.guidance.precision import processor_dtype


def mixed_precision() -> torch.autocast:
    """bfloat16 where the processor multiplies matrices in it; elsewhere that is twenty times slower than float32."""
    return torch.autocast("cpu", torch.bfloat16, enabled=processor_dtype() == torch.bfloat16)


def keep_memory_mapped() -> None:
    """Tell glibc to reuse big blocks instead of giving them back (page faults cost 2-3x here)."""
    if platform.system() == "Linux":
        libc = ctypes.CDLL("libc.so.6", use_errno=True)
        m_trim_threshold, m_mmap_threshold = -1, -3
        libc.mallopt(m_mmap_threshold, 1 << 30)
        libc.mallopt(m_trim_threshold, 2**31 - 1)
