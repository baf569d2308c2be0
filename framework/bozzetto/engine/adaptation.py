"""Parameters whose number of rows changes during training, with their optimiser state; any other change is refused."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bozzetto.engine.processes import Processes
from bozzetto.engine.system import System
from bozzetto.errors import PluginError, did_you_mean
from bozzetto.kinds.geometry import Adaptive, RowChange, module

CONTRACT = "bozzetto.kinds.geometry.Adaptive"


class KnownParameters:
    """Parameters that the optimiser trains: their identities and shapes, compared in each step without device access.

    An optimiser step on a parameter of another shape than its state reads beyond the state's end.
    """

    def __init__(self, system: System) -> None:
        self._known = {name: (parameter, parameter.shape) for name, parameter in system.named_parameters()}

    def accept(self, name: str, parameter: nn.Parameter) -> None:
        """Know a parameter that has replaced another by the contract."""
        self._known[name] = (parameter, parameter.shape)

    def require_same(self, system: System, step: int) -> None:
        """Require that the parameters are those that the optimiser knows.

        Raises:
            PluginError: one was replaced, resized, added or removed; the message names it and its component.
        """
        found = dict(system.named_parameters())
        for name, parameter in found.items():
            before, shape = self._known.get(name, (None, parameter.shape))
            if parameter is not before or parameter.shape != shape:
                raise _changed(system, name, _difference(before, shape, parameter), step)
        if len(found) != len(self._known):
            name = next(name for name in self._known if name not in found)
            raise _changed(system, name, "was removed", step)


def adapt(
    system: System, optimizer: torch.optim.Optimizer, known: KnownParameters, processes: Processes, done: int
) -> None:
    """Let an adaptive geometry change its rows after a step, and move the optimiser's state with them.

    Raises:
        PluginError: the geometry breaks the contract.
    """
    geometry = system.geometry
    if not isinstance(geometry, Adaptive):
        return
    owner = module(geometry)
    with torch.no_grad():
        changes = geometry.adapt(done, system.generator) or {}
        for name, change in changes.items():
            require_fitting(owner, name, change, done)
        changes = processes.agree(changes)
        for name, change in changes.items():
            known.accept(f"geometry.{name}", replace_rows(owner, name, change, optimizer))
    known.require_same(system, done)


def replace_rows(geometry: nn.Module, name: str, change: RowChange, optimizer: torch.optim.Optimizer) -> nn.Parameter:
    """Replace a parameter by its new rows, in the module and in the optimiser, and return it.

    State of the parameter's shape goes with the rows; other state, the count of steps, stays.
    """
    old = geometry.get_parameter(name)
    new = nn.Parameter(change.values.detach().clone(memory_format=torch.contiguous_format), old.requires_grad)
    _put(geometry, name, new)
    for group in optimizer.param_groups:
        group["params"] = [new if parameter is old else parameter for parameter in group["params"]]
    if old in optimizer.state:
        optimizer.state[new] = {
            key: _moved(value, change) if isinstance(value, Tensor) and value.shape == old.shape else value
            for key, value in optimizer.state.pop(old).items()
        }
    return new


def take_rows(geometry: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Resize parameters and buffers of an adaptive geometry to the rows of `state`, which can then be loaded.

    Parameters whose other dimensions differ stay; loading reports them.
    """
    for name, own in [*geometry.named_parameters(), *geometry.named_buffers()]:
        saved = state.get(name)
        if saved is None or saved.ndim == 0 or saved.ndim != own.ndim:
            continue
        if saved.shape != own.shape and saved.shape[1:] == own.shape[1:]:
            resized = own.new_zeros(saved.shape)
            is_parameter = isinstance(own, nn.Parameter)
            _put(geometry, name, nn.Parameter(resized, own.requires_grad) if is_parameter else resized)


def _moved(state: Tensor, change: RowChange) -> Tensor:
    """Return the optimiser state of the new rows."""
    fresh = change.fresh.view(-1, *[1] * (state.ndim - 1))
    return state.index_select(0, change.source).masked_fill_(fresh, 0.0)


def require_fitting(geometry: nn.Module, name: str, change: RowChange, done: int) -> None:
    """Raise `PluginError` if a change does not fit its parameter; reads its indices."""
    parameters, where = (
        dict(geometry.named_parameters()),
        f"geometry {type(geometry).__name__}: adapt after step {done}",
    )
    if name not in parameters:
        raise PluginError(f"{where} changes {name!r}, which is no parameter.{did_you_mean(name, parameters)}")
    old, rows = parameters[name], len(change.source)
    if change.values.shape != (rows, *old.shape[1:]) or old.ndim == 0 or rows == 0 or change.fresh.shape != (rows,):
        why = (
            f"values {tuple(change.values.shape)}, source {tuple(change.source.shape)} and fresh "
            f"{tuple(change.fresh.shape)} are not the rows of a parameter {tuple(old.shape)}"
        )
    elif change.values.dtype != old.dtype or change.values.device != old.device:
        why = f"the values are {change.values.dtype} on {change.values.device}, not {old.dtype} on {old.device}"
    elif change.source.dtype != torch.int64 or change.fresh.dtype != torch.bool:
        why = f"source is {change.source.dtype} and fresh {change.fresh.dtype}, not torch.int64 and torch.bool"
    elif change.source.device != old.device or change.fresh.device != old.device:
        why = f"source is on {change.source.device} and fresh on {change.fresh.device}, not on {old.device}"
    elif int(change.source.min()) < 0 or int(change.source.max()) >= len(old):
        why = f"source names rows outside of 0 to {len(old) - 1}"
    else:
        return
    raise PluginError(f"{where}, of {name}: {why}. Contract: {CONTRACT}. Report this to its author.")


def _put(owner: nn.Module, name: str, value: Tensor) -> None:
    """Set a parameter or buffer by its dotted name."""
    path, _, leaf = name.rpartition(".")
    setattr(owner.get_submodule(path), leaf, value)


def _difference(before: nn.Parameter | None, shape: torch.Size, now: nn.Parameter) -> str:
    if before is None:
        return "was added"
    if now.shape != shape:
        return f"has the shape {tuple(now.shape)} and had {tuple(shape)}"
    return "was replaced by another object"


def _changed(system: System, name: str, what: str, step: int) -> PluginError:
    part = name.partition(".")[0]
    return PluginError(
        f"{part} {type(getattr(system, part, None)).__name__}: its parameter {name} {what} at step {step}, unknown to "
        f"the optimiser. A geometry changes the rows of its parameters by the contract {CONTRACT} alone; other "
        "parts keep theirs. Report this to its author."
    )
