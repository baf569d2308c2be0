"""Seeds of generators that must not depend on how many numbers were drawn before."""

from __future__ import annotations

import hashlib

__all__ = ["seed_at"]


def seed_at(seed: int, step: int, *parts: int) -> int:
    """Return a reproducible seed in [0, 2^63) for a step, distinct from those of other steps, seeds and parts."""
    digest = hashlib.sha256(" ".join(map(str, (seed, step, *parts))).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1  # every generator accepts 63 bits
