"""Makes compiled kernels known to torch, so that `torch.compile` and tensors without data see what they return."""

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

    `run` does it for tensors in main memory, `fake` says shapes, strides and types of what it would return. The same as
    `torch.library.custom_op`, less its examination of every result, which takes longer than a small kernel.
    """
    full_name = f"bozzetto::{name}"
    torch.library.define(full_name, signature, tags=torch.Tag.pt2_compliant_tag)
    torch.library.impl(full_name, "cpu", run)
    torch.library.register_fake(full_name, fake)
    return cast(Callable[Arguments, Result], getattr(torch.ops.bozzetto, name).default)
