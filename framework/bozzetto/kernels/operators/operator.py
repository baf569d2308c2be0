"""Registers kernels as torch operators, for `torch.compile` and fake tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import torch

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

CPP = "bozzetto"
"""Namespace of the C++ kernels, for tensors in main memory."""

WARP = "bozzetto_warp"
"""Namespace of the Warp kernels, for tensors on a GPU; also in main memory, where the tests run them."""

DEVICES = {CPP: "cpu", WARP: ("cpu", "cuda")}
"""Devices of the tensors that the kernels of a namespace take."""


class KernelError(RuntimeError):
    """Error of a kernel that is no error of an argument: not usable here, or a derivative that it does not have."""


def operator(
    space: str, name: str, signature: str, run: Callable[Arguments, Result], fake: Callable[..., Any]
) -> Callable[Arguments, Result]:
    """Register `<space>::<name>` and return it; derivatives are added by `torch.library.register_autograd`.

    `run` computes the result for tensors on the devices of the namespace; `fake` returns empty tensors of its shapes,
    strides and types. Equivalent to `torch.library.custom_op` without its check of every result, which takes longer
    than a small kernel.
    """
    full_name = f"{space}::{name}"
    torch.library.define(full_name, signature, tags=torch.Tag.pt2_compliant_tag)
    torch.library.impl(full_name, DEVICES[space], run)
    torch.library.register_fake(full_name, fake)
    return cast(Callable[Arguments, Result], getattr(getattr(torch.ops, space), name).default)
