"""Tests of the training step: weights, SDS formulations, non-finite values, saved state."""

import ast
import math
from pathlib import Path

import pytest
import torch

import bozzetto
import bozzetto_plugins
from bozzetto.engine.loop import Loop
from bozzetto.engine.optimizer import make_optimizer
from bozzetto.errors import NonFiniteError
from bozzetto.recipe import TaskTimes


def train(system, steps=1):
    Loop(system, make_optimizer(list(system.named_parameters()), system.optimizer_config)).run(steps, [])
    return system


def gradients_of(system):
    return {name: p.grad.clone() for name, p in system.named_parameters() if p.grad is not None and p.grad.any()}


def gradients(tiny, changes):
    """Return the non-zero gradients of a training step, by parameter."""
    return gradients_of(train(tiny.system(tiny.recipe(changes))))


def guidance(**fields):
    return {"system": {"tasks": {"random": {"guidance": fields}}}}


@pytest.mark.parametrize("form", ["function", "dot", "backward"])
def test_every_form_of_sds_moves_the_scene_alike(tiny, form):
    expected = gradients(tiny, guidance(sds_form="target"))
    actual = gradients(tiny, guidance(sds_form=form))
    assert expected.keys() == actual.keys() and len(expected) > 2
    for name, gradient in expected.items():
        torch.testing.assert_close(actual[name], gradient, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("form", ["target", "backward"])
def test_a_terms_weight_scales_its_gradient(tiny, form):
    losses = {"sds": 1.0, "sparsity": None}
    once = gradients(tiny, {"system": {"tasks": {"random": {"guidance": {"sds_form": form}, "losses": losses}}}})
    thrice = gradients(
        tiny, {"system": {"tasks": {"random": {"guidance": {"sds_form": form}, "losses": {**losses, "sds": 3.0}}}}}
    )
    assert once.keys() == thrice.keys() and len(once) > 2
    for name, gradient in once.items():
        torch.testing.assert_close(thrice[name], 3 * gradient, rtol=1e-4, atol=1e-7)


def test_frozen_weights_are_neither_saved_nor_trained(tiny):
    system = tiny.system(tiny.recipe())
    frozen = {f"{part}.{name}": value for part in ("unet", "vae")
              for name, value in getattr(system.tasks[0].guidance.denoiser, part).state_dict().items()}  # fmt: skip
    before = {name: value.clone() for name, value in frozen.items()}
    scene = {name: value.clone() for name, value in system.named_parameters()}
    train(system)
    assert {name.partition(".")[0] for name in system.state_dict()} == {"geometry", "renderer"}
    assert before and all(torch.equal(before[name], value) for name, value in frozen.items())
    assert not any(torch.equal(scene[name], value) for name, value in system.named_parameters())


def test_a_non_finite_loss_names_itself(tiny):
    system = tiny.system(tiny.recipe())
    term = system.tasks[0].terms[1]
    object.__setattr__(term, "loss", lambda inputs: inputs.rendered.opacity.sum() * math.nan)
    with pytest.raises(NonFiniteError, match="loss random/sparsity is nan at step 0"):
        train(system)


def test_a_non_finite_gradient_names_its_parameter(tiny):
    system = tiny.system(tiny.recipe())
    name, parameter = next(iter(system.named_parameters()))
    calls = iter(range(5))
    parameter.register_hook(lambda gradient: gradient + math.inf if next(calls) == 2 else gradient)
    with pytest.raises(NonFiniteError, match=f"the gradient of {name} is not finite at step 2"):
        train(system, 5)


def test_clipping_scales_the_gradient_to_the_limit(tiny):
    free, clipped = (
        train(tiny.system(tiny.recipe({"system": {"optimizer": {"clip_norm": limit}}}))) for limit in (None, 1e-3)
    )
    norm = free.metrics["gradient_norm"]
    assert norm > 1e-2 and clipped.metrics["gradient_norm"] == pytest.approx(norm, rel=1e-4)
    expected, actual = gradients_of(free), gradients_of(clipped)
    assert torch.stack([gradient.norm() for gradient in actual.values()]).norm() == pytest.approx(1e-3, rel=1e-3)
    for name, gradient in expected.items():
        torch.testing.assert_close(actual[name], gradient * (1e-3 / norm), rtol=1e-3, atol=1e-9)


def test_task_times():
    times = TaskTimes(every=3, start_step=2, until_step=9)
    assert [step for step in range(12) if times.active(step)] == [2, 5, 8]


def test_the_system_is_not_subclassed_by_methods():
    files = [path for package in (bozzetto, bozzetto_plugins) for path in Path(package.__file__).parent.rglob("*.py")]
    nodes = [node for path in files for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    heirs = [node.name for node in nodes if isinstance(node, ast.ClassDef)
             and {ast.unparse(base).rpartition(".")[2] for base in node.bases} & {"System"}]  # fmt: skip
    assert heirs == []
