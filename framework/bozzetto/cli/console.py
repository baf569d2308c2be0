"""Standard output and standard error that do not end a command when nobody reads them or cannot show them."""

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
"""Errors of a stream whose other end has gone: a pipe that was closed, a terminal that was."""


@runtime_checkable
class TextStream(Protocol):
    """The part of a text stream that is used here."""

    def write(self, text: str, /) -> int: ...

    def flush(self) -> None: ...


class LastingStream:
    """A text stream whose loss is borne: once its reader has gone, what is written to it goes nowhere.

    Args:
        whatever: bear every error of the system, a full disk's too, as in a run that shall not end for its log.
    """

    def __init__(self, stream: TextStream, whatever: bool) -> None:
        self._stream, self._whatever = stream, whatever

    def write(self, text: str) -> int:
        """Write, or not."""
        try:
            return self._stream.write(text)
        except (OSError, ValueError) as error:
            self._bear(error)
            return len(text)

    def flush(self) -> None:
        """Flush, or not."""
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._bear(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _bear(self, error: Exception) -> None:
        """Let what is still buffered go nowhere, or the interpreter would fail to flush it; raise if told to."""
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
    """Standard output and error as `LastingStream`s; what their encoding cannot show is replaced."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_lasting(stream, whatever) for stream in before)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):  # a command has flushed, and told, before
                stream.flush()
        sys.stdout, sys.stderr = before


def _lasting(stream: TextStream | None, whatever: bool) -> LastingStream:
    if stream is None:  # its descriptor was closed when the process began: take it, or a file of ours would get it
        stream = open(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")  # noqa: SIM115, PTH123
    elif isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
        stream.reconfigure(errors="replace")
    return LastingStream(stream, whatever)
