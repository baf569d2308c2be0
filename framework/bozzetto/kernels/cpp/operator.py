"""Registers compiled kernels as torch operators, for `torch.compile` and fake tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import torch

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def operator(
    name: str, signature: str, run: Callable[Arguments, Result], fake: Callable[..., Any]
) -> Callable[Arguments, Result]:
    """Register `bozzetto::<name>` and return it; derivatives are added by `torch.library.register_autograd`.

    `run` computes the result for tensors in main memory; `fake` returns empty tensors of its shapes, strides and types.
    Equivalent to `torch.library.custom_op` without its check of every result, which takes longer than a small kernel.
    """
    full_name = f"bozzetto::{name}"
    torch.library.define(full_name, signature, tags=torch.Tag.pt2_compliant_tag)
    torch.library.impl(full_name, "cpu", run)
    torch.library.register_fake(full_name, fake)
    return cast(Callable[Arguments, Result], getattr(torch.ops.bozzetto, name).default)
