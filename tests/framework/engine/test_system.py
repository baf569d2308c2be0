"""Tests of the training step: weights, SDS formulations, non-finite values, saved state."""

import math

import pytest
import torch

from bozzetto.engine.system import System
from bozzetto.errors import NonFiniteError
from bozzetto.recipe import TaskTimes


def gradients(tiny, changes):
    """Return the gradient of every parameter after one backward pass."""
    system = tiny.system(tiny.recipe(changes))
    system.run_tasks(0).backward()
    return {name: p.grad.clone() for name, p in system.named_parameters() if p.grad is not None}


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
    for name, gradient in once.items():
        torch.testing.assert_close(thrice[name], 3 * gradient, rtol=1e-4, atol=1e-7)


def test_frozen_weights_are_neither_saved_nor_trained(tiny):
    system = tiny.system(tiny.recipe())
    assert not [name for name in system.state_dict() if "unet" in name or "vae" in name]
    assert {name.split(".")[0] for name in system.state_dict()} <= {"geometry", "material", "background", "renderer"}


def test_a_non_finite_loss_names_itself(tiny):
    system = tiny.system(tiny.recipe())
    term = system.tasks[0].terms[1]
    object.__setattr__(term, "loss", lambda inputs: inputs.rendered.opacity.sum() * math.nan)
    with pytest.raises(NonFiniteError, match="loss random/sparsity is nan at step 0"):
        system.run_tasks(0)


def test_task_times():
    times = TaskTimes(every=3, start_step=2, until_step=9)
    assert [step for step in range(12) if times.active(step)] == [2, 5, 8]


def test_the_system_is_not_subclassed_by_methods():
    assert System.__subclasses__() == []
