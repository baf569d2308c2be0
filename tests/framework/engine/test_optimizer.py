"""Tests of the optimiser: learning rates by prefix and step, clipping, non-finite gradients."""

import math

import pytest
import torch

from bozzetto.engine.optimizer import clip_gradients, make_optimizer, prefix_of, set_learning_rates
from bozzetto.errors import ConfigError, NonFiniteError
from bozzetto.math.schedules import Schedule
from bozzetto.recipe import OptimizerConfig


def parameters(**gradients):
    """Return named parameters with the given gradients; None: without one."""
    named = [(name, torch.nn.Parameter(torch.zeros(2))) for name in gradients]
    for name, parameter in named:
        parameter.grad = None if gradients[name] is None else torch.tensor(gradients[name])
    return named


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


def test_clipping_brings_the_global_norm_to_the_limit():
    named = parameters(a=[3.0, 0.0], b=[0.0, 4.0], c=None)
    assert clip_gradients(named, 0.5, 0) == 5.0
    assert torch.stack([p.grad.norm() for _, p in named[:2]]).norm() == pytest.approx(0.5, rel=1e-4)


@pytest.mark.parametrize("limit", [None, 5.0])
def test_gradients_within_the_limit_stay_as_they_are(limit):
    named = parameters(a=[3.0, 0.0], b=[0.0, 4.0])
    assert clip_gradients(named, limit, 0) == 5.0
    assert [p.grad.tolist() for _, p in named] == [[3.0, 0.0], [0.0, 4.0]]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_non_finite_gradient_names_its_parameter(value):
    with pytest.raises(NonFiniteError, match="the gradient of b is not finite at step 7"):
        clip_gradients(parameters(a=[3.0, 0.0], b=[0.0, value]), None, 7)


def test_no_gradient_has_no_norm():
    assert clip_gradients(parameters(a=None), 1.0, 0) == 0.0
