"""The window: server, gate, page and painter of one run. Imports viser and torch."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Hashable

import torch
import viser

from bozzetto_view.gate import Gate
from bozzetto_view.page import Page
from bozzetto_view.painter import Budget, Painter
from bozzetto_view.pictures import Picture, Pose, cameras_of, picture_of
from bozzetto_view.source import Source

SHARE = 0.14
"""Share of the processors, or of the accelerator, that pictures take beside a training, which loses no more."""
REFRESH_S = 0.5
"""Seconds between looks at the run folder."""
LAST_WORDS_S = 1.5
"""Seconds that browsers have to take the last words of a page."""
WATCH_S = 3.0
"""Seconds between signs to the training that somebody watches."""
LEAVING = asyncio.InvalidStateError
"""What viser raises in a thread that sends just as a browser leaves. All others get what was sent."""


class Window:
    """Shows one run until it is closed.

    Args:
        listening: socket of the page.
        coarse: height of pictures of moving cameras, pixels.
        fine: height of pictures of still cameras, pixels.
    """

    def __init__(self, source: Source, listening: socket.socket, token: str, coarse: int, fine: int) -> None:
        self.source = source
        inner = f"127.{secrets.randbelow(254) + 1}.{secrets.randbelow(256)}.{secrets.randbelow(254) + 1}"
        address = inner if sys.platform == "linux" else "127.0.0.1"  # one that no page can guess, where there are many
        with contextlib.redirect_stdout(io.StringIO()):
            self.server = viser.ViserServer(host=address, port=0, label="Bozzetto", verbose=False)
        self.gate = Gate(listening, (address, self.server.get_port()), token)
        self.gate.open()
        on_cpu = source.device.type == "cpu"
        self.cores = os.cpu_count() or 1
        self.budget = Budget(SHARE * (self.cores if on_cpu else 1))
        cost = time.thread_time if on_cpu else time.monotonic
        self.painter = Painter(self._draw, self.budget, coarse, fine, cost=cost)
        self.page = Page(self.server, source)
        self._place_camera()
        self.server.on_client_connect(self._connected)
        self.server.on_client_disconnect(lambda client: self.painter.remove(client.client_id))
        self._thread = threading.Thread(target=self.painter.run, name="painter", daemon=True)
        self._thread.start()
        self._watched_at = -WATCH_S

    def _place_camera(self) -> None:
        loaded = self.source.load(None, self.source.state())
        distance, fov = 3.2, 0.7
        if loaded is not None:
            usual = loaded.scene.views.eval_cameras(1, self.source.device)
            distance, fov = float(usual.distance[0]), float(usual.fov_y_rad[0])
        camera = self.server.initial_camera
        camera.position, camera.look_at, camera.fov = (0.94 * distance, 0.0, 0.34 * distance), (0.0, 0.0, 0.0), fov
        self.server.scene.set_up_direction("+z")

    def _connected(self, client: viser.ClientHandle) -> None:
        def send(picture: Picture) -> None:
            if client.client_id not in self.server.get_clients():
                return  # it has just left
            with contextlib.suppress(LEAVING):
                client.scene.set_background_image(picture.pixels, "jpeg", jpeg_quality=85, depth=picture.depth)

        self.painter.add(client.client_id, send)
        client.camera.on_update(lambda camera: self.painter.move(client.client_id, pose_of(camera)))
        self.painter.move(client.client_id, pose_of(client.camera))

    def _draw(self, pose: Pose, height: int) -> Picture | None:
        """Draw a picture in the painter's thread; what fails is told on the page, and the next one is tried."""
        threads = 1 if self.budget.limited else max(1, self.cores // 2)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        try:
            loaded = self.source.load(self.page.stage, self.page.state)
            if loaded is None:
                self.page.fault = "nothing has been trained yet"
                return None
            scene = loaded.scene.preview() if height < self.painter.fine else loaded.scene
            picture = picture_of(scene, cameras_of(pose, height, self.source.device), self.page.look)
        except Exception as error:
            self.page.fault = f"{type(error).__name__}: {error}"[:300]
            return None
        self.page.fault = ""
        return picture

    def refresh(self) -> None:
        """Look at the run folder, and show what has changed."""
        try:
            training = self.page.refresh()
        except LEAVING:
            return  # the rest is sent the next time
        for key in set(self.painter.browsers) - set(self.server.get_clients()):
            self.painter.remove(key)  # it left before its connection was announced
        state = self.page.state
        self.budget.limited = training and not (state is not None and state.paused)
        version: Hashable = self.source.version(self.page.stage, state)
        self.painter.show((version, self.page.look))
        if training and self.painter.browsers and time.monotonic() - self._watched_at >= WATCH_S:
            self._watched_at = time.monotonic()
            with contextlib.suppress(OSError):  # the run is being deleted
                self.source.live.watch(self.page.guidance)

    def run(self) -> None:
        """Show the run until a signal ends it."""
        while True:
            self.refresh()
            time.sleep(REFRESH_S)

    def close(self) -> None:
        """Say on the page what has become of the run, and close it; a run that is trained goes on."""
        if self.painter.browsers:
            with contextlib.suppress(LEAVING):
                self.refresh()
                self.page.end()
            self.server.flush()
            time.sleep(LAST_WORDS_S)
        self.painter.close()
        self.gate.close()
        with contextlib.redirect_stdout(io.StringIO()):
            self.server.stop()
        self._thread.join(timeout=10.0)


def pose_of(camera: viser.CameraHandle) -> Pose:
    """Return the pose of a browser's camera."""
    w, x, y, z = (float(value) for value in camera.wxyz)
    right, down, ahead = (float(value) for value in camera.position)
    return Pose((w, x, y, z), (right, down, ahead), float(camera.fov), float(camera.aspect))
