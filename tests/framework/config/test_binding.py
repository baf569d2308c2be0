"""Tests of strict configs: accepted values, and the text of each error."""

from dataclasses import dataclass, field
from typing import Literal

import pytest

from bozzetto.config.binding import bind, describe, plain
from bozzetto.errors import ConfigError
from bozzetto.math.schedules import Schedule


@dataclass(frozen=True)
class Inner:
    width: int = 2
    """Pixels."""


@dataclass(frozen=True)
class Sample:
    density_bias: str = "blob"
    """What is added."""
    levels: int | None = 4
    """How many,
    over two lines."""
    mode: Literal["hard", "soft"] = "hard"
    """Which."""
    size: int | tuple[int, ...] = 64
    """One or several."""
    span: tuple[float, float] = (0.0, 1.0)
    """Low and high."""
    weight: Schedule = Schedule.constant(1.0)
    """By step."""
    inner: Inner = Inner()
    """Nested."""
    lr_of: dict[str, Schedule] = field(default_factory=dict)
    """By name."""
    flag: bool = False
    """Yes or no."""

    def __post_init__(self):
        if self.span[0] > self.span[1]:
            raise ValueError(f"span: must be [low, high], got {list(self.span)}")


def test_binds_every_supported_type():
    bound = bind(
        Sample,
        {
            "levels": None, "mode": "soft", "size": [8, 16], "span": [0, 2], "inner": {"width": 3}, "flag": True,
            "weight": {"from": 1, "to": 3, "until_step": 10}, "lr_of": {"a": 0.5},
        },
        "x",
    )  # fmt: skip
    assert (bound.levels, bound.mode, bound.size, bound.span) == (None, "soft", (8, 16), (0.0, 2.0))
    assert bound.weight.at(5) == 2.0 and bound.inner.width == 3 and bound.lr_of["a"].at(0) == 0.5 and bound.flag


def test_plain_values_bind_back_to_the_same_config():
    bound = bind(Sample, {"weight": {"from": 1, "to": 3, "until_step": 10}, "size": [8, 16]}, "x")
    assert bind(Sample, plain(bound), "x") == bound


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"denisty_bias": 1},
            "x.denisty_bias is not a field of Sample. Did you mean 'density_bias'? Fields: density_bias",
        ),
        ({"levels": "four"}, "x.levels: expected a whole number, got 'four'."),
        ({"levels": 2.5}, "x.levels: expected a whole number, got 2.5."),
        ({"levels": True}, "x.levels: expected a whole number, got True."),
        ({"flag": 1}, "x.flag: expected true or false, got 1."),
        ({"mode": "sof"}, "x.mode: 'sof' is not one of hard, soft. Did you mean 'soft'?"),
        ({"span": [1, 2, 3]}, "x.span: expected 2 values, got 3: [1, 2, 3]."),
        ({"span": [2, 1]}, "x.span: must be [low, high], got [2.0, 1.0]"),
        ({"inner": {"width": "a"}}, "x.inner.width: expected a whole number, got 'a'."),
        ({"inner": {"widht": 1}}, "x.inner.widht is not a field of Inner. Did you mean 'width'? Fields: width."),
        ({"weight": {"from": 1}}, "x.weight: a schedule needs 'to'. Fields: from, to, start_step, until_step, curve."),
        (
            {"weight": {"from": 1, "to": 2, "until_step": 5000.0}},
            "x.weight: 'until_step' counts optimiser steps and must be",
        ),
        ({"density_bias": "???"}, "x.density_bias must be given. Add x.density_bias=... to the command line."),
        ([1], "x: expected density_bias, levels, mode, size, span, weight, inner, lr_of, flag; got [1]."),
    ],
)
def test_errors_name_the_path_the_problem_and_the_nearest(values, message):
    with pytest.raises(ConfigError) as error:
        bind(Sample, values, "x")
    assert str(error.value).startswith(message)


def test_a_field_without_default_must_be_there():
    @dataclass(frozen=True)
    class Strict:
        path: str
        """Where."""

    with pytest.raises(ConfigError, match="x.path is missing"):
        bind(Strict, {}, "x")


def test_describe_gives_type_default_and_text():
    described = {item.name: item for item in describe(Sample)}
    assert described["levels"].text == "How many, over two lines."
    assert described["levels"].default == "4" and described["mode"].default == "hard"
    assert described["weight"].default == "1.0"
