"""Atomic file writing, and names that are safe as paths."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
import unicodedata
from collections.abc import Callable
from pathlib import Path

__all__ = ["UNFINISHED", "remove_unfinished", "sha256_of", "slug", "write_atomically", "write_text"]

UNFINISHED = ".writing-"
"""Name prefix of a file being written; a remaining one was left by a killed process."""


def write_atomically(path: Path, write: Callable[[Path], object]) -> Path:
    """Let `write` fill a temporary file next to `path` (same suffix), then move it into place.

    The content is synced before the name, so that after a power failure the file is either the old or the new one.
    """
    handle, name = tempfile.mkstemp(prefix=UNFINISHED, suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        _sync(temporary, os.O_RDWR)
        temporary.chmod(0o644)
        temporary.replace(path)
        with contextlib.suppress(OSError):  # not every system can open a folder, and the data are safe already
            _sync(path.parent, os.O_RDONLY)
    except OSError as error:
        if error.errno is not None and error.filename is None:  # the error of a full disk does not name the file
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _sync(path: Path, mode: int) -> None:
    handle = os.open(path, mode)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_unfinished(folder: Path) -> None:
    """Remove partial files of killed processes anywhere below `folder`."""
    for path in folder.rglob(f"{UNFINISHED}*"):
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> Path:
    """Write UTF-8 text atomically."""
    return write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def slug(text: str, length: int = 40) -> str:
    """Convert to lower-case letters, digits and single hyphens, at most `length` characters; `untitled` if empty."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    safe = re.sub(r"[^a-z0-9]+", "-", ascii_text.lower()).strip("-")
    return safe[:length].strip("-") or "untitled"


def sha256_of(path: Path) -> str:
    """Return the hex SHA-256 of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
