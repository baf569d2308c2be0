"""One process at a time in a run folder; the second is told who holds it."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from bozzetto.errors import RunFolderError
from bozzetto.files import write_text

LOCK, HOLDER = ".lock", ".lock-holder.json"
"""The file that is locked, which the system unlocks when its process ends, however it ends; and who locked it."""


@contextmanager
def locked(folder: Path, report: Callable[[str], None]) -> Iterator[None]:
    """Hold a run folder.

    Args:
        report: told where the file system cannot lock: the run goes on without.

    Raises:
        RunFolderError: another process holds it; says which.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RunFolderError(
            f"The run folder {folder} is in use by {_holder(folder)}. Wait until that is done, or stop it."
        ) from None
    except RuntimeError as error:  # filelock's, where there is no flock
        report(f"notice    the run folder cannot be locked here, so take care not to use it twice at a time: {error}")
        yield
        return
    try:
        _write_holder(folder)
        yield
    finally:
        (folder / HOLDER).unlink(missing_ok=True)
        lock.release()


def _write_holder(folder: Path) -> None:
    facts = {
        "process": os.getpid(),
        "machine": platform.node(),
        "since": datetime.now().astimezone().isoformat(sep=" ", timespec="seconds"),
    }
    write_text(folder / HOLDER, json.dumps(facts) + "\n")


def _holder(folder: Path) -> str:
    try:
        facts = json.loads((folder / HOLDER).read_text(encoding="utf-8"))
        return f"process {facts['process']} on {facts['machine']} since {facts['since']}"
    except (OSError, ValueError, KeyError, TypeError):  # it has just been locked, or just been left
        return "another process"
