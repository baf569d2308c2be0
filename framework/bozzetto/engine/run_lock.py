"""Locks a run folder for one process; a second process gets an error that names the holder."""

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
"""Lock file, which the system unlocks when its process ends in any way; and file with the holder."""


@contextmanager
def locked(folder: Path, report: Callable[[str], None]) -> Iterator[None]:
    """Lock a run folder within a context.

    Args:
        report: called if the file system does not support locks; the run continues without.

    Raises:
        RunFolderError: another process holds it; the message names it.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RunFolderError(
            f"The run folder {folder} is in use by {_holder(folder)}. Wait until that is done, or stop it."
        ) from None
    except RuntimeError as error:  # raised by filelock without flock
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
    except (OSError, ValueError, KeyError, TypeError):  # it has just been locked or unlocked
        return "another process"
