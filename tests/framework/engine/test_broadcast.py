"""Tests of publishing: nothing without a viewer, and with one a bounded share of the time."""

import pytest
import torch

from bozzetto.engine.broadcast import SCENE_S, SCENE_SHARE, Broadcast, Paced
from bozzetto.live import Live


class Clock:
    def __init__(self):
        self.s = 100.0

    def __call__(self):
        return self.s


def test_what_is_costly_is_done_rarely():
    clock = Clock()
    paced = Paced(1.0, 0.02, clock)
    assert paced.due()
    with paced.taken():
        clock.s += 0.5
    clock.s += 24.9  # 0.5 s are 2 % of 25 s
    assert not paced.due()
    clock.s += 0.2
    assert paced.due()


@pytest.fixture
def system(tiny):
    made = tiny.system(tiny.recipe())
    made.prepare(0)
    made.run_tasks(0)
    return made


def test_nothing_is_written_while_nobody_watches(tmp_path, system):
    (folder := tmp_path / "run").mkdir()
    broadcast = Broadcast(Live(folder), "main", 10, Clock())
    for done in range(1, 4):
        broadcast.after_step(done, system)
    broadcast.close()
    assert list(folder.iterdir()) == []


def test_a_viewer_gets_state_scene_and_what_the_guidance_saw(tmp_path, system):
    live, clock = Live(tmp_path), Clock()
    broadcast = Broadcast(live, "main", 10, clock)
    before = system.generator.get_state().clone()
    for done in (1, 2, 3):
        live.watch(guidance=True)  # again, as viewers do: on a machine that is busy a sign may end before a step does
        clock.s += 0.5
        broadcast.after_step(done, system)
    assert torch.equal(system.generator.get_state(), before)  # looking draws no random numbers
    state = live.state()
    assert (state.stage, state.step, state.steps, state.steps_per_s) == ("main", 3, 10, 2.0)
    (view,) = state.views
    assert view.aspect == 1.0 and torch.allclose(torch.tensor(view.c2w), system.cameras["random"].c2w[0])
    assert state.pictures and all((live.folder / name).is_file() for name in state.pictures)
    saved = torch.load(live.scene, weights_only=True)
    assert saved["stage"] == "main" and saved["step"] == state.scene_step
    expected = system.state_dict()
    assert saved["state_dict"].keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in saved["state_dict"].items())
    broadcast.close()
    assert live.state().ended and SCENE_S > 0 and SCENE_SHARE <= 0.05
