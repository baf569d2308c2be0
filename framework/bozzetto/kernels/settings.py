"""Choice of the kernels of a process: packages for tensors on a GPU, and whether sums are deterministic. No torch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal, cast, get_args

from bozzetto.errors import ConfigError, did_you_mean

__all__ = ["PACKAGES", "VARIABLE", "KernelSettings", "Package", "configure", "current", "from_environment", "using"]

Package = Literal["warp", "tinycudann", "nerfacc", "nvdiffrast"]
"""Packages that a kernel may run on, on a GPU."""

PACKAGES: tuple[Package, ...] = get_args(Package)

VARIABLE = "BOZZETTO_KERNELS"
"""Environment variable that replaces `KernelSettings.packages`: names separated by commas; `torch` for none."""


@dataclass(frozen=True)
class KernelSettings:
    """How the kernels of a process run."""

    packages: tuple[Package, ...] = ("warp",)
    """On a GPU, each kernel runs on the first of these that serves it and works here, else as torch operations."""
    deterministic: bool = False
    """Whether sums of gradients on a GPU have the same bits in every run, instead of being fast."""


_chosen = KernelSettings()


def configure(settings: KernelSettings) -> None:
    """Set how the kernels of this process run from now on."""
    global _chosen
    _chosen = settings


def current() -> KernelSettings:
    """Return how kernels run: what `configure` set, with the packages of the environment if it names some.

    Raises:
        ConfigError: the environment names an unknown package.
    """
    named = from_environment(os.environ.get(VARIABLE, ""))
    return _chosen if named is None else replace(_chosen, packages=named)


@contextmanager
def using(settings: KernelSettings) -> Iterator[None]:
    """Run the kernels of a block with other settings."""
    before = _chosen
    configure(settings)
    try:
        yield
    finally:
        configure(before)


def from_environment(text: str) -> tuple[Package, ...] | None:
    """Return the packages that the environment variable names, None if it is empty.

    Raises:
        ConfigError: a name is unknown.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in (*PACKAGES, "torch"):
            raise ConfigError(
                f"{VARIABLE}: there are no kernels {name!r}; known are {', '.join(PACKAGES)}, and torch for none of "
                f"them.{did_you_mean(name, (*PACKAGES, 'torch'))}"
            )
    return tuple(cast(Package, name) for name in names if name != "torch") if names else None
