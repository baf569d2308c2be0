"""Tests of ranges and file markers: refused values, and that every number of every built-in config has a range."""

import math
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from typing import Annotated, get_args, get_origin

import pytest

from bozzetto.config.binding import bind, describe
from bozzetto.errors import ConfigError
from bozzetto.fields import FilePath, Range, bare, check_fields, choices, each_place, hints_of, marked, markers
from bozzetto.math.schedules import Schedule
from bozzetto.recipe import OptimizerConfig, TaskTimes, TrainerConfig
from bozzetto.registry.discovery import Registry, installed_sources

REGISTRY = Registry.discover(installed_sources({}), strict=True)
CONFIGS = {
    f"{kind}/{name}": REGISTRY.config_type(kind, f"{entry.dist}/{name}")
    for (kind, name), entries in REGISTRY.entries.items()
    for entry in entries
    if entry.dist == "bozzetto"
} | {"optimizer": OptimizerConfig, "trainer": TrainerConfig, "task": TaskTimes}
Angle = Annotated[float, Range(above=0.0, below=180.0)]


@dataclass(frozen=True)
class Part:
    path: Annotated[str, FilePath()] = ""
    """A file."""


@dataclass(frozen=True)
class Sample:
    angle: Angle = 90.0
    """Degrees."""
    sizes: Annotated[int, Range(least=1, most=8)] | tuple[Annotated[int, Range(least=1, most=8)], ...] = 4
    """One or several."""
    weight: Annotated[Schedule, Range(least=0.0, most=1.0)] = Schedule.constant(1.0)
    """By step."""
    endless: Annotated[float, Range(least=0.0, most=math.inf)] = 1.0
    """May be infinite."""
    plain: float = 0.0
    """Finite."""
    count: int = 0
    """64 bits."""
    by_name: Annotated[dict[str, Angle], "a marker of no concern"] | None = None
    """By name."""
    part: Part = Part()
    """Nested."""
    model: Annotated[str, FilePath(or_name=True)] | None = None
    """A file or a name."""

    def __post_init__(self):
        check_fields(self)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"angle": 180.0}, "angle: must lie in (0, 180), got 180.0"),
        ({"angle": math.nan}, "angle: must lie in (0, 180), got nan"),
        ({"sizes": 9}, "sizes: must lie in [1, 8], got 9"),
        ({"sizes": (4, 0)}, "sizes[1]: must lie in [1, 8], got 0"),
        ({"weight": Schedule(0.0, 2.0, 0, 5)}, "weight: must lie in [0, 1], got 2.0"),
        ({"endless": -math.inf}, "endless: must lie in [0, inf], got -inf"),
        ({"endless": math.nan}, "endless: must lie in"),
        ({"plain": math.inf}, "plain: must lie in"),
        ({"plain": 1e39}, "plain: must lie in"),
        ({"count": 2**63}, "count: must lie in"),
    ],
)
def test_out_of_range_is_refused_by_the_binder_and_on_construction(values, message):
    with pytest.raises(ValueError) as error:
        Sample(**values)
    assert str(error.value).startswith(message)
    with pytest.raises(ConfigError) as error:
        bind(Sample, {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}, "x")
    assert str(error.value).startswith(f"x.{message}")


def test_what_is_in_range_is_taken():
    bound = bind(Sample, {"angle": 1, "sizes": [1, 8], "endless": math.inf, "by_name": {"a": 3}, "plain": -3e38}, "x")
    assert (bound.angle, bound.sizes, bound.endless, bound.by_name["a"]) == (1.0, (1, 8), math.inf, 3.0)


@pytest.mark.parametrize("value", [10**400, 10**5000, -(10**400)], ids=["large", "unprintable", "negative"])
def test_huge_numbers_are_told_short(value):
    with pytest.raises(ConfigError, match=r"^x\.plain: must lie in") as error:
        bind(Sample, {"plain": value}, "x")
    assert len(str(error.value)) < 300
    with pytest.raises(ConfigError, match=r"^x\.part: expected path; got"):
        bind(Sample, {"part": value}, "x")


def test_help_shows_ranges_and_files():
    types = {item.name: item.type for item in describe(Sample)}
    assert types["angle"] == "float in (0, 180)" and types["part.path"] == "file" and types["model"] == "str | null"


def test_marked_fields_are_found_in_nested_configs():
    assert [name for name, _ in marked(Sample, FilePath)] == ["part.path", "model"]


@dataclass(frozen=True)
class Layer:
    """One of a list."""

    file: Annotated[str, FilePath()]
    """A file."""


@dataclass(frozen=True)
class Layers:
    """A list of configs."""

    layers: tuple[Layer, ...] = ()
    """Some."""


def test_marked_fields_are_found_in_lists_of_configs():
    found = list(marked(Layers, FilePath))
    assert [name for name, _ in found] == ["layers[].file"]
    assert [name for name, _ in each_place(found, lambda key: {"layers": ["a", "b"]}[key])] == [
        "layers.0.file",
        "layers.1.file",
    ]
    assert not list(each_place(found, lambda key: None))
    assert [(one.name, one.type) for one in describe(Layers)] == [
        ("layers", "list of Layer"),
        ("layers[].file", "file"),
    ]


@pytest.mark.parametrize("bounds", [{}, {"least": 0.0}, {"least": 0.0, "above": 0.0, "most": 1.0}])
def test_a_range_has_two_bounds(bounds):
    with pytest.raises(ValueError, match="one of least and above"):
        Range(**bounds)


def numbers(schema, prefix=""):
    """Yield the dotted names of all numeric fields, with their type."""
    for name, hint in hints_of(schema).items():
        pending = [hint]
        while pending:
            choice = pending.pop()
            if len(choices(choice)) > 1:
                pending += choices(choice)
            elif get_origin(bare(choice)) in (tuple, dict):
                pending += [item for item in get_args(bare(choice)) if item is not Ellipsis]
            elif bare(choice) in (int, float, Schedule):
                yield prefix + name, choice
            elif is_dataclass(choice):
                yield from numbers(choice, f"{prefix}{name}.")


@pytest.mark.parametrize("name", CONFIGS)
def test_every_number_of_a_built_in_config_has_a_range(name):
    bare_ones = [
        field for field, hint in numbers(CONFIGS[name]) if not any(isinstance(item, Range) for item in markers(hint))
    ]
    assert not bare_ones


@pytest.mark.parametrize("name", CONFIGS)
def test_no_built_in_config_takes_what_is_not_finite(name):
    schema = CONFIGS[name]
    required = {"image": "photo.png"} if "image" in hints_of(schema) else {}
    assert all(item.name in required or item.default is not MISSING or item.default_factory is not MISSING for item in fields(schema))  # fmt: skip
    default = schema(**required)
    for field, hint in numbers(schema):
        if "." in field or bare(hint) is int:
            continue
        for bad in (math.nan, math.inf, -math.inf):
            value = getattr(default, field)
            wrong = (
                tuple(bad for _ in value)
                if isinstance(value, tuple)
                else {"a": bad}
                if isinstance(value, dict)
                else bad
            )
            with pytest.raises(ConfigError, match=rf"x\.{field}"):
                bind(schema, {**required, field: list(wrong) if isinstance(wrong, tuple) else wrong}, "x")
            if bare(hint) is float:
                with pytest.raises(ValueError, match=rf"^{field}"):
                    replace(default, **{field: wrong})
