"""Checks of a geometry that changes the rows of its parameters; `GeometryContract` runs them on one that does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from bozzetto.engine.adaptation import replace_rows, require_fitting, take_rows
from bozzetto.kinds.geometry import Adaptive, Geometry, RowChange, module

__all__ = ["assert_adapts_by_contract", "no_value_is_read"]

READING = {"aten._local_scalar_dense.default", "aten.nonzero.default", "aten.masked_select.default"}
"""Operators whose result the processor waits for."""

INDEXING = {"aten.index.Tensor", "aten.index_put_.default", "aten.index_put.default", "aten._index_put_impl_.default"}
"""Operators whose result has as many rows as a mask has ones, if an index is a mask."""

Backward = Callable[[Geometry], None]


def assert_adapts_by_contract(make: Callable[[], Geometry], backward: Backward, after: int) -> None:
    """Assert that a geometry changes its rows as `bozzetto.kinds.geometry.Adaptive` says.

    Args:
        make: returns the same instance each time.
        backward: back-propagates to every parameter.
        after: number of finished steps after which the instance changes its rows for the first time.
    """
    first, second = make(), make()
    changes, again = _first_changes(first, backward, after), _first_changes(second, backward, after)
    _assert_same_changes(changes, again, "the same parameters, gradients and random numbers gave other changes")
    optimizer = torch.optim.Adam(module(first).parameters())
    for number, (name, change) in enumerate(changes.items()):
        require_fitting(module(first), name, change, after)
        _assert_rows_move(module(first), name, change, optimizer, number)
    _assert_learns(first, backward)

    loaded = make()
    state = {name: value.clone() for name, value in module(first).state_dict().items()}
    take_rows(module(loaded), state)
    module(loaded).load_state_dict(state)
    for done in range(after + 1, 2 * after + 1):
        both = [_step(geometry, backward, done) for geometry in (first, loaded)]
        _assert_same_changes(both[0] or {}, both[1] or {}, "restored from its saved state it changed other rows")
        for geometry, later in zip((first, loaded), both, strict=True):
            for name, change in (later or {}).items():
                replace_rows(module(geometry), name, change, torch.optim.Adam(module(geometry).parameters()))


def _assert_same_changes(one: Mapping[str, RowChange], other: Mapping[str, RowChange], why: str) -> None:
    """Assert that two results of `adapt` are equal to the last bit."""
    assert one.keys() == other.keys(), why
    for name, change in one.items():
        for part in ("values", "source", "fresh"):
            assert torch.equal(getattr(change, part), getattr(other[name], part)), f"{why}: {part} of {name}"


@contextmanager
def no_value_is_read(what: str) -> Iterator[None]:
    """Assert within a context that no value of a tensor is read, for which the processor would wait on a GPU."""
    with _Reading() as seen:
        yield
    assert not seen.read, f"{what} reads values of tensors ({', '.join(sorted(seen.read))}), which waits for the GPU"


class _Reading(TorchDispatchMode):
    """Notes the operators of `READING`."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # torch annotates no argument of it
        self.read: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if str(func) in READING or (str(func) in INDEXING and any(_is_mask(index) for index in args[1])):
            self.read.add(str(func))
        return func(*args, **(kwargs or {}))


def _is_mask(index: object) -> bool:
    return isinstance(index, torch.Tensor) and index.dtype == torch.bool


def _step(geometry: Geometry, backward: Backward, done: int) -> Mapping[str, RowChange] | None:
    module(geometry).zero_grad()
    backward(geometry)
    with torch.no_grad():
        return _adaptive(geometry).adapt(done, torch.Generator().manual_seed(done))


def _first_changes(geometry: Geometry, backward: Backward, after: int) -> Mapping[str, RowChange]:
    """Return the changes after `after` steps; those before change, draw and read nothing."""
    before = {name: value.detach().clone() for name, value in module(geometry).named_parameters()}
    for done in range(1, after):
        module(geometry).zero_grad()
        backward(geometry)
        draw = torch.Generator().manual_seed(done)
        state = draw.get_state()
        with torch.no_grad(), no_value_is_read(f"adapt after step {done}, which changes nothing,"):
            changes = _adaptive(geometry).adapt(done, draw)
        assert not changes, f"it changed rows after {done} steps: set adapts_after = {done}"
        assert torch.equal(draw.get_state(), state), f"adapt drew random numbers after step {done} and changed nothing"
    changes = _step(geometry, backward, after)
    assert changes, (
        f"it changed no rows after {after} steps: set adapts_after to the number of steps after which it does"
    )
    now = dict(module(geometry).named_parameters())
    assert now.keys() == before.keys(), "adapt added or removed parameters"
    for name, value in before.items():
        assert torch.equal(now[name], value), f"adapt changed {name} itself: it returns new values, the host sets them"
    return changes


def _assert_rows_move(
    geometry: nn.Module, name: str, change: RowChange, optimizer: torch.optim.Optimizer, number: int
) -> None:
    """Assert that the optimiser's rows are those of the change."""
    old = geometry.get_parameter(name)
    marks = torch.arange(len(old), dtype=old.dtype).view(-1, *[1] * (old.ndim - 1)).expand_as(old) + 1.0 + number
    optimizer.state[old] = {"step": torch.tensor(3.0), "exp_avg": marks.clone(), "exp_avg_sq": marks.clone()}
    new = replace_rows(geometry, name, change, optimizer)
    expected = marks[change.source]
    expected[change.fresh] = 0.0
    assert torch.equal(optimizer.state[new]["exp_avg"], expected)
    assert float(optimizer.state[new]["step"]) == 3.0 and old not in optimizer.state
    assert len(new) == len(change.source) and any(new is own for own in geometry.parameters())


def _assert_learns(geometry: Geometry, backward: Backward) -> None:
    """Assert that the new rows are evaluated and have gradients."""
    module(geometry).zero_grad()
    backward(geometry)
    missing = [name for name, parameter in module(geometry).named_parameters() if parameter.grad is None]
    assert not missing, f"after a change of rows no gradient reaches {', '.join(missing)}"


def _adaptive(geometry: Geometry) -> Adaptive:
    assert isinstance(geometry, Adaptive)
    return geometry
