"""Messages for system errors and internal errors: what happened, to which file, and the cure. Imports no torch."""

from __future__ import annotations

import errno
import os
import platform
import sys
import tempfile
import traceback
from collections.abc import Mapping

from bozzetto import __version__

_ELSEWHERE = "Grant yourself permission, or choose another place, e.g. output=FOLDER."
_IN_THE_WAY = "A file exists where a folder is needed; move it away, or choose another place."
CURES: Mapping[str, str] = {
    "ENOSPC": "Free some space, or write elsewhere: output=FOLDER.",
    "EDQUOT": "Free some space, or write elsewhere: output=FOLDER.",
    "EFBIG": "Files may not be that large here; write elsewhere: output=FOLDER.",
    "EROFS": "Write elsewhere: output=FOLDER.",
    "EACCES": _ELSEWHERE,
    "EPERM": _ELSEWHERE,
    "ENAMETOOLONG": "Choose a shorter name.",
    "ENOTDIR": _IN_THE_WAY,
    "EEXIST": _IN_THE_WAY,
    "EISDIR": "A folder exists where a file is needed; move it away, or choose another place.",
    "ENOENT": "It is not there, or has just been removed.",
    "EMFILE": "Close other programs, or raise the limit: ulimit -n 4096.",
}
"""Cures of system errors by errno name."""

MEMORY = (
    "Out of memory. Reduce usage by a smaller height and width or batch_size in "
    "system.tasks.TASK.views; system.renderer.samples_per_ray; system.geometry.log2_table_size or resolution; "
    "on a GPU --profile cuda-8gb, or guidance.encode_views=1 and cpu_offload=model; for exports resolution, "
    "texture_size and chunk_points."
)


def system_message(error: BaseException) -> str | None:
    """Return the message of a system error (files, memory, encodings); None for any other error."""
    if is_out_of_memory(error):
        return f"{MEMORY} ({_one_line(error)})"
    if isinstance(error, UnicodeError):
        return f"Text cannot be encoded or decoded: {_one_line(error)}. Use UTF-8, e.g. LANG=C.UTF-8."
    if isinstance(error, OSError):
        files = " and ".join(_short(str(name)) for name in (error.filename, error.filename2) if name is not None)
        cure = CURES.get(errno.errorcode.get(error.errno or 0, ""), "")
        what = error.strerror or _one_line(error) or type(error).__name__
        return " ".join(part for part in (f"{what}: {files}." if files else f"{what}.", cure) if part)
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory ran out, in Python or torch; torch on a CPU raises a plain `RuntimeError`."""
    told = str(error)
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or (isinstance(error, RuntimeError) and ("can't allocate memory" in told or "CUDA out of memory" in told))
    )


def own_message(error: BaseException, whose: str = "Bozzetto") -> str:
    """Return the message of an internal error, with the file that holds its traceback, or the traceback itself.

    Args:
        whose: who is to be told: this program, or the distribution of a command.
    """
    report = "".join(
        [
            f"bozzetto {__version__}, Python {platform.python_version()}, {platform.platform()}\n",
            f"command: {sys.argv!r} ({whose})\n\n",
            *traceback.format_exception(error),
        ]
    )
    told = f"{type(error).__name__}: {_one_line(error)}\nThis is a bug in {whose}. Please report it, with"
    try:
        handle, name = tempfile.mkstemp(prefix="bozzetto-error-", suffix=".log")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(report)
    except OSError:
        return f"{told} this:\n{report}"
    return f"{told} {name}"


def _short(name: str) -> str:
    return name if len(name) <= 300 else f"{name[:140]}...{name[-140:]}"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
