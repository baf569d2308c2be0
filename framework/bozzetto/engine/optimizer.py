"""Optimiser with parameter groups by name prefix and scheduled learning rates."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from bozzetto.parameters import check_rates, matches
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
    kinds: dict[str, type[torch.optim.Adam]] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    optimizer = kinds[config.type](
        [{"params": members, "prefix": prefix} for prefix, members in groups.items()],
        lr=config.lr.at(0),
        betas=config.betas,
        eps=config.eps,
        weight_decay=config.weight_decay,
        fused=True,
    )
    set_learning_rates(optimizer, config, 0)
    return optimizer


def set_learning_rates(optimizer: torch.optim.Optimizer, config: OptimizerConfig, step: int) -> None:
    """Set each group's learning rate for `step`."""
    for group in optimizer.param_groups:
        group["lr"] = config.lr_of.get(group["prefix"], config.lr).at(step)
