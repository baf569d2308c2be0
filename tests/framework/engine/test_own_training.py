"""Tests of guidances that train a module of their own: a tiny one of another package, and the adapter of the score."""

from __future__ import annotations

import signal
import sys
import types
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from bozzetto import ComponentSpec, hookimpl
from bozzetto.engine.checkpoints import read_checkpoint
from bozzetto.engine.loop import Loop
from bozzetto.engine.optimizer import make_optimizer
from bozzetto.engine.pipeline import Interrupted, load_state
from bozzetto.engine.run_folder import RunFolder
from bozzetto.errors import ConfigError
from bozzetto.kinds.trainable import Fitting, Trainable
from bozzetto.math.schedules import Schedule
from bozzetto.registry.discovery import Registry, Source, installed_sources
from bozzetto.testing.fakes import FakeTextEncoder
from bozzetto.types import Guided

HERE = "bozzetto_tests_critic"


@dataclass(frozen=True)
class CriticConfig:
    """Options of `critic`: none."""


class Critic(FakeTextEncoder):
    """Guidance away from the colour that it learns to expect."""

    def __init__(self, config: CriticConfig, model_folder: None, device: torch.device) -> None:
        super().__init__()
        self.frozen = nn.Linear(3, 3).requires_grad_(False)
        self.expected = nn.ParameterDict({"colour": nn.Parameter(torch.zeros(3, device=device))})
        self.rests, self.seen = 0, []

    fitting = Fitting(Schedule.constant(0.1), weight_decay=0.5, steps=2)

    def trainable(self) -> nn.Module:
        return self.expected

    def rest(self) -> None:
        self.rests += 1

    def needs_normal(self, step: int) -> bool:
        return False

    def __call__(self, rendered, condition, cameras, step, generator) -> Guided:
        image = rendered.image.detach()

        def fit():
            noise = torch.randn(3, generator=generator)
            self.seen.append(self.expected["colour"].grad)
            return (image + 0.1 * noise - self.expected["colour"]).square().mean()

        surprise = -(rendered.image - self.expected["colour"]).square().mean()
        return Guided({"surprise": surprise}, torch.zeros(len(cameras), dtype=torch.long), fit=fit)


@pytest.fixture
def critic(tiny, monkeypatch):
    """Return the tiny run with a plugin that provides `critic`, and its recipe."""
    spec = ComponentSpec(
        "guidance", "critic", f"{HERE}:Critic", f"{HERE}:CriticConfig", "Critic.", provides=frozenset({"surprise"})
    )
    module = types.ModuleType(HERE)
    module.Critic, module.CriticConfig = Critic, CriticConfig

    @hookimpl
    def bozzetto_components():
        return [spec]

    module.bozzetto_components = bozzetto_components
    monkeypatch.setitem(sys.modules, HERE, module)
    tiny.registry = Registry.discover([*installed_sources({}), Source("critic", "1.0", "main", HERE)], strict=True)
    task = {"guidance": {"type": "critic"}, "losses": {"sds": None, "sparsity": None, "surprise": 1.0}}
    return tiny, tiny.recipe({"system": {"tasks": {"random": task}}, "trainer": {"image_every": 0}, "export": None})


def loop_of(tiny, recipe):
    system = tiny.system(recipe)
    return Loop(system, make_optimizer(system.scene_parameters(), recipe.stages[0].optimizer))


NAME = "guided.random.colour"


def test_its_module_is_found_by_name_and_trained_apart_from_the_scene(critic):
    tiny, recipe = critic
    loop = loop_of(tiny, recipe)
    (task,) = loop.system.tasks
    guidance = task.guidance
    assert isinstance(guidance, Trainable) and dict(loop.system.named_parameters())[NAME] is guidance.expected["colour"]
    assert NAME not in dict(loop.system.scene_parameters())
    loop.step()
    assert guidance.rests == 1 and len(guidance.seen) == 2 and not any(one is not None for one in guidance.seen)
    assert guidance.expected["colour"].abs().min() > 0.0 and guidance.expected["colour"].grad is None
    assert loop.system.metrics["random/fit"] > 0.0
    (training,) = loop.own
    (group,) = training.optimizer.param_groups
    assert group["lr"] == 0.1 and group["weight_decay"] == 0.5 and isinstance(training.optimizer, torch.optim.AdamW)
    scene = [value.grad for _, value in loop.system.scene_parameters() if value.grad is not None]
    norm = torch.stack([one.norm() for one in scene]).norm()
    assert loop.system.metrics["gradient_norm"] == pytest.approx(float(norm), rel=1e-4)


