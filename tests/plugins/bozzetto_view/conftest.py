"""Fixtures of the viewer's tests: a tiny run that trains in a thread until it is told to stop, and its window."""

import socket
import threading
import time

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from bozzetto.engine.checkpoints import Interrupted
from bozzetto.engine.loop import Loop
from bozzetto.engine.run_lock import locked
from bozzetto.live import Live

PATIENCE_S = 60.0
"""Limit of every wait: generous, since machines are loaded; nothing waits that long if all is well."""


@pytest.fixture(name="wait_until")
def wait_until_fixture():
    return wait_until


def wait_until(true, what, limit_s=PATIENCE_S):
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        if found := true():
            return found
        time.sleep(0.05)
    raise AssertionError(f"still not after {limit_s:g} s: {what}")


@pytest.fixture(scope="session")
def textured():
    """Return a box whose six sides are islands in its texture, red to the left and blue to the right."""
    box = trimesh.creation.box((1.0, 0.6, 0.8))
    box.unmerge_vertices()
    side = np.repeat(np.arange(6), 6)
    axes = np.abs(box.face_normals).argmax(1).repeat(3)
    flat = np.array([np.delete(corner, axis) for corner, axis in zip(box.vertices, axes, strict=True)])
    flat = (flat - flat.min(0)) / np.ptp(flat, axis=0)
    uv = (np.stack([side % 3, side // 3], axis=1) + 0.1 + 0.8 * flat) / (3.0, 2.0)
    pixels = np.zeros((64, 64, 3), dtype=np.uint8)
    pixels[:, :32, 0] = pixels[:, 32:, 2] = 230
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=Image.fromarray(pixels))
    box.visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
    return box


class Training:
    """Tiny run in a thread, slow enough to be watched."""

    def __init__(self, tiny, steps=100_000):
        changes = {
            "trainer": {"steps": steps, "image_every": 0, "checkpoint_every": 100_000, "loggers": []},
            "export": None,
        }
        self.recipe = tiny.recipe(changes)
        self.pipeline = tiny.pipeline(self.recipe)
        self.folder = self.pipeline.folder
        self.live = Live(self.folder.path)
        self.error = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        try:
            with locked(self.folder.path, print):
                self.pipeline.run(self.recipe)
        except Interrupted:
            pass
        except BaseException as error:
            self.error = error

    @property
    def step(self):
        """Finished steps; asking is a sign of a viewer."""
        self.live.watch()
        state = self.live.state()
        return state.step if state else 0

    def stop(self):
        self.pipeline.stop.requested = 15
        self.thread.join(PATIENCE_S)
        assert not self.thread.is_alive()


@pytest.fixture
def training(tiny, monkeypatch):
    step_of = Loop.step

    def slow_step(loop):
        step_of(loop)
        time.sleep(0.05)

    monkeypatch.setattr(Loop, "step", slow_step)
    threads = torch.get_num_threads()
    run = Training(tiny)
    run.thread.start()
    yield run
    run.stop()
    torch.set_num_threads(threads)


@pytest.fixture
def windows():
    """Windows that are open, each with its thread and the event that ends it."""
    opened = []
    yield opened
    for window in list(opened):
        close(opened, window)


def close(opened, entry):
    opened.remove(entry)
    window, thread, ended = entry
    ended.set()
    thread.join(PATIENCE_S)
    window.close()


@pytest.fixture
def close_window(windows):
    """Return a function that closes a window, as the end of its process does."""
    return lambda window: close(windows, next(entry for entry in windows if entry[0] is window))


@pytest.fixture
def open_window(registry, windows):
    pytest.importorskip("viser", reason="the extra 'view' is not installed")
    from bozzetto_view.source import Source
    from bozzetto_view.window import Window

    def open_(folder, token=""):
        source = Source(folder, registry, torch.device("cpu"))
        window = Window(source, socket.create_server(("127.0.0.1", 0)), token, coarse=16, fine=32)
        ended = threading.Event()

        def refresh():
            while not ended.wait(0.2):
                window.refresh()

        thread = threading.Thread(target=refresh, daemon=True)
        thread.start()
        windows.append((window, thread, ended))
        return window

    return open_
