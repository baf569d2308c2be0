"""Count what browsers leave behind in the viewer's process when they come and go.

python tools/view_reconnects.py RUN_FOLDER --times 1000

Opens the window of a run, whose scene it draws at 16 pixels, and connects to it as a browser does: the protocol's
greeting, a camera, every tenth time a picture, and goodbye. Prints the memory of the process, Python's objects, open
files and threads after a warm-up of a tenth of that, and after each quarter. The clients are in the same process, so
what they leave would count, too.
"""

from __future__ import annotations

import argparse
import gc
import os
import socket
import threading
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch
import viser
from websockets.sync.client import connect

from bozzetto.engine.run_folder import RunFolder
from bozzetto_view.source import Source
from bozzetto_view.window import REFRESH_S, Window
from finished_runs import installed

CAMERA = {
    "type": "ViewerCameraMessage", "wxyz": (0.5, -0.5, -0.5, 0.5), "position": (3.0, 0.0, 0.0), "fov": 0.7,
    "near": 0.01, "far": 100.0, "image_height": 100, "image_width": 100, "look_at": (0.0, 0.0, 0.0),
    "up_direction": (0.0, 0.0, 1.0),
}  # fmt: skip
LIMIT_S = 60.0
"""Limit of what is waited for."""


@dataclass(frozen=True)
class Held:
    """What a process holds."""

    megabytes: float
    objects: int
    files: int
    threads: int


def held() -> Held:
    """Return what this process holds after Python has collected its garbage; no memory and files where Linux is not."""
    for _ in range(3):
        gc.collect()
    memory, files = Path("/proc/self/statm"), Path("/proc/self/fd")
    pages = int(memory.read_text().split()[1]) if memory.exists() else 0
    megabytes = pages * os.sysconf("SC_PAGE_SIZE") / 1e6 if pages else 0.0
    count = len(list(files.iterdir())) if files.exists() else 0
    return Held(megabytes, len(gc.get_objects()), count, threading.active_count())


def reconnect(window: Window, times: int) -> None:
    """Connect and leave, one browser after the other, and wait until all are forgotten."""
    for turn in range(times):
        drawn = window.painter.drawn
        client = connect(
            f"ws://localhost:{window.gate.port}/", subprotocols=[f"viser-v{viser.__version__}"],  # type: ignore[list-item]  # a str at run time
            compression=None, max_size=None, open_timeout=LIMIT_S,
        )  # fmt: skip
        client.send(msgspec.msgpack.encode(CAMERA))
        until = time.monotonic() + LIMIT_S
        while turn % 10 == 0 and window.painter.drawn == drawn and time.monotonic() < until:
            time.sleep(0.01)
        client.close()
    until = time.monotonic() + LIMIT_S
    while window.gate.connections or window.painter.browsers or window.server.get_clients():
        if time.monotonic() > until:
            raise SystemExit(f"after {LIMIT_S:g} s there are still {window.gate.connections} connections")
        time.sleep(0.05)


def counted(folder: Path, times: int) -> list[Held]:
    """Return what the viewer's process holds after a warm-up, and after each quarter of the connections."""
    source = Source(RunFolder.existing(folder), installed(), torch.device("cpu"))
    window = Window(source, socket.create_server(("127.0.0.1", 0)), "", coarse=16, fine=16)
    ended = threading.Event()

    def refresh() -> None:
        while not ended.wait(REFRESH_S):
            window.refresh()

    thread = threading.Thread(target=refresh, daemon=True)
    thread.start()
    try:
        reconnect(window, max(1, times // 10))
        found = [held()]
        for _ in range(4):
            reconnect(window, times // 4)
            found.append(held())
    finally:
        ended.set()
        thread.join()
        window.close()
    return found


def main() -> None:
    """Print what is held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN_FOLDER")
    parser.add_argument("--times", type=int, default=1000)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", "Queued a .* on a closed connection")
    print("connections      MB   objects  files  threads")
    for quarter, one in enumerate(counted(options.run, options.times)):
        times = quarter * (options.times // 4)
        print(f"{times:11d}  {one.megabytes:6.1f}  {one.objects:8d}  {one.files:5d}  {one.threads:7d}", flush=True)


if __name__ == "__main__":
    main()
