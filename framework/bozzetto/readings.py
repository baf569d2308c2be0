"""Numbers that stay on an accelerator until they are read together, and the checks that they must pass.

Reading a tensor on an accelerator waits for all work before it. Within `Readings.collecting`, what a step has to check
there is collected, and read with the step's metrics in one transfer. Tensors in main memory are checked at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

__all__ = ["Readings", "check_later", "require_finite"]

Check = Callable[[float], None]
"""Function of a number that raises if it must not be."""
MOST_WAITING = 4096
"""Numbers that are collected at most before they are read, whatever the steps between metrics are."""


class Readings:
    """Numbers on an accelerator that wait to be read and checked, in the order of the steps and their parts."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Tensor, Check]] = []

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Let `check_later` and `require_finite` collect numbers here within a context."""
        token = _COLLECTING.set(self)
        try:
            yield
        finally:
            _COLLECTING.reset(token)

    def add(self, number: Tensor, check: Check) -> None:
        """Collect a scalar."""
        self._waiting.append((number.detach(), check))
        if len(self._waiting) >= MOST_WAITING:
            self.read()

    def read(self, further: Sequence[Tensor] = ()) -> list[float]:
        """Read and check all that was collected, and return `further` scalars, in one transfer per device and type.

        Raises:
            Exception: what the first check that fails raises.
        """
        waiting, self._waiting = self._waiting, []
        numbers = _numbers([*(number for number, _ in waiting), *further])
        for number, (_, check) in zip(numbers, waiting, strict=False):
            check(number)
        return numbers[len(waiting) :]


_COLLECTING: ContextVar[Readings | None] = ContextVar("collecting", default=None)


def _numbers(scalars: Sequence[Tensor]) -> list[float]:
    """Return the values of scalars; those on an accelerator are sent together, as float32."""
    found = [math.nan] * len(scalars)
    away = [index for index, scalar in enumerate(scalars) if not scalar.is_cpu]
    for index, scalar in enumerate(scalars):
        if scalar.is_cpu:
            found[index] = float(scalar)
    if away:
        sent = torch.stack([scalars[index].detach().to(torch.float32) for index in away])
        for index, number in zip(away, sent.tolist(), strict=True):
            found[index] = number
    return found


def check_later(number: Tensor, check: Check) -> None:
    """Check a scalar: at the next read if it is on an accelerator and a step is being trained, else at once.

    Args:
        check: called with the number; must not hold tensors.
    """
    readings = _COLLECTING.get()
    if readings is None or number.is_cpu:
        check(float(number.detach()))
    else:
        readings.add(number, check)


def require_finite(value: Tensor, error: Callable[[int], Exception]) -> None:
    """Raise `error(count)` if `count` elements of a tensor are NaN or infinite; see `check_later` for when.

    Args:
        error: makes the exception; must not hold tensors.
    """
    finite = torch.isfinite(value)
    if _COLLECTING.get() is None or value.is_cpu:
        if not bool(finite.all()):
            raise error(int((~finite).sum()))
        return

    def check(count: float) -> None:
        if count:
            raise error(int(count))

    check_later((~finite).sum(), check)
