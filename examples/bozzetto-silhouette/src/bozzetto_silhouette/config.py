"""Settings of `silhouette` and `silhouettes`. Does not import torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from bozzetto.fields import FilePath


@dataclass(frozen=True)
class SilhouetteConfig:
    """Settings of `silhouette`. Its weight is set in the recipe."""

    mask: Annotated[str, FilePath(or_name=True)] = "heart"
    """Mask image: a file, or the name of one included in the package: `heart`, `star`."""

    def __post_init__(self) -> None:
        if not self.mask.strip():
            raise ValueError("mask: must be a file, or the name of a picture that comes with the package")


@dataclass(frozen=True)
class SilhouettesConfig:
    """Settings of `silhouettes`."""

    views: int = 4
    """Number of images, evenly around the object, the front first."""
    threshold: float = 0.5
    """Opacity from which a pixel counts as foreground."""

    def __post_init__(self) -> None:
        if self.views < 1:
            raise ValueError(f"views: must be at least 1, got {self.views}")
        if not 0.0 < self.threshold < 1.0:
            raise ValueError(f"threshold: must lie in (0, 1), got {self.threshold}")
