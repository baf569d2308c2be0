"""Optimiser with parameter groups by name prefix, scheduled learning rates, and clipped gradients."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from bozzetto.errors import NonFiniteError
from bozzetto.parameters import check_rates, matches
from bozzetto.readings import require_finite
from bozzetto.recipe import OptimizerConfig

DEFAULT = ""
"""Prefix of parameters without a match in `lr_of`."""


def prefix_of(name: str, prefixes: Sequence[str]) -> str:
    """Return the longest of `prefixes` that is `name` or one of its parents; `DEFAULT` if none is."""
    matching = [prefix for prefix in prefixes if matches(name, prefix)]
    return max(matching, key=len, default=DEFAULT)


def make_optimizer(parameters: Sequence[tuple[str, nn.Parameter]], config: OptimizerConfig) -> torch.optim.Optimizer:
    """Create Adam or AdamW over named parameters.

    Raises:
        ConfigError: a prefix in `lr_of` matches no parameter.
    """
    prefixes = list(config.lr_of)
    check_rates(prefixes, [name for name, parameter in parameters if parameter.requires_grad])
    groups: dict[str, list[nn.Parameter]] = {}
    for name, parameter in parameters:
        if parameter.requires_grad:
            groups.setdefault(prefix_of(name, prefixes), []).append(parameter)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.type]
    optimizer = without_compiler(kind)(
        [{"params": members, "prefix": prefix} for prefix, members in groups.items()],
        lr=config.lr.at(0),
        betas=config.betas,
        eps=config.eps,
        weight_decay=config.weight_decay,
        fused=True,
    )
    set_learning_rates(optimizer, config, 0)
    return optimizer


def without_compiler(kind: type[torch.optim.Adam]) -> type[torch.optim.Adam]:
    """Return a class of optimisers without torch's wrappers for `torch.compile`, which import the compiler: seconds."""
    names = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    members: dict[str, Any] = {name: inspect.unwrap(getattr(kind, name)) for name in names}
    members["step"] = torch.no_grad()(inspect.unwrap(kind.step))  # one of the wrappers disables gradients
    made: type[torch.optim.Adam] = type(kind.__name__, (kind,), members)
    return made


def set_learning_rates(optimizer: torch.optim.Optimizer, config: OptimizerConfig, step: int) -> None:
    """Set each group's learning rate for `step`."""
    for group in optimizer.param_groups:
        group["lr"] = config.lr_of.get(group["prefix"], config.lr).at(step)


def clip_gradients(parameters: Sequence[tuple[str, nn.Parameter]], limit: float | None, step: int) -> Float[Tensor, ""]:
    """Scale all gradients down so that their global norm is at most `limit`; None: no clipping.

    Returns:
        The global norm before clipping; 0 without gradients.

    Raises:
        NonFiniteError: a gradient is not finite; the message names its parameter and `step`. On an accelerator, raised
            at the next read (`bozzetto.readings`).
    """
    named = [(name, parameter, parameter.grad) for name, parameter in parameters if parameter.grad is not None]
    total = get_total_norm([gradient for _, _, gradient in named])
    if not total.is_cpu or not math.isfinite(float(total)):
        for name, _, gradient in named:  # each by itself: their sum may overflow
            require_finite(torch.linalg.vector_norm(gradient), _not_finite(name, step))
    if limit is not None:
        beyond = torch.where(total > limit, total, 0.0)  # a norm of 0 leaves the gradients as they are, bit for bit
        clip_grads_with_norm_([parameter for _, parameter, _ in named], limit, beyond)
    return total


def _not_finite(name: str, step: int) -> Callable[[int], NonFiniteError]:
    return lambda _: NonFiniteError(f"the gradient of {name} is not finite at step {step}")
