"""Values that depend on the optimiser step. Steps, never epochs. No torch, since recipes are checked without it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

__all__ = ["FIELDS", "LARGEST", "LAST_STEP", "Curve", "Schedule"]

Curve = Literal["linear", "exponential", "sqrt", "cosine"]

LARGEST = 3.0e38
"""Maximum magnitude of a value; finite in float32."""
LAST_STEP = 10**9
"""Maximum optimiser steps of a run."""
LEAST_EXPONENTIAL = 1e-30
"""Minimum end value of an exponential curve, so that the ratio of its ends is finite."""

FIELDS = ("from", "to", "start_step", "until_step", "curve")


@dataclass(frozen=True)
class Schedule:
    """Value as a function of the optimiser step.

    It is `start` up to `start_step`, `end` from `until_step` on, and follows `curve` in between. In YAML a plain
    number, or `{from: 10, to: 1000, start_step: 0, until_step: 5000, curve: linear}`.
    """

    start: float
    """Value up to `start_step`; `from` in YAML."""
    end: float
    """Value from `until_step` on; `to` in YAML."""
    start_step: int = 0
    """Last step at which the value is still `start`."""
    until_step: int = 0
    """First step at which the value is `end`."""
    curve: Curve = "linear"
    """`linear`, `exponential` (straight in log space), `sqrt` (fast first, HiFA) or `cosine` (slow at both ends)."""

    def __post_init__(self) -> None:
        for value in (self.start, self.end):
            if not -LARGEST <= value <= LARGEST:
                raise ValueError(f"expected a finite number of at most {LARGEST:g}, got {value}")
        if not 0 <= self.start_step <= self.until_step <= LAST_STEP:
            raise ValueError(
                f"steps must satisfy 0 <= start_step <= until_step <= {LAST_STEP}, "
                f"got {self.start_step}, {self.until_step}"
            )
        if self.curve == "exponential" and not min(self.start, self.end) >= LEAST_EXPONENTIAL:
            raise ValueError(
                f"an exponential curve needs positive 'from' and 'to', {LEAST_EXPONENTIAL:g} at least, "
                f"got {self.start:g}, {self.end:g}"
            )

    def at(self, step: int) -> float:
        """Return the value at `step`."""
        if step >= self.until_step:
            return self.end
        if step <= self.start_step:
            return self.start
        ratio = (step - self.start_step) / (self.until_step - self.start_step)
        if self.curve == "exponential":
            value: float = self.start * (self.end / self.start) ** ratio
            return value
        if self.curve == "sqrt":
            ratio = math.sqrt(ratio)
        elif self.curve == "cosine":
            ratio = 0.5 * (1.0 - math.cos(math.pi * ratio))
        return self.start + (self.end - self.start) * ratio

    @classmethod
    def constant(cls, value: float) -> Schedule:
        """Return a schedule with the same value at every step."""
        return cls(value, value)

    @classmethod
    def parse(cls, value: object) -> Schedule:
        """Parse a value from YAML.

        Raises:
            ValueError: neither a number nor a mapping with `from`, `to` and `until_step`.
        """
        if isinstance(value, Schedule):
            return value
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return cls.constant(_finite(value))
        if not isinstance(value, Mapping):
            raise ValueError(
                f"expected a number or {{from: 10, to: 1000, start_step: 0, until_step: 5000}}, got {value!r}"
            )
        unknown = [key for key in value if key not in FIELDS]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is not a field of a schedule. Fields: {', '.join(FIELDS)}")
        missing = [key for key in ("from", "to", "until_step") if key not in value]
        if missing:
            raise ValueError(f"a schedule needs {missing[0]!r}. Fields: {', '.join(FIELDS)}")
        for key in ("from", "to"):
            if isinstance(value[key], bool) or not isinstance(value[key], (int, float)):
                raise ValueError(f"{key!r} must be a number, got {value[key]!r}")
        for key in ("start_step", "until_step"):
            if isinstance(value.get(key, 0), bool) or not isinstance(value.get(key, 0), int):
                raise ValueError(f"{key!r} counts optimiser steps and must be a whole number, got {value[key]!r}")
        curve = value.get("curve", "linear")
        if curve not in get_args(Curve):
            raise ValueError(f"curve {curve!r} is not one of {', '.join(get_args(Curve))}")
        return cls(_finite(value["from"]), _finite(value["to"]), value.get("start_step", 0), value["until_step"], curve)

    def as_yaml(self) -> float | dict[str, float | int | str]:
        """Return the YAML value that `parse` reads back."""
        if self.start == self.end:
            return self.end
        return dict(zip(FIELDS, (self.start, self.end, self.start_step, self.until_step, self.curve), strict=True))


def _finite(value: int | float) -> float:
    """Convert a number to float; rejects integers beyond the range of floats."""
    try:
        return float(value)
    except OverflowError:
        raise ValueError("expected a finite number, got a whole number of more than 300 digits") from None
