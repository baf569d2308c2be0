"""Notices of components about the files that a user provided."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

__all__ = ["HasNotices"]


@runtime_checkable
class HasNotices(Protocol):
    """Component that may interpret a file differently than intended. The host prints its notices before training."""

    notices: tuple[str, ...]
    """Sentences without full stop that name the file; empty if there is nothing to report."""