def assert_resumes(tiny, recipe, monkeypatch, stop_at=2):
    """Train at once, and with a stop in between; require equal tensors and optimisers, and return the checkpoint."""
    whole, broken = tiny.pipeline(recipe), tiny.pipeline(recipe)
    whole.train(recipe, 0)
    step_of = Loop.step

    def stopped(loop):
        if loop.done == stop_at - 1:
            broken.stop.requested = signal.SIGTERM
        step_of(loop)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "step", stopped)
        with pytest.raises(Interrupted):
            broken.train(recipe, 0)
    resumed = tiny.pipeline(recipe, RunFolder.existing(broken.folder.path))
    resumed.train(recipe, 0)
    first, second = (read_checkpoint(run.folder.checkpoint("main")) for run in (whole, resumed))
    torch.testing.assert_close(first["state_dict"], second["state_dict"], rtol=0.0, atol=0.0)
    assert torch.equal(first["generator_state"], second["generator_state"]) and len(first["optimizer_states"]) == 2
    for one, other in zip(first["optimizer_states"], second["optimizer_states"], strict=True):
        torch.testing.assert_close(one["state"], other["state"], rtol=0.0, atol=0.0)
        assert one["state"] and one["param_groups"] == other["param_groups"]
    return first


def test_it_is_saved_and_resumes_bit_for_bit(critic, monkeypatch):
    saved = assert_resumes(*critic, monkeypatch)
    assert [name for name in saved["state_dict"] if name.startswith("guided.")] == [NAME]


def test_the_adapter_is_saved_without_its_network_and_resumes_bit_for_bit(tiny, monkeypatch):
    recipe = tiny.recipe(adapted())
    saved = assert_resumes(tiny, recipe, monkeypatch)
    names = [name.removeprefix("guided.random.") for name in saved["state_dict"] if name.startswith("guided.")]
    assert names and all(".student." in name or name.startswith("camera.") for name in names)
    changed = [n for n in names if "lora_B" in n and saved["state_dict"][f"guided.random.{n}"].abs().max() > 0.0]
    assert len(changed) > 5


def adapted(**trainer):
    score = {"type": "distillation", "reference": {"type": "adapter", "lr": 0.01, "warm_up_steps": 2}}
    task = {"guidance": {"cfg_scale": None}, "losses": {"sds": None, "score": 1.0}, "score": score}
    return {"system": {"tasks": {"random": task}}, "trainer": {"image_every": 0, **trainer}, "export": None}


def test_a_stage_begins_with_a_new_module(tiny):
    stages = {"first": {}, "second": {"inherit": ["geometry"]}}
    recipe = tiny.recipe({**adapted(steps=2), "stages": stages})
    pipeline = tiny.pipeline(recipe)
    pipeline.train(recipe, 0)
    fresh = tiny.system(recipe, 1).state_dict()
    begun = pipeline.begun(recipe, 1).system.state_dict()
    trained = load_state(pipeline.folder.checkpoint("first"))
    names = [name for name in trained if "lora_B" in name]
    assert all(torch.equal(begun[name], fresh[name]) and not begun[name].any() for name in names)
    assert any(trained[name].any() for name in names)


def test_what_it_does_not_declare_is_refused(critic):
    tiny, recipe = critic

    class Careless(Critic):
        def trainable(self):
            return None

    sys.modules[HERE].Critic = Careless
    with pytest.raises(
        ConfigError, match=r"system\.tasks\.random: expected\.colour of the guidance requires gradients"
    ):
        tiny.system(recipe)


def test_frozen_weights_in_its_module_are_refused(critic):
    tiny, recipe = critic

    class Whole(Critic):
        def trainable(self):
            return nn.ModuleList([self.expected, self.frozen])

    sys.modules[HERE].Critic = Whole
    with pytest.raises(ConfigError, match=r"1\.weight, which is frozen, is in the module that the guidance trains"):
        tiny.system(recipe)


def test_a_result_without_a_loss_of_the_module_is_refused(critic):
    tiny, recipe = critic

    class Silent(Critic):
        def __call__(self, *inputs):
            return Guided(super().__call__(*inputs).losses, torch.zeros(1, dtype=torch.long))

    sys.modules[HERE].Critic = Silent
    with pytest.raises(ConfigError, match=r"the guidance trains a module, and returned no Guided\.fit"):
        loop_of(tiny, recipe).step()


@pytest.mark.slow
def test_two_processes_train_one_adapter(tiny):
    """As one process does, up to rounding: the same draws, the mean of the gradients."""
    states = []
    for devices in (1, 2):
        recipe = tiny.recipe(
            {**adapted(steps=3, devices=devices, checkpoint_every=100)}, ["system.tasks.random.views.batch_size=4"]
        )
        pipeline = tiny.pipeline(recipe)
        pipeline.train(recipe, 0)
        states.append(load_state(pipeline.folder.checkpoint("main")))
    alone, together = states
    names = [name for name in alone if name.startswith("guided.")]
    assert len(names) > 10
    for name in names:
        torch.testing.assert_close(together[name], alone[name], rtol=1e-2, atol=2e-3)
