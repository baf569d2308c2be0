"""Tests that the contract suites fail for components with one fault each."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from bozzetto.testing.background import BackgroundContract
from bozzetto.testing.checks import (
    HALF,
    assert_close_in_half,
    assert_devices_are_taken_from_inputs,
    assert_every_parameter_learns,
    assert_survives_saving,
    tensors_of,
)
from bozzetto.testing.loss import LossContract
from bozzetto.testing.material import MaterialContract
from bozzetto.testing.scenes import PlainBackground, PlainMaterial, cameras_around
from bozzetto.testing.view_source import ViewSourceContract
from bozzetto.types import Cameras, Shading


def contract(suite, make):
    """Return an instance of a suite for the given component."""
    return type("Contract", (suite,), {"make": make})()


class HomelessBackground(PlainBackground):
    def forward(self, rays, generator):
        return self.color + torch.zeros(len(rays), 3)


class DeafBackground(PlainBackground):
    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.ones(3))


class ForgetfulBackground(PlainBackground):
    def __init__(self):
        super().__init__()
        self.seen = nn.Parameter(torch.rand(3))

    def state_dict(self, *arguments, **options):
        return {"color": self.color.detach()}


class UngroupedBackground(PlainBackground):
    """Background with a random colour per view, whatever the groups."""

    def forward(self, rays, generator):
        views, height, width = rays.image_shape
        drawn = self.color.new_zeros(views, 3) if generator is None else torch.rand(views, 3, generator=generator)
        return drawn[:, None].expand(views, height * width, 3).reshape(-1, 3)


class UngroupedMaterial(PlainMaterial):
    """Material with a random light per view, whatever the groups."""

    def sample_shading(self, cameras, step, generator):
        light = torch.rand(len(cameras), 3, generator=generator)
        return Shading("albedo", light, light, 1.0 - light)


class UndeclaredGroups:
    """View source of groups that its config does not have."""

    config = None

    def sample(self, step, generator):
        return replace(cameras_around(4), views_per_group=2)

    def eval_cameras(self, count, device):
        return cameras_around(count)


class MixingMaterial(PlainMaterial):
    """Material whose colour at a point depends on its neighbours."""

    def forward(self, field, points, view, shading):
        return torch.sigmoid(field.features - field.features.mean(0))


class RememberingViews:
    """View source whose calls depend on the previous ones."""

    def __init__(self):
        self.calls = 0

    def sample(self, step, generator):
        self.calls += 1
        around = cameras_around(1, distance=2.0 + 0.01 * self.calls)
        turn = torch.rand(1, generator=generator, device=generator.device)
        return Cameras(around.c2w.to(turn.device), around.fov_y_rad.to(turn.device) + 0.1 * turn, 4, 4)

    def eval_cameras(self, count, device):
        return cameras_around(count)


class RestlessLoss:
    """Loss that is constant and has no gradient in the scene."""

    def __call__(self, inputs):
        return 0.0 * inputs.rendered.opacity.sum()


class DetachedLoss:
    """Loss with a detached result, as after `.item()` or `torch.no_grad()`."""

    def __call__(self, inputs):
        return inputs.rendered.opacity.sum().detach()


@pytest.mark.parametrize(
    ("suite", "make", "test", "message"),
    [
        (BackgroundContract, HomelessBackground, "test_devices_are_taken_from_the_inputs", "default device"),
        (BackgroundContract, DeafBackground, "test_every_parameter_gets_a_finite_gradient", "no gradient reaches unused"),
        (BackgroundContract, ForgetfulBackground, "test_the_state_survives_saving", "Missing key"),
        (BackgroundContract, UngroupedBackground, "test_a_group_of_views_has_one_background", "draw_groups"),
        (MaterialContract, UngroupedMaterial, "test_a_group_of_views_is_lit_alike", "draw_groups"),
        (ViewSourceContract, UndeclaredGroups, "test_groups_are_declared_and_share_a_field_of_view", "the config must say"),
        (MaterialContract, MixingMaterial, "test_chunks_equal_the_whole", "not close"),
        (ViewSourceContract, RememberingViews, "test_a_resumed_source_goes_on_as_the_first_would", "remembers"),
        (LossContract, RestlessLoss, "test_its_gradient_reaches_the_scene", "no parameter of the scene"),
        (LossContract, DetachedLoss, "test_its_gradient_reaches_the_scene", "cut off from the scene"),
    ],
)  # fmt: skip
def test_a_fault_is_caught(suite, make, test, message):
    with pytest.raises((AssertionError, RuntimeError), match=message):
        getattr(contract(suite, lambda self, *arguments: make()), test)()


def test_a_generator_on_the_default_device_is_caught():
    with pytest.raises(AssertionError, match="1 of the results"):
        assert_devices_are_taken_from_inputs(lambda: torch.rand(3, generator=torch.Generator().manual_seed(0)))
    with pytest.raises(AssertionError, match="Take the device from a tensor or a generator"):
        assert_devices_are_taken_from_inputs(lambda: torch.zeros(3).tolist())
    with pytest.raises(AssertionError, match="1 of the results"):
        assert_devices_are_taken_from_inputs(lambda: {"made": torch.zeros(3), "given": torch.zeros(3, device="cpu")})
    assert torch.zeros(1).device.type == "cpu"


def test_tensors_are_found_in_records_mappings_and_lists():
    cameras = cameras_around(1)
    found = tensors_of([{"a": cameras}, (torch.ones(1), 3, None)])
    assert len(found) == 3 and found[0] is cameras.c2w


def test_the_other_checks_pass_what_is_right_and_name_what_is_not():
    layer, fresh = nn.Linear(2, 2), nn.Linear(2, 2)
    assert_survives_saving(layer, fresh)
    assert torch.equal(layer.weight, fresh.weight)
    with pytest.raises(AssertionError, match="no gradient reaches weight, bias"):
        assert_every_parameter_learns(layer)
    layer(torch.ones(1, 2)).sum().backward()
    assert_every_parameter_learns(layer)
    layer.bias.grad.fill_(torch.inf)
    with pytest.raises(AssertionError, match="the gradient of bias is not finite"):
        assert_every_parameter_learns(layer)
    full = torch.linspace(0.0, 1.0, 9)
    assert_close_in_half(full.to(HALF), full)
    with pytest.raises(AssertionError, match="not close"):
        assert_close_in_half(full.to(HALF) + 0.2, full)
