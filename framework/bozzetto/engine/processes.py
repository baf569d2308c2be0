"""Processes that train one stage together: what each of them does between the parts of a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from torch import nn

from bozzetto.engine.shares import Share
from bozzetto.engine.system import System
from bozzetto.kinds.geometry import RowChange


class ProcessLostError(RuntimeError):
    """Raised when another process of the training has ended."""


@runtime_checkable
class Processes(Protocol):
    """One process, or several that render shares of the same views."""

    share: Share
    """Part of each batch of views that this process renders."""

    def copy_state(self, system: System) -> None:
        """Give every process the first one's parameters, buffers and random numbers; before the first step."""

    def align(self, system: System) -> None:
        """Give every process the first one's occupancy and random numbers; before the views of a step are drawn."""

    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Average the gradients of parameters over all processes; after a backward pass."""

    def agree(self, changes: Mapping[str, RowChange]) -> Mapping[str, RowChange]:
        """Return the first process's changes of rows; after each step of an adaptive geometry.

        Raises:
            PluginError: another process changes other parameters, or to another number of rows.
        """


class OneProcess:
    """Training in one process: nothing is exchanged."""

    share = Share()

    def copy_state(self, system: System) -> None:
        """Do nothing."""

    def align(self, system: System) -> None:
        """Do nothing."""

    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Do nothing."""

    def agree(self, changes: Mapping[str, RowChange]) -> Mapping[str, RowChange]:
        """Return the changes."""
        return changes
