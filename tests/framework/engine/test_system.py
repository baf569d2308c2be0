"""Tests of the training step: weights, SDS formulations, non-finite values, saved state."""

import math

import pytest
import torch

from bozzetto.engine.optimizer import make_optimizer, prefix_of, set_learning_rates
from bozzetto.engine.system import Roots, System
from bozzetto.errors import ConfigError, NonFiniteError
from bozzetto.math.schedules import Schedule
from bozzetto.recipe import OptimizerConfig, TaskTimes


def gradients(tiny, changes):
    """Return the gradient of every parameter after one backward pass."""
    system = tiny.system(tiny.recipe(changes))
    roots = Roots([], [])
    system._run(system.tasks[0], 0, roots, {})
    roots.backward()
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
        system._run(system.tasks[0], 0, Roots([], []), {})


def test_a_non_finite_gradient_names_its_parameter(tiny):
    system = tiny.system(tiny.recipe())
    name, parameter = next(iter(system.named_parameters()))
    parameter.grad = torch.full_like(parameter, math.inf)
    with pytest.raises(NonFiniteError, match=f"the gradient of {name} is not finite at step 7"):
        system._checked_gradient_norm(7)


def test_clipping_brings_the_global_norm_to_the_limit(tiny):
    system = tiny.system(tiny.recipe({"system": {"optimizer": {"clip_norm": 0.5}}}))
    for parameter in system.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = system._checked_gradient_norm(0)
    after = torch.stack([p.grad.norm() for p in system.parameters()]).norm()
    assert before > 0.5 and after == pytest.approx(0.5, rel=1e-4)


def test_task_times():
    times = TaskTimes(every=3, start_step=2, until_step=9)
    assert [step for step in range(12) if times.active(step)] == [2, 5, 8]


def test_learning_rates_follow_prefixes_and_schedules():
    parameters = [
        (n, torch.nn.Parameter(torch.zeros(2))) for n in ("geometry.encoding", "geometry.network.0", "background.x")
    ]
    ramp = Schedule(0.0, 1.0, 0, 10)
    config = OptimizerConfig(
        lr=Schedule.constant(0.5), lr_of={"geometry": ramp, "geometry.encoding": Schedule.constant(3.0)}
    )
    optimizer = make_optimizer(parameters, config)
    set_learning_rates(optimizer, config, 5)
    assert {group["prefix"]: group["lr"] for group in optimizer.param_groups} == {
        "geometry.encoding": 3.0,
        "geometry": 0.5,
        "": 0.5,
    }
    assert prefix_of("geometry_2.x", ["geometry"]) == ""


def test_an_unmatched_prefix_names_the_nearest():
    parameters = [("geometry.encoding", torch.nn.Parameter(torch.zeros(2)))]
    config = OptimizerConfig(lr_of={"geometri": Schedule.constant(1.0)})
    with pytest.raises(ConfigError, match=r"lr_of\.geometri matches no parameter\. Did you mean 'geometry'\?"):
        make_optimizer(parameters, config)


def test_the_system_is_not_subclassed_by_methods():
    assert System.__subclasses__() == []
