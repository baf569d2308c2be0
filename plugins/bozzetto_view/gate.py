"""Gate before the page's own server: refuses strangers, and pages of other sites. No viser.

A browser of this machine is let in by its address alone, if the page that it shows is this one: a page of another site
cannot connect, whatever name it has given itself. With a token a browser has to know it: `/?token=...` is answered by a
cookie, which every later connection carries.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import socket
import threading
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

COOKIE = "bozzetto-view"
MOST_HEAD = 32_768
"""Maximum size of the head of a request, bytes."""
HEAD_S = 10.0
"""Seconds in which a browser has to send it."""
BLOCK = 65_536
"""Bytes that are passed on at once: with a slow browser no more than a few of them wait here."""
STUCK_S = 30.0
"""Seconds in which a browser has to take something of what waits for it, else it is hung up on."""
LOCAL = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Head:
    """Head of a request: its path, and its headers by lower-case name."""

    path: str
    headers: dict[str, str]


@dataclass
class Gate:
    """Server on a listening socket that passes what it lets in on to another one on this machine.

    Args:
        behind: address of the server behind it.
        token: what a browser has to know; empty: only this machine's own page is let in.
    """

    listening: socket.socket
    behind: tuple[str, int]
    token: str = ""
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop, repr=False)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set, repr=False)

    def open(self) -> None:
        """Accept connections from now on, in a thread."""
        self._thread = threading.Thread(target=self._loop.run_forever, name="gate", daemon=True)
        self._thread.start()
        opening = asyncio.start_server(self._serve, sock=self.listening, limit=MOST_HEAD)
        self._server = asyncio.run_coroutine_threadsafe(opening, self._loop).result()

    def close(self) -> None:
        """Accept no more connections, and end those that are open."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def port(self) -> int:
        """Port that it listens on."""
        port: int = self.listening.getsockname()[1]
        return port

    @property
    def connections(self) -> int:
        """Number of open connections."""
        return len(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # a coroutine runs in one
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            raw = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), HEAD_S)
            head = head_of(raw)
            answer = self.answer(head)
            if answer is None:
                await self._pass_on(raw, reader, writer)
            else:
                writer.write(answer)
                await writer.drain()
        except asyncio.CancelledError:
            writer.transport.abort()  # the gate is closed, and waits for no browser
        except (OSError, EOFError, TimeoutError, ValueError, asyncio.LimitOverrunError):
            pass  # the browser has gone, or talks no HTTP
        finally:
            await _hang_up(writer)

    def answer(self, head: Head) -> bytes | None:
        """Return the answer to a request that is not passed on; None: pass it on."""
        parts = urlsplit(head.path)
        host = head.headers.get("host", "")
        origin = head.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return _response("403 Forbidden", "This page can be used from its own address only.")
        if not self.token:
            name = (urlsplit(f"//{host}").hostname or "").lower()
            return None if name in LOCAL else _response("403 Forbidden", "Open this page as http://localhost.")
        given = parse_qs(parts.query).get("token", [""])[0]
        if given and hmac.compare_digest(given.encode(), self.token.encode()):
            cookie = f"Set-Cookie: {COOKIE}={self.token}; HttpOnly; SameSite=Strict; Path=/"
            return _response("303 See Other", "", "Location: /", cookie)
        if hmac.compare_digest(_cookie(head).encode(), self.token.encode()):
            return None
        return _response("401 Unauthorized", "Open the address that the command has printed, with its token.")

    async def _pass_on(self, raw: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Copy bytes both ways until the server behind ends; what the browser ends is told to it."""
        inner_reader, inner_writer = await asyncio.open_connection(*self.behind)
        inner_writer.write(raw)
        onward = asyncio.ensure_future(_copy_all(reader, inner_writer))
        try:
            await _copy(inner_reader, writer)
        finally:
            onward.cancel()
            await asyncio.gather(onward, return_exceptions=True)
            await _hang_up(inner_writer)


async def _copy_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until the end, and pass the end on; one that has broken off hangs up."""
    try:
        await _copy(reader, writer)
        writer.write_eof()
    except OSError:  # or the server behind takes nothing
        writer.close()


def head_of(raw: bytes) -> Head:
    """Return the head of a request. Raises `ValueError` if it is none."""
    first, *lines = raw.decode("latin-1").split("\r\n")
    _, path, version = first.split(" ")
    if not version.startswith("HTTP/1."):
        raise ValueError(f"no request: {first[:80]!r}")
    pairs = (line.partition(":") for line in lines if line)
    return Head(path, {name.strip().lower(): value.strip() for name, _, value in pairs})


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while block := await reader.read(BLOCK):
        writer.write(block)
        async with asyncio.timeout(STUCK_S):
            await writer.drain()


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    """Close a connection once it has taken what was written; one that does not take it is broken off."""
    writer.close()
    try:
        with contextlib.suppress(OSError):  # `TimeoutError` is one
            async with asyncio.timeout(STUCK_S):
                await writer.wait_closed()
    finally:
        writer.transport.abort()


def _cookie(head: Head) -> str:
    try:
        cookies = SimpleCookie(head.headers.get("cookie", ""))
    except CookieError:
        return ""
    return cookies[COOKIE].value if COOKIE in cookies else ""


def _response(status: str, text: str, *headers: str) -> bytes:
    body = text.encode()
    lines = [
        f"HTTP/1.1 {status}", *headers, "Content-Type: text/plain; charset=utf-8", f"Content-Length: {len(body)}",
        "Cache-Control: no-store", "Connection: close",
    ]  # fmt: skip
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body
