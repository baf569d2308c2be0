"""Tests of every built-in loss: the contract, and the classes around `bozzetto.math.losses`."""

import dataclasses
import importlib
import math

import pytest
import torch

from bozzetto.errors import ConfigError
from bozzetto.spec import load
from bozzetto.testing.loss import LossContract
from bozzetto.testing.mesh_loss import MeshLossContract
from bozzetto.testing.reference_loss import ReferenceLossContract
from bozzetto.testing.scenes import SoftSphere, cameras_around
from bozzetto_plugins.loss.config import DistortionConfig, NormalSmoothness3dConfig, OpacityEntropyConfig
from bozzetto_plugins.loss.distortion import Distortion
from bozzetto_plugins.loss.manifest import bozzetto_components
from bozzetto_plugins.loss.normal_smoothness_3d import NormalSmoothness3d
from bozzetto_plugins.loss.opacity_entropy import OpacityEntropy

SPECS = {spec.name: spec for spec in bozzetto_components()}
AT_REST = ("eikonal", "orientation", "normal-smoothness-3d", "total-variation")
"""The contract's ball has a true distance, normals that are no parameter's, and no grid."""


def contract_of(name: str) -> type[LossContract]:
    if "reference" in SPECS[name].needs:
        return ReferenceLossContract
    return MeshLossContract if SPECS[name].needs & {"mesh", "sdf"} else LossContract


def build(name: str):
    return load(SPECS[name].target)(load(SPECS[name].config)())


@pytest.mark.parametrize("name", SPECS)
class TestEveryLoss:
    """Contract tests of every name in the manifest."""

    @pytest.mark.parametrize("check", [test for test in dir(LossContract) if test.startswith("test_")])
    def test_contract(self, name: str, check: str) -> None:
        fields = {"make": lambda self: build(name), "moves_the_scene": name not in AT_REST}
        contract = type("Contract", (contract_of(name),), fields)()
        getattr(contract, check)()

    def test_yaml_name_module_and_class_are_one_name(self, name: str) -> None:
        module, _, cls = SPECS[name].target.partition(":")
        assert module.rpartition(".")[2] == name.replace("-", "_")
        assert cls.lower() == name.replace("-", "")
        assert importlib.import_module(module).__doc__

    def test_what_it_needs_and_does_not_find_is_an_error_with_a_cure(self, name: str) -> None:
        inputs = LossContract().inputs(cameras_around(1))
        bare = dataclasses.replace(inputs, rendered=dataclasses.replace(inputs.rendered, volume=None, normal=None))
        if SPECS[name].needs:
            with pytest.raises(ConfigError, match=f"loss {name} reads"):
                build(name)(bare)
        else:
            build(name)(bare)


def test_entropy_of_samples_is_in_bits() -> None:
    inputs = LossContract().inputs(cameras_around(1))
    half = dataclasses.replace(inputs.rendered.volume, weights=torch.full_like(inputs.rendered.volume.weights, 0.5))
    inputs = dataclasses.replace(inputs, rendered=dataclasses.replace(inputs.rendered, volume=half))
    assert float(OpacityEntropy(OpacityEntropyConfig(of="samples"))(inputs)) == pytest.approx(1.0)


def test_a_ball_has_little_to_orient_and_an_inverted_one_a_lot() -> None:
    class Inverted(SoftSphere):
        def forward(self, points, normal=False):
            field = super().forward(points, normal)
            return dataclasses.replace(field, normal=-field.normal)

    contract, loss = LossContract(), build("orientation")
    right = float(loss(contract.inputs(cameras_around(1), SoftSphere())).detach())
    wrong = float(loss(contract.inputs(cameras_around(1), Inverted())).detach())
    assert right < 1e-4 and wrong > 0.05


def test_distortion_does_not_depend_on_the_scale_of_the_scene() -> None:
    def at(scale: float) -> float:
        ball = SoftSphere(radius=scale, sphere_radius=0.5 * scale, density=4.0 / scale, softness=0.1 * scale)
        inputs = LossContract().inputs(cameras_around(1, distance=2.5 * scale), ball)
        return float(Distortion(DistortionConfig())(inputs).detach())

    assert at(2.0) == pytest.approx(at(1.0), rel=1e-4)


def test_neighbours_of_a_ball_differ_by_about_the_step() -> None:
    """At distance r a normal turns by step / r; the mean absolute Gaussian is sqrt(2 / pi) of its deviation."""
    inputs = LossContract().inputs(cameras_around(1))
    small, double = (
        float(NormalSmoothness3d(NormalSmoothness3dConfig(epsilon=epsilon, max_points=10**6))(inputs))
        for epsilon in (1e-3, 2e-3)
    )
    assert 1e-4 < small < 5e-3 * math.sqrt(2.0 / math.pi)
    assert double == pytest.approx(2.0 * small, rel=0.2)


def test_neighbours_are_compared_at_few_points_if_asked() -> None:
    class Counting(SoftSphere):
        asked = 0

        def forward(self, points, normal=False):
            self.asked = len(points)
            return super().forward(points, normal)

    ball = Counting()
    inputs = LossContract().inputs(cameras_around(1), ball)
    NormalSmoothness3d(NormalSmoothness3dConfig(max_points=10))(inputs)
    assert ball.asked == 10


@pytest.mark.parametrize("margin", [0.0, 0.5])
def test_a_wrong_margin_is_named(margin: float) -> None:
    with pytest.raises(ValueError, match=r"^margin: "):
        OpacityEntropyConfig(margin=margin)
