"""What the contract suites of several kinds have in common. For your own tests too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from bozzetto.parameters import ParameterSpec

HALF = torch.bfloat16
"""The half precision that every processor has."""
HALF_TOLERANCE = 0.05
"""How far a number may go from its float32 value, as a share of the largest: bfloat16 keeps 8 bits."""


@contextmanager
def default_device_elsewhere() -> Iterator[None]:
    """Makes any tensor whose device is not given land where nothing else is, so that using it fails.

    Code that takes devices from its inputs and generators does not notice; `torch.zeros(3)` or a generator without
    `device=generator.device` does, on a machine without a GPU as well. Make components before, not inside.
    """
    with torch.device("meta"):
        yield


def assert_devices_are_taken_from_inputs(run: Callable[[], object]) -> None:
    """`run` gives tensors on its inputs' device, wherever the default device is."""
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
    """Every tensor in a record, mapping or sequence."""
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
    """The component as the `nn.Module` that its kind says it is."""
    assert isinstance(component, nn.Module), f"{type(component).__name__} must be a torch.nn.Module"
    return component


def assert_every_parameter_learns(module: nn.Module) -> None:
    """After a back-propagation: every parameter has a finite gradient that is not zero throughout."""
    gradients = {name: parameter.grad for name, parameter in module.named_parameters()}
    missing = [name for name, gradient in gradients.items() if gradient is None or not gradient.count_nonzero()]
    assert not missing, f"no gradient reaches {', '.join(missing)}"
    broken = [name for name, given in gradients.items() if given is not None and not given.isfinite().all()]
    assert not broken, f"the gradient of {', '.join(broken)} is not finite"


def assert_survives_saving(saved: nn.Module, fresh: nn.Module) -> None:
    """Give `fresh` the state of `saved` through safetensors' bytes, strictly, and compare all of it."""
    state = {name: value.contiguous() for name, value in saved.state_dict().items()}
    fresh.load_state_dict(load(save(state)))
    for name, value in fresh.state_dict().items():
        assert torch.equal(value, state[name]), name


def assert_declared_parameters_are_the_real_ones(module: nn.Module, *arguments: object) -> None:
    """Compare what the config's `parameter_specs` says, if anything, with what the module has: names, shapes, locks.

    Args:
        module: keeps its config as `config`.
        arguments: what its constructor got after the config.
    """
    config = getattr(module, "config", None)
    declared = getattr(config, "parameter_specs", None)
    if declared is not None:
        real = {name: ParameterSpec(tuple(p.shape), p.requires_grad) for name, p in module.named_parameters()}
        assert dict(declared(*arguments)) == real
    for name in ("feature_count", "radius"):  # which others read without torch
        if hasattr(module, name) and hasattr(config, name):
            assert getattr(config, name) == getattr(module, name), name


@contextmanager
def half_precision() -> Iterator[None]:
    """Matrix products in half precision, as mixed-precision training has them."""
    with torch.autocast("cpu", dtype=HALF):
        yield


def assert_close_in_half(half: Tensor, full: Tensor) -> None:
    """`half` is finite and agrees with `full` as far as half precision goes."""
    assert half.shape == full.shape
    assert half.isfinite().all()
    scale = float(full.detach().abs().max()) if full.numel() else 0.0
    torch.testing.assert_close(half.float(), full.float(), rtol=0.0, atol=HALF_TOLERANCE * max(scale, 1e-6))
