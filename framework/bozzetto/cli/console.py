"""Standard streams that survive a closed reader and characters that they cannot encode."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

GONE = (errno.EPIPE, errno.EBADF, errno.EIO, errno.ESHUTDOWN)
"""Error numbers of a stream whose other end is closed: a pipe or a terminal."""


@runtime_checkable
class TextStream(Protocol):
    """Methods of a text stream that are used here."""

    def write(self, text: str, /) -> int:
        """Write the text and return the number of characters written."""

    def flush(self) -> None:
        """Write buffered text to its destination."""


class LastingStream:
    """Text stream that discards its output once its reader is gone.

    Args:
        whatever: ignore every system error, including a full disk, so that a run does not end because of its log.
    """

    def __init__(self, stream: TextStream, whatever: bool) -> None:
        self._stream, self._whatever = stream, whatever

    def write(self, text: str) -> int:
        """Write the text, or discard it if the stream is lost."""
        try:
            return self._stream.write(text)
        except (OSError, ValueError) as error:
            self._bear(error)
            return len(text)

    def flush(self) -> None:
        """Flush the stream, or do nothing if it is lost."""
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._bear(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _bear(self, error: Exception) -> None:
        """Redirect the descriptor to the null device, or the interpreter could not flush it; re-raise other errors."""
        with contextlib.suppress(OSError, ValueError):
            number = self.fileno()
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, number)
            os.close(nowhere)
        closed = isinstance(error, ValueError) and self.closed
        gone = isinstance(error, OSError) and (self._whatever or error.errno in GONE)
        if not closed and not gone:
            raise error


@contextmanager
def lasting_streams(whatever: bool) -> Iterator[None]:
    """Wrap standard output and error in `LastingStream` within a context; unencodable characters are replaced."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_lasting(stream, whatever) for stream in before)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):  # the command has already flushed and reported errors
                stream.flush()
        sys.stdout, sys.stderr = before


def _lasting(stream: TextStream | None, whatever: bool) -> LastingStream:
    if stream is None:  # closed at process start: occupy the descriptor, or the next file opened would receive it
        stream = open(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")  # noqa: SIM115, PTH123
    elif isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
        stream.reconfigure(errors="replace")
    return LastingStream(stream, whatever)
