"""Photos of the object: gathered from a stage's view sources and passed to the guidances that require them."""

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
"""Capability of photos: in `needs` of a guidance or loss, and in `provides` of a view source."""


@dataclass(frozen=True)
class WithReferences:
    """Condition with photos."""

    condition: Condition
    references: tuple[Reference, ...]

    def for_view(self, cameras: Cameras) -> ViewCondition:
        """Return the conditioning of each camera, including the photos."""
        return replace(self.condition.for_view(cameras), references=self.references)


def gather(views: Sequence[ViewSource], device: torch.device) -> tuple[Reference, ...]:
    """Return the photos of all view sources that have one, in order."""
    return tuple(source.reference(device) for source in views if isinstance(source, ReferenceSource))


def estimate_elevations(
    views: Sequence[ViewSource], guidances: Sequence[Guidance], device: torch.device, seed: int,
    report: Callable[[str], None],
) -> None:  # fmt: skip
    """Estimate missing photo elevations with a guidance of the stage.

    Raises:
        ConfigError: no guidance of the stage supports it.
    """
    unknown = [source for source in views if isinstance(source, ReferenceSource) and source.elevation_deg is None]
    if not unknown:
        return
    able = [guidance for guidance in guidances if isinstance(guidance, ElevationEstimator)]
    if not able:
        raise ConfigError("The photo's elevation_deg cannot be estimated by any guidance of this stage. Give a number.")
    for source in unknown:
        source.elevation_deg = 0.0
        generator = torch.Generator(device=device).manual_seed(seed)
        source.elevation_deg = able[0].estimate_elevation_deg(source.reference(device), generator)
        report(f"notice    the photo seems to be taken from an elevation of {source.elevation_deg:g} degrees")
