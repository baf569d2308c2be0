"""Tests of steering: requests act between steps, changes are recorded, and a steered run is repeated to the last bit."""

import json
import signal

import pytest
import torch

from bozzetto.engine.broadcast import Paced
from bozzetto.engine.changes import Changes
from bozzetto.engine.loop import Loop
from bozzetto.engine.pipeline import Interrupted, load_state
from bozzetto.engine.run_folder import RunFolder
from bozzetto.errors import ConfigError, RunFolderError
from bozzetto.live import Live, Request

STEPS = {"trainer": {"steps": 8, "image_every": 0, "checkpoint_every": 2, "loggers": []}, "export": None}
CHANGES = {
    2: ("prompt", "a red chair"),
    3: ("system.tasks.random.guidance.cfg_scale", 12.5),
    4: ("system.optimizer.lr", {"from": 0.02, "to": 0.001, "until_step": 8}),
    5: ("system.tasks.random.views.elevation_deg", [20, 60]),
    6: ("system.tasks.random.losses.sparsity", 0.7),
}
"""Change after each number of steps."""


@pytest.fixture
def acting(monkeypatch):
    """Return a function: calls another with the live folder before the steps of a pipeline, by finished steps."""
    step_of = Loop.step
    due = Paced.due
    monkeypatch.setattr("bozzetto.engine.broadcast.LOOK_S", 0.0)
    monkeypatch.setattr(Paced, "due", lambda paced: paced.least_s == 0.0 or due(paced))  # however long a look takes

    def act(pipeline, actions):
        def step(loop):
            step_of(loop)
            if (do := actions.get(loop.done)) is not None:
                do(Live(pipeline.folder.path), loop)

        monkeypatch.setattr(Loop, "step", step)
        return pipeline

    return act


def change(key, value):
    return lambda live, loop: live.send(Request("change", key, value))


def ask(action):
    return lambda live, loop: live.send(Request(action))


def steered(tiny, acting, more=None):
    recipe = tiny.recipe(STEPS)
    actions = {done: change(*item) for done, item in CHANGES.items()}
    return recipe, acting(tiny.pipeline(recipe), {**actions, **(more or {})})


def assert_equal(one, other):
    expected, actual = (load_state(run.folder.checkpoint("main")) for run in (one, other))
    assert expected.keys() == actual.keys()
    for name, value in expected.items():
        assert torch.equal(actual[name], value), name


def test_a_steered_run_killed_and_resumed_equals_the_unbroken_one(tiny, acting):
    recipe, whole = steered(tiny, acting)
    whole.run(recipe)

    plain = acting(tiny.pipeline(recipe), {})
    plain.run(recipe)
    with pytest.raises(AssertionError):
        assert_equal(whole, plain)

    class Killed(BaseException):
        pass

    def kill(live, loop):
        raise Killed

    recipe, broken = steered(tiny, acting, {7: kill})
    with pytest.raises(Killed):
        broken.run(recipe)
    for later in ({5: kill}, {}):  # the checkpoint of step 6 is taken away: steps 5 and 6 are trained again
        if later:
            broken.folder.checkpoint("main").unlink()
        resumed = acting(tiny.pipeline(recipe, RunFolder.existing(broken.folder.path)), later)
        try:
            resumed.run(recipe)
        except Killed:
            continue
    assert_equal(whole, resumed)
    assert [entry["step"] for entry in json.loads(Changes(resumed.folder).file.read_text())] == list(CHANGES)


def test_a_steered_run_is_repeated_from_its_start(tiny, acting):
    recipe, whole = steered(tiny, acting)
    whole.run(recipe)
    expected = load_state(whole.folder.checkpoint("main"))
    again = acting(tiny.pipeline(recipe, whole.folder), {})
    again.run(recipe, from_stage="main")
    actual = load_state(again.folder.checkpoint("main"))
    assert all(torch.equal(actual[name], value) for name, value in expected.items())


def test_changes_hold_in_later_stages(tiny, acting):
    stages = {"coarse": {}, "fine": {"inherit": ["geometry"]}}
    recipe = tiny.recipe({**STEPS, "trainer": {"steps": 3, "image_every": 0}, "stages": stages})
    pipeline = acting(tiny.pipeline(recipe), {})
    seen = []

    def look(live, loop):
        seen.append(loop.optimizer.param_groups[0]["lr"])
        if len(seen) == 1:
            live.send(Request("change", "system.optimizer.lr", 0.005))

    acting(pipeline, {1: look, 2: look})
    pipeline.run(recipe)
    assert seen == [0.01, 0.005, 0.005, 0.005]


def test_fields_that_are_changed_together_act_together_or_not_at_all(tiny, acting):
    recipe = tiny.recipe({**STEPS, "trainer": {"steps": 4, "image_every": 0, "checkpoint_every": 1}})
    good = {"prompt": "a red chair", "system.optimizer.lr": 0.005}
    seen, answers = [], []

    def look(live, loop):
        live.watch()
        if state := live.state():
            answers[:] = state.answers
        seen.append(loop.optimizer.param_groups[0]["lr"])

    def ask(value):
        def do(live, loop):
            look(live, loop)
            live.send(Request("change", "", value))

        return do

    actions = {1: ask({**good, "system.optimizer.betas": [0.8, 0.9]}), 2: ask(good), 3: look, 4: look}
    whole = acting(tiny.pipeline(recipe), actions)
    whole.run(recipe)
    assert seen == [0.01, 0.01, 0.005, 0.005]
    assert [answer.refused for answer in answers] == [True, False]
    assert not answers[0].text.startswith("command line") and "prompt=a red chair; main, step 2" in answers[1].text
    record = Changes(whole.folder).read(recipe)
    assert [(change.step, change.key) for change in record] == [(2, "prompt"), (2, "system.optimizer.lr")]
    expected = load_state(whole.folder.checkpoint("main"))
    acting(tiny.pipeline(recipe, whole.folder), {}).run(recipe, from_stage="main")
    assert all(torch.equal(load_state(whole.folder.checkpoint("main"))[name], one) for name, one in expected.items())


