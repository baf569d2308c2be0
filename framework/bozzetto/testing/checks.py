"""Checks shared by the contract suites of several kinds; also useful in other tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from bozzetto.parameters import ParameterSpec

__all__ = [
    "HALF",
    "HALF_TOLERANCE",
    "as_module",
    "assert_close_in_half",
    "assert_declared_parameters_are_the_real_ones",
    "assert_devices_are_taken_from_inputs",
    "assert_every_parameter_learns",
    "assert_metrics_are_scalars",
    "assert_survives_saving",
    "default_device_elsewhere",
    "half_precision",
    "tensors_of",
]

HALF = torch.bfloat16
"""Half-precision type supported by every processor."""
HALF_TOLERANCE = 0.05
"""Maximum deviation from the float32 value, relative to the largest; bfloat16 keeps 8 bits."""


@contextmanager
def default_device_elsewhere() -> Iterator[None]:
    """Set an unusable default device, so that tensors created without an explicit device fail when they are used.

    Code that takes devices from its inputs and generators is not affected; `torch.zeros(3)` or a generator without
    `device=generator.device` is, even on a machine without a GPU. Construct components outside of this context.
    """
    with torch.device("meta"):
        yield


def assert_devices_are_taken_from_inputs(run: Callable[[], object]) -> None:
    """Assert that `run` returns tensors on its inputs' device, whatever the default device is."""
    with default_device_elsewhere():
        try:
            result = run()
        except (RuntimeError, TypeError, ValueError) as error:
            raise AssertionError(
                "A tensor was made on the default device. Take the device from a tensor or a generator: "
                f"device=points.device, torch.zeros_like(...), tensor.new_tensor(...). It then failed with: {error}"
            ) from error
    found = [tensor for tensor in tensors_of(result) if tensor.is_meta]
    assert not found, f"{len(found)} of the results were made on the default device, not on that of the inputs"


def tensors_of(value: object) -> list[Tensor]:
    """Return every tensor in a record, mapping or sequence."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, Mapping):
        return [tensor for item in value.values() for tensor in tensors_of(item)]
    if isinstance(value, (list, tuple)):
        return [tensor for item in value for tensor in tensors_of(item)]
    if hasattr(value, "__dataclass_fields__"):
        return [tensor for name in value.__dataclass_fields__ for tensor in tensors_of(getattr(value, name))]
    return []


def as_module(component: object) -> nn.Module:
    """Return the component, which must be an `nn.Module`."""
    assert isinstance(component, nn.Module), f"{type(component).__name__} must be a torch.nn.Module"
    return component


def assert_every_parameter_learns(module: nn.Module) -> None:
    """Assert after a backward pass that every parameter has a finite, non-zero gradient."""
    gradients = {name: parameter.grad for name, parameter in module.named_parameters()}
    missing = [name for name, gradient in gradients.items() if gradient is None or not gradient.count_nonzero()]
    assert not missing, f"no gradient reaches {', '.join(missing)}"
    broken = [name for name, given in gradients.items() if given is not None and not given.isfinite().all()]
    assert not broken, f"the gradient of {', '.join(broken)} is not finite"


def assert_metrics_are_scalars(metrics: Mapping[str, object]) -> None:
    """Fail unless each metric is a float, or a scalar tensor of floats without gradient, left on its device."""
    for name, value in metrics.items():
        if isinstance(value, Tensor):
            assert value.ndim == 0 and value.is_floating_point() and not value.requires_grad, name
        else:
            assert type(value) is float, name


def assert_survives_saving(saved: nn.Module, fresh: nn.Module) -> None:
    """Load the state of `saved` into `fresh` through safetensors, strictly, and assert that all values are equal."""
    state = {name: value.contiguous() for name, value in saved.state_dict().items()}
    fresh.load_state_dict(load(save(state)))
    for name, value in fresh.state_dict().items():
        assert torch.equal(value, state[name]), name


def assert_declared_parameters_are_the_real_ones(module: nn.Module, *arguments: object) -> None:
    """Assert that the config's `parameter_specs`, if any, match the module: names, shapes, trainable or not.

    Args:
        module: module that keeps its config as `config`.
        arguments: constructor arguments after the config.
    """
    config = getattr(module, "config", None)
    declared = getattr(config, "parameter_specs", None)
    if declared is not None:
        real = {name: ParameterSpec(tuple(p.shape), p.requires_grad) for name, p in module.named_parameters()}
        assert dict(declared(*arguments)) == real
    for name in ("feature_count", "radius"):  # read by other components without torch
        if hasattr(module, name) and hasattr(config, name):
            assert getattr(config, name) == getattr(module, name), name


@contextmanager
def half_precision() -> Iterator[None]:
    """Run matrix products in half precision within a context, as in mixed-precision training."""
    with torch.autocast("cpu", dtype=HALF):
        yield


def assert_close_in_half(half: Tensor, full: Tensor) -> None:
    """Assert that `half` is finite and agrees with `full` within `HALF_TOLERANCE`."""
    assert half.shape == full.shape
    assert half.isfinite().all()
    scale = float(full.detach().abs().max()) if full.numel() else 0.0
    torch.testing.assert_close(half.float(), full.float(), rtol=0.0, atol=HALF_TOLERANCE * max(scale, 1e-6))
