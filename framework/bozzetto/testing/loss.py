"""Contract tests of a loss: subclass `LossContract`, define `make`, run with pytest."""

from __future__ import annotations

import torch

from bozzetto.kinds.geometry import Geometry, module
from bozzetto.kinds.loss import Loss
from bozzetto.testing.checks import assert_close_in_half, assert_devices_are_taken_from_inputs, half_precision
from bozzetto.testing.scenes import SoftSphere, cameras_around, cameras_away, render_plainly
from bozzetto.types import Cameras, LossInputs

__all__ = ["LossContract"]


class LossContract:
    """Tests of finite values and gradients, also without hits, that depend on the inputs and their generator only."""

    moves_the_scene = True
    """Set to False if the loss is minimal for a scene such as `geometry`, so that no gradient is expected."""

    def make(self) -> Loss:
        """Return a loss to test."""
        raise AssertionError(f"{type(self).__name__} must define make()")

    def geometry(self) -> Geometry:
        """Return the geometry to render."""
        return SoftSphere(density=4.0, softness=0.1)

    def inputs(self, cameras: Cameras, geometry: Geometry | None = None, seed: int = 0) -> LossInputs:
        """Return a rendering of `geometry` with samples and normals."""
        geometry, generator = self.geometry() if geometry is None else geometry, torch.Generator().manual_seed(seed)
        rendered = render_plainly(geometry, cameras, generator=generator)
        return LossInputs(rendered, cameras, geometry, 0, generator)

    def test_it_is_a_finite_scalar(self) -> None:
        value = self.make()(self.inputs(cameras_around(2)))
        assert value.shape == () and bool(torch.isfinite(value))

    def test_it_is_finite_when_no_ray_hits_anything(self) -> None:
        geometry = self.geometry()
        inputs = self.inputs(cameras_away(2), geometry)
        assert inputs.rendered.volume is not None and len(inputs.rendered.volume.samples) == 0
        value = self.make()(inputs)
        assert value.shape == () and bool(torch.isfinite(value))
        self._check_gradients(value, geometry)

    def test_its_gradients_are_finite(self) -> None:
        geometry = self.geometry()
        self._check_gradients(self.make()(self.inputs(cameras_around(2), geometry)), geometry)

    def test_its_gradient_reaches_the_scene(self) -> None:
        geometry = self.geometry()
        value = self.make()(self.inputs(cameras_around(2), geometry))
        if self.moves_the_scene:
            assert value.requires_grad, "the value is cut off from the scene: no gradient can reach it"
            value.backward()
            gradients = [p.grad for p in module(geometry).parameters() if p.grad is not None]
            moved = any(bool(gradient.count_nonzero()) for gradient in gradients)
            assert moved, "no parameter of the scene gets a gradient; set moves_the_scene = False if that is meant"

    def test_devices_are_taken_from_the_inputs(self) -> None:
        loss, inputs = self.make(), self.inputs(cameras_around(2))
        assert_devices_are_taken_from_inputs(lambda: loss(inputs))

    def test_half_precision_gives_nearly_the_same(self) -> None:
        loss = self.make()
        full = loss(self.inputs(cameras_around(2)))
        inputs = self.inputs(cameras_around(2))
        with half_precision():
            assert_close_in_half(loss(inputs), full)

    def test_inputs_decide_everything(self) -> None:
        before = torch.random.get_rng_state()
        one, two = (self.make()(self.inputs(cameras_around(2))) for _ in range(2))
        assert torch.equal(one, two)
        assert torch.equal(before, torch.random.get_rng_state())

    @staticmethod
    def _check_gradients(value: torch.Tensor, geometry: Geometry) -> None:
        if value.requires_grad:
            value.backward()
        for name, parameter in module(geometry).named_parameters():
            assert parameter.grad is None or bool(torch.isfinite(parameter.grad).all()), name
