"""Tests of the window with clients that talk the browser's protocol: they come and go, are slow, or are many."""

import gc
import threading
import time

import pytest

RECONNECTS = 100
"""Connections of the test; the painter and the gate are tested with thousands."""


@pytest.fixture
def connect():
    """Return a function that connects as a browser does, and looks at the scene."""
    viser = pytest.importorskip("viser", reason="the extra 'view' is not installed")
    msgspec = pytest.importorskip("msgspec")
    from websockets.sync.client import connect as open_

    def connected(window):
        client = open_(
            f"ws://localhost:{window.gate.port}/", subprotocols=[f"viser-v{viser.__version__}"], compression=None,
            max_size=None, open_timeout=60,
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


@pytest.mark.slow
def test_browsers_come_and_go_and_leave_nothing(finished, open_window, connect, wait_until):
    window = open_window(finished)
    for _ in range(3):
        connect(window)[0].close()
    wait_until(lambda: window.gate.connections == 0, "all are gone")
    before, threads = client_handles(), threading.active_count()
    for _ in range(RECONNECTS):
        connect(window)[0].close()
    wait_until(lambda: window.gate.connections == 0 and not window.painter.browsers, "all are gone")
    wait_until(lambda: not window.server.get_clients(), "viser has forgotten them")
    assert client_handles() <= before + 3
    assert threading.active_count() <= threads + 32  # viser's pool of callbacks


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
