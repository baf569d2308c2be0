"""Photos of the object: gathered from the view sources of a stage, handed to the guidances that need them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from bozzetto.errors import ConfigError
from bozzetto.kinds.guidance import ElevationEstimator, Guidance
from bozzetto.kinds.prompt_processor import Condition
from bozzetto.kinds.view_source import ReferenceSource, ViewSource
from bozzetto.types import Cameras, Reference, ViewCondition

NEEDS = "reference"
"""What a guidance or loss that reads photos says in its manifest's `needs`, and a view source in `provides`."""


@dataclass(frozen=True)
class WithReferences:
    """A condition that also holds photos."""

    condition: Condition
    references: tuple[Reference, ...]

    def for_view(self, cameras: Cameras) -> ViewCondition:
        """The conditioning of each camera, the photos with it."""
        return replace(self.condition.for_view(cameras), references=self.references)


def gather(views: Sequence[ViewSource], device: torch.device) -> tuple[Reference, ...]:
    """The photos of all view sources that have one, in order."""
    return tuple(source.reference(device) for source in views if isinstance(source, ReferenceSource))


def estimate_elevations(
    views: Sequence[ViewSource], guidances: Sequence[Guidance], device: torch.device, seed: int,
    report: Callable[[str], None],
) -> None:  # fmt: skip
    """Let a guidance tell from how high each photo was taken of which that is not known.

    Raises:
        ConfigError: no guidance of the stage can.
    """
    unknown = [source for source in views if isinstance(source, ReferenceSource) and source.elevation_deg is None]
    if not unknown:
        return
    able = [guidance for guidance in guidances if isinstance(guidance, ElevationEstimator)]
    if not able:
        raise ConfigError("The photo's elevation_deg is to be estimated, and no guidance of this stage can. Give it.")
    for source in unknown:
        source.elevation_deg = 0.0
        generator = torch.Generator(device=device).manual_seed(seed)
        source.elevation_deg = able[0].estimate_elevation_deg(source.reference(device), generator)
        report(f"notice    the photo seems to be taken from an elevation of {source.elevation_deg:g} degrees")
