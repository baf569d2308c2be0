"""Share of each batch of views that one of several processes renders."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from bozzetto.errors import ConfigError
from bozzetto.math.seeds import seed_at
from bozzetto.math.view_draws import share_generator
from bozzetto.types import Cameras, Shading

Record = TypeVar("Record")


@dataclass(frozen=True)
class Share:
    """Part `rank` of `count` equal parts of the views of each batch."""

    rank: int = 0
    count: int = 1

    def generator(self, whole: torch.Generator, step: int) -> torch.Generator:
        """Return the generator for rendering and judging the views of a step.

        Args:
            whole: generator that has drawn the views, in the same state in every process.
        """
        if self.count == 1:
            return whole
        return share_generator(whole, self.rank, self.count, seed_at(whole.initial_seed(), step, self.rank))

    def of(self, cameras: Cameras, shading: Shading, task: str) -> tuple[Cameras, Shading]:
        """Return the views of this part, and their lighting.

        Args:
            task: name of the views' task, for the message.

        Raises:
            ConfigError: the views, or their groups, cannot be divided equally.
        """
        if self.count == 1:
            return cameras, shading
        groups = len(cameras) // cameras.views_per_group
        if groups % self.count:
            joint = cameras.views_per_group > 1
            what = f"{groups} groups of {cameras.views_per_group} views" if joint else f"{groups} views"
            raise ConfigError(
                f"system.tasks.{task}.views: a step of {what} cannot be divided among {self.count} processes. Make the "
                f"number of {'groups' if joint else 'views'} a multiple of trainer.devices, or set trainer.devices=1."
            )
        each = len(cameras) // self.count
        part = slice(self.rank * each, (self.rank + 1) * each)
        return _rows(cameras, part), _rows(shading, part)


def _rows(record: Record, part: slice) -> Record:
    """Return a record with some rows of each of its tensors."""
    data: Any = cast(Any, record)
    values = {item.name: getattr(data, item.name) for item in fields(data)}
    chosen: Record = replace(data, **{name: value[part] for name, value in values.items() if isinstance(value, Tensor)})
    return chosen
