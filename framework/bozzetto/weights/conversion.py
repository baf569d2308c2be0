"""Makes a folder of a source once: locked against other processes, whole or absent, with a stamp of the source."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bozzetto.errors import ModelError
from bozzetto.files import UNFINISHED, write_text

STAMP = "converted.json"
"""File that records the source of a converted folder: name, size and time of each weight file."""


def converted_once(
    source: Path, target: Path, stamp: Mapping[str, Any], write: Callable[[Path], None], kind: str
) -> Path:
    """Return `target`, beside its source; makes it unless it is already made of what the stamp describes.

    Args:
        source: what is converted, a file or a folder.
        stamp: identifies the source, as JSON.
        write: fills a new folder.
        kind: what the weights of the source are, in the plural, for errors.

    Raises:
        ModelError: the folder cannot be written, or one that was not converted is in its place.
    """
    if is_made(target, stamp):
        return target
    if target.is_dir() and read_stamp(target) is None:
        raise ModelError(f"{source} is to be converted into {target}, which is another folder. Rename one of them.")
    try:
        with _held(source) as alone:
            if alone:
                _remove_unfinished(target)
            if not is_made(target, stamp):  # unless another process was faster
                _make(target, stamp, write)
    except OSError as error:
        if is_made(target, stamp):
            return target
        raise ModelError(
            f"The weights in {source} are {kind}, to be converted to safetensors once, and {target} cannot be "
            f"written: {error.strerror or error}. Copy the model to where you may write, or convert it elsewhere."
        ) from error
    return target


def stamp_of(path: Path) -> dict[str, list[int]]:
    """Return the stamp of a single file: size and time by name."""
    fact = path.stat()
    return {path.name: [fact.st_size, fact.st_mtime_ns]}


def is_made(target: Path, stamp: Mapping[str, Any]) -> bool:
    """Return whether a folder was converted from what a stamp describes."""
    return target.is_dir() and read_stamp(target) == stamp


def read_stamp(target: Path) -> object:
    """Return the stamp of a converted folder; None if it has none."""
    try:
        return json.loads((target / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


@contextmanager
def _held(source: Path) -> Iterator[bool]:
    """Lock the conversion of a source against other processes; yields False where it cannot be locked."""
    handle = None
    try:
        import fcntl

        handle = os.open(source, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX)
        alone = True
    except (ImportError, OSError):  # not on Windows, nor on every network file system
        alone = False
    try:
        yield alone
    finally:
        if handle is not None:
            os.close(handle)


def _remove_unfinished(target: Path) -> None:
    """Remove partial results of killed conversions to `target`."""
    named = re.compile(rf"{re.escape(UNFINISHED)}[^-]+-{re.escape(target.name)}")
    for path in target.parent.iterdir():
        if named.fullmatch(path.name):
            shutil.rmtree(path, ignore_errors=True)


def _make(target: Path, stamp: Mapping[str, Any], write: Callable[[Path], None]) -> None:
    """Convert into a temporary folder next to `target`, then rename it."""
    temporary = Path(tempfile.mkdtemp(prefix=UNFINISHED, suffix=f"-{target.name}", dir=target.parent))
    try:
        write(temporary)
        write_text(temporary / STAMP, json.dumps(stamp, indent=2))
        if read_stamp(target) is not None:
            shutil.rmtree(target)  # converted from weights that have changed since
        temporary.chmod(0o755)
        temporary.replace(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
