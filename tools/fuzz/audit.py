"""Auditing of a process from inside by Python's audit events: files, network connections, started programs."""

from __future__ import annotations

import os
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHANGES = {
    "os.mkdir": (0, 2), "os.rmdir": (0, 1), "os.remove": (0, 1), "os.truncate": (0, None), "os.chmod": (0, 2),
    "os.chown": (0, 3), "os.utime": (0, 3), "os.symlink": (1, 2), "os.link": (1, 3),
}  # fmt: skip
"""Events that change a file: index of the path argument, and of the descriptor of its folder."""
NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "urllib.Request")
STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn")
PROGRAMS = ("ffmpeg", "uname")
"""Programs that may be started: the video encoder, and what Python's `platform` calls."""
WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
SYSTEM = ("/proc", "/sys", "/dev", "/etc", "/usr", "/lib", "/lib64", "/bin", "/sbin", "/opt", "/var/lib")
"""Folders that every program reads."""


@dataclass(frozen=True)
class Sandbox:
    """Folders that a command may write to and read from."""

    writable: tuple[str, ...]
    readable: tuple[str, ...]
    reads_checked: bool
    log: int
    """Descriptor of the log, which receives one line per violation."""

    def watch(self) -> None:
        """Start auditing this process; it cannot be stopped."""
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            self._open(*arguments)
        elif event in CHANGES:
            at, folder = CHANGES[event]
            self._change(event, arguments[at], arguments[folder] if folder is not None else -1)
        elif event == "os.rename":
            self._change(event, arguments[0], arguments[2])
            self._change(event, arguments[1], arguments[3])
        elif event in NETWORK:
            self._refuse(f"network: {event} {arguments[-1 if event == 'socket.connect' else 0]!r}")
        elif event in STARTS:
            program = os.path.basename(os.fsdecode(arguments[0])) if arguments[0] else str(arguments[1:2])  # noqa: PTH119
            if not program.startswith(PROGRAMS):
                self._refuse(f"program started: {program}")

    def _open(self, path: object, mode: str | None, flags: int) -> None:
        if isinstance(path, int):
            return
        writes = bool(flags & WRITE_FLAGS) or (mode is not None and not set(mode).isdisjoint("wax+"))
        place = real(path, -1)
        if writes:
            if not inside(place, self.writable):
                self._refuse(f"written outside: {place}")
        elif self.reads_checked and not inside(place, self.readable):
            self._tell(f"read outside: {place}")

    def _change(self, event: str, path: object, folder: object) -> None:
        if isinstance(path, int):
            return
        place = real(path, folder)
        if not inside(place, self.writable):
            self._refuse(f"changed outside: {event} {place}")

    def _refuse(self, what: str) -> None:
        self._tell(what)
        raise PermissionError(f"the fuzz test forbids it: {what}")

    def _tell(self, what: str) -> None:
        os.write(self.log, (what.replace("\n", "\\n") + "\n").encode("utf-8", "backslashreplace"))


def real(path: Any, folder: object) -> str:
    """Return the absolute path of an event's argument; links of parent folders are followed, a final link is not."""
    text = os.fsdecode(path)
    if isinstance(folder, int) and folder >= 0:
        text = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), text)  # noqa: PTH115, PTH118
    head, tail = os.path.split(os.path.abspath(text))  # noqa: PTH100
    return os.path.join(os.path.realpath(head), tail)  # noqa: PTH118


def inside(place: str, roots: tuple[str, ...]) -> bool:
    """Return whether a path is one of `roots` or below one."""
    return any(place == root or place.startswith(f"{root}/") for root in roots)


def installation() -> tuple[str, ...]:
    """Return the folders of Python, of the installed packages and of the system."""
    python = {sys.prefix, sys.base_prefix, *sysconfig.get_paths().values(), *sys.path}
    return (*SYSTEM, *sorted({str(Path(path).resolve()) for path in python if path and Path(path).is_absolute()}))
