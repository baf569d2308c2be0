"""Tests of the window with clients that talk the browser's protocol: they come and go, are slow, or are many."""

import asyncio
import gc
import threading
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from bozzetto_view.pictures import Picture

WARM_UP = 60
"""Connections before counting: caches and threads exist afterwards."""
RECONNECTS = 200
"""Connections that are counted; the painter and the gate are tested with thousands."""
LEFT_BYTES = 3_000
"""Most memory that a connection may leave, on average: a `ClientHandle` that something holds on to is 17,000."""
FILLING = 100
"""Pictures of a quarter of a million noisy pixels, 0.2 MB each, that fill all buffers of the system on the way."""
OPEN_FILES = Path("/proc/self/fd")


@pytest.fixture
def connect():
    """Return a function that connects as a browser does, and looks at the scene."""
    viser = pytest.importorskip("viser", reason="the extra 'view' is not installed")
    msgspec = pytest.importorskip("msgspec")
    from websockets.sync.client import connect as open_

    def connected(window, most_waiting=16):
        client = open_(
            f"ws://localhost:{window.gate.port}/", subprotocols=[f"viser-v{viser.__version__}"], compression=None,
            max_size=None, max_queue=most_waiting, open_timeout=60,
        )  # fmt: skip

        def look(x):
            client.send(msgspec.msgpack.encode({
                "type": "ViewerCameraMessage", "wxyz": (0.5, -0.5, -0.5, 0.5), "position": (x, 0.0, 0.0), "fov": 0.7,
                "near": 0.01, "far": 100.0, "image_height": 100, "image_width": 100, "look_at": (0.0, 0.0, 0.0),
                "up_direction": (0.0, 0.0, 1.0),
            }))  # fmt: skip

        look(3.0)
        return client, look

    return connected


@pytest.fixture
def finished(tiny):
    recipe = tiny.recipe({"trainer": {"steps": 1, "image_every": 0, "loggers": []}, "export": None})
    pipeline = tiny.pipeline(recipe)
    pipeline.run(recipe)
    return pipeline.folder


def client_handles():
    from viser import ClientHandle

    gc.collect()
    return sum(isinstance(item, ClientHandle) for item in gc.get_objects())


def held():
    """Return the bytes of Python's memory that are in use, the open files, and the threads."""
    for _ in range(3):
        gc.collect()
    files = len(list(OPEN_FILES.iterdir())) if OPEN_FILES.exists() else 0
    return tracemalloc.get_traced_memory()[0], files, threading.active_count()


@pytest.fixture
def traced():
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.slow
def test_browsers_come_and_go_and_leave_nothing(finished, open_window, connect, wait_until, traced):
    window = open_window(finished)

    def reconnect(times):
        for turn in range(times):
            drawn = window.painter.drawn
            client, _ = connect(window)
            if turn % 10 == 0:
                wait_until(lambda drawn=drawn: window.painter.drawn > drawn, "it is sent a picture")
            client.close()
        wait_until(lambda: window.gate.connections == 0 and not window.painter.browsers, "all are gone")
        wait_until(lambda: not window.server.get_clients(), "viser has forgotten them")

    reconnect(WARM_UP)
    handles = client_handles()
    memory, files, threads = held()
    reconnect(RECONNECTS)
    memory_after, files_after, threads_after = held()
    assert client_handles() <= handles + 3
    assert memory_after - memory <= LEFT_BYTES * RECONNECTS
    assert files_after <= files + 2
    assert threads_after <= threads + 32  # viser's pool of callbacks


def test_what_waits_for_a_browser_that_reads_nothing_does_not_grow(finished, open_window, connect, wait_until, traced):
    window = open_window(finished)
    pixels = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    window.painter.draw = lambda pose, height: Picture(pixels, None)
    client, look = connect(window, most_waiting=1)
    wait_until(window.server.get_clients, "it is connected")
    (handle,) = window.server.get_clients().values()

    def draw(pictures):
        enough, until = window.painter.drawn + pictures, time.monotonic() + 60.0
        while window.painter.drawn < enough:
            assert time.monotonic() < until
            look(time.monotonic())
            time.sleep(0.01)
        return held()[0]

    before = draw(FILLING)
    after = draw(FILLING // 2)
    waiting = handle._websock_connection._state.message_buffer.message_from_id
    (waits,) = (len(item.rgb_data) for item in waiting.values() if type(item).__name__ == "BackgroundImageMessage")
    assert waits > 100_000  # nothing takes it
    assert after - before < 5 * waits  # and of those after it only the last is kept
    client.socket.close()  # it could not say goodbye
    wait_until(lambda: not window.painter.browsers and window.gate.connections == 0, "it is forgotten")


def test_a_browser_that_leaves_while_something_is_sent_ends_neither_painter_nor_page(
    finished, open_window, connect, wait_until, monkeypatch
):
    import viser

    failed = []

    def fail(*given, **named):
        failed.append(given)
        raise asyncio.InvalidStateError("invalid state")

    window = open_window(finished)
    with monkeypatch.context() as patch:
        patch.setattr(viser.SceneApi, "set_background_image", fail)
        patch.setattr(window.page, "refresh", fail)
        client, look = connect(window)
        wait_until(lambda: any(given == () for given in failed) and any(failed), "both have failed")
    drawn = window.painter.drawn
    look(2.0)
    wait_until(lambda: window.painter.drawn > drawn, "pictures are drawn")
    window.refresh()
    client.close()


def test_a_slow_browser_gets_the_latest_picture_and_delays_nobody(finished, open_window, connect, wait_until):
    window = open_window(finished)
    slow, look_slowly = connect(window)
    quick, look = connect(window)
    wait_until(lambda: len(window.painter.browsers) == 2, "both look")
    stop = threading.Event()

    def read():
        while not stop.is_set():
            try:
                quick.recv(timeout=0.2)
            except TimeoutError:
                continue

    reader = threading.Thread(target=read)
    reader.start()
    drawn = window.painter.drawn
    for turn in range(40):  # the slow one reads nothing
        look_slowly(3.0 + 0.01 * turn)
        look(3.0 + 0.01 * turn)
        time.sleep(0.02)
    wait_until(lambda: window.painter.drawn > drawn + 4, "pictures are drawn")
    (client, *_) = window.server.get_clients().values()
    waiting = client._websock_connection._state.message_buffer.message_from_id
    pictures = [item for item in waiting.values() if type(item).__name__ == "BackgroundImageMessage"]
    assert len(pictures) <= 1
    stop.set()
    reader.join(60)
    for one in (slow, quick):
        one.close()
