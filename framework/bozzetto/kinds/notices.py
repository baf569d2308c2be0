"""Notices: what a component of any kind understood of the files that a user gave it."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class HasNotices(Protocol):
    """A component that may have read something else than was meant. The host tells it before the first step."""

    notices: tuple[str, ...]
    """Each a sentence without its full stop, which names the file; empty: nothing is worth telling."""
