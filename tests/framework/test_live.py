"""Tests of the exchange between a training and its viewers."""

import json
import os
import time

import pytest

from bozzetto.live import MOST_REQUESTS, WATCHED_S, Answer, Live, Request, State, View

STATE = State(
    process=7, stage="main", step=3, steps=10, steps_per_s=2.0, paused=True, scene_step=2,
    views=(View(((1.0, 0.0, 0.0, 2.0),) * 4, 0.7, 1.5),), pictures=("guidance-random-noisy.png",),
    answers=(Answer("1", "paused after step 3"),), changes=("main, step 2: prompt=a cat",), written_s=1.5,
)  # fmt: skip


@pytest.fixture
def live(tmp_path):
    return Live(tmp_path)


def test_nothing_exists_before_somebody_watches(live):
    assert live.watched() is None and live.take() == [] and live.state() is None and not live.folder.exists()


def test_a_sign_of_a_viewer_lasts_a_while(live):
    live.watch(guidance=True)
    assert live.watched() == {"guidance": True}
    old = time.time() - WATCHED_S - 1
    os.utime(live.folder / "watching.json", (old, old))
    assert live.watched() is None


def test_requests_arrive_once_and_in_order(live):
    names = [live.send(Request(action)) for action in ("pause", "save", "resume")]
    names.append(live.send(Request("change", "prompt", "a cat")))
    taken = live.take()
    assert [(item.action, item.key, item.value) for item in taken] == [
        ("pause", "", None), ("save", "", None), ("resume", "", None), ("change", "prompt", "a cat"),
    ]  # fmt: skip
    assert [item.name for item in taken] == names and live.take() == []


@pytest.mark.parametrize(
    "content", [b"", b"[", b"[1]", b'{"action": "delete"}', b'{"action": "change", "key": 3}', b"\xff"]
)
def test_damaged_requests_are_dropped(live, content):
    live.send(Request("save"))
    (live.folder / "requests" / "0.json").write_bytes(content)
    assert [item.action for item in live.take()] == ["save"] and live.take() == []


def test_requests_are_limited(live):
    unknown = Request("save")
    object.__setattr__(unknown, "action", "explode")
    with pytest.raises(ValueError, match="action: must be one of pause"):
        live.send(unknown)
    with pytest.raises(ValueError, match="value: must be at most 20000 bytes"):
        live.send(Request("change", "prompt", "x" * 20_000))
    for _ in range(MOST_REQUESTS):
        live.send(Request("save"))
    with pytest.raises(ValueError, match="100 requests are waiting already"):
        live.send(Request("save"))


def test_a_state_is_read_as_it_was_written(live):
    live.watch()
    live.publish(STATE)
    assert live.state() == STATE and STATE.seconds_left == 3.5
    assert sorted(path.name for path in live.folder.iterdir()) == ["requests", "state.json", "watching.json"]


@pytest.mark.parametrize("damage", [{"views": 3}, {"step": None, "views": [{}]}, {"answers": [{"x": 1}]}])
def test_a_damaged_state_is_none(live, damage):
    live.watch()
    live.publish(STATE)
    found = json.loads((live.folder / "state.json").read_text())
    (live.folder / "state.json").write_text(json.dumps({**found, **damage}))
    assert live.state() is None


def test_a_deleted_run_stays_deleted(tmp_path):
    live = Live(tmp_path / "gone")
    for act in (live.watch, lambda: live.send(Request("save"))):
        with pytest.raises(OSError):
            act()
    assert not (tmp_path / "gone").exists()