REFUSED = [
    ("system.geometry.levels", 3, "system.geometry: cannot change while a run trains. What can: prompt"),
    ("system.optimizer.betas", [0.8, 0.9], "system.optimizer: cannot change while a run trains"),
    ("system.tasks.random.guidance.dtype", "bfloat16", "guidance.dtype: is of the loaded model"),
    ("system.tasks.random.guidance.weighting", "no", "weighting"),
    ("system.tasks.random.views.type", "single-image", ""),
    ("system.tasks.random.losses.opaque", 1.0, "losses: cannot change while a run trains"),
    ("trainer.steps", 9, "trainer: cannot change"),
    ("seed", 3, "seed: cannot change"),
    ("system.optimizer.lr", "nan", "lr"),
    ("system.optimizer.lr", 0.01, "changes nothing"),
    ("system.optimiser.lr", 0.02, "optimizer"),
    ("", 0.02, "not an override"),
    ("prompt", "", "prompt is missing"),
]
"""Key, value, and part of the reason."""


def test_what_cannot_change_is_refused_and_the_run_goes_on(tiny, acting):
    recipe = tiny.recipe({**STEPS, "trainer": {"steps": 3, "image_every": 0}})
    answers = []

    def ask_all(live, loop):
        live.watch()
        for key, value, _ in REFUSED:
            live.send(Request("change", key, value))

    pipeline = acting(tiny.pipeline(recipe), {1: ask_all, 2: lambda live, loop: answers.extend(live.state().answers)})
    pipeline.run(recipe)
    for (key, value, why), answer in zip(REFUSED, answers, strict=True):
        assert answer.refused and why in answer.text, (key, value, answer)
    assert not Changes(pipeline.folder).file.exists() and pipeline.folder.finished("main", 3)


def test_pause_resume_save_and_stop(tiny, acting):
    recipe = tiny.recipe({**STEPS, "trainer": {"steps": 8, "image_every": 0, "checkpoint_every": 1000}})
    pipeline = acting(tiny.pipeline(recipe), {})
    live, seen = Live(pipeline.folder.path), []

    def sleep(seconds):
        """Stand in for time: each pause is seen by a viewer, which then asks for more."""
        state = live.state()
        seen.append((state.step, state.paused, pipeline.folder.checkpoint("main").exists()))
        live.send(Request("save" if len(seen) == 1 else "resume"))

    acting(pipeline, {
        1: lambda *_: live.watch(),
        2: ask("pause"),
        3: lambda live, loop: seen.append(live.state().step),
        5: ask("stop"),
    })  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bozzetto.engine.steering.time.sleep", sleep)
        with pytest.raises(Interrupted, match="stopped in stage main at step 5") as stopped:
            pipeline.run(recipe)
    assert stopped.value.number == signal.SIGINT
    assert pipeline.folder.manifest["stages"]["main"]["steps"] == 5 and not pipeline.folder.finished("main", 8)
    assert seen == [(2, True, False), (2, True, True), 2]
    assert live.state().ended and live.state().step == 5
    assert any(line.startswith("paused    after step 2") for line in tiny.said) and "resumed" in tiny.said


def test_a_signal_ends_a_pause(tiny, acting):
    recipe = tiny.recipe(STEPS)
    pipeline = acting(tiny.pipeline(recipe), {})

    def interrupt(seconds):
        pipeline.stop.requested = signal.SIGTERM

    acting(pipeline, {2: ask("pause")})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bozzetto.engine.steering.time.sleep", interrupt)
        with pytest.raises(Interrupted, match="step 2"):
            pipeline.run(recipe)


def test_an_override_of_a_changed_field_is_refused_on_resume(tiny, acting):
    recipe, pipeline = steered(tiny, acting)
    pipeline.run(recipe)
    changes = Changes(pipeline.folder)
    with pytest.raises(ConfigError, match=r"prompt: was set to 'a red chair' at step 2 of stage main"):
        changes.require_free(recipe, ["prompt=a cactus"])
    changes.require_free(recipe, ["system.optimizer.clip_norm=1.0", "trainer.steps=9"])


@pytest.mark.parametrize(
    "text", ["[", "{}", '[{"stage": "main"}]', '[{"stage": "x", "step": 1, "key": "prompt", "value": ""}]', "[3]"]
)
def test_a_damaged_record_is_told(tiny, text):
    recipe = tiny.recipe()
    folder = tiny.pipeline(recipe).folder
    Changes(folder).file.write_text(text)
    with pytest.raises(RunFolderError, match=r"record of changes .* is damaged: .* --from-stage main"):
        Changes(folder).read(recipe)


def test_requests_to_an_earlier_process_are_dropped(tiny, acting):
    recipe = tiny.recipe({**STEPS, "trainer": {"steps": 2, "image_every": 0}})
    pipeline = acting(tiny.pipeline(recipe), {})
    Live(pipeline.folder.path).send(Request("stop"))
    pipeline.run(recipe)
    assert pipeline.folder.finished("main", 2)
