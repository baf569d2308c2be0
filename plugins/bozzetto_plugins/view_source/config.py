"""Settings of the built-in view sources."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from bozzetto.fields import FilePath, Length, Pixels, Range, Share, Step, check_fields
from bozzetto.recipe import Stage, Task

Latitude = Annotated[float, Range(least=-90.0, most=90.0)]
Azimuth = Annotated[float, Range(least=-360.0, most=360.0)]
FieldOfView = Annotated[float, Range(least=0.1, most=179.0)]
"""Vertical field of view in degrees; beyond these limits cameras degenerate numerically."""
Jitter = Annotated[float, Range(least=0.0, most=1e3)]
Batch = Annotated[int, Range(least=1, most=4096)]
Sizes = Pixels | tuple[Pixels, ...]


@dataclass(frozen=True)
class OrbitConfig:
    """Settings of cameras around the origin that look at it. Ranges are `[low, high]`; equal ends fix the value."""

    batch_size: Batch | tuple[Batch, ...] = 1
    """Views per step; a list gives the initial value and one per milestone. A multiple of `views_per_group`."""
    views_per_group: Annotated[int, Range(least=1, most=64)] = 1
    """Views of a group, for a prior that predicts them jointly (MVDream): consecutive views of the same elevation,
    distance, field of view, jitter, light and background, whose azimuths divide the range equally. 1: no groups."""
    height: Sizes = 64
    """Height of training images, pixels; a list gives the initial value and one per milestone."""
    width: Sizes = 64
    """Width of training images, pixels; a list gives the initial value and one per milestone."""
    resolution_milestones: tuple[Step, ...] = ()
    """Steps at which the next entry of `batch_size`, `height` and `width` takes effect, ascending."""
    elevation_deg: tuple[Latitude, Latitude] = (-10.0, 45.0)
    """Range of elevations, degrees; 0 is the horizon, 90 straight above."""
    azimuth_deg: tuple[Azimuth, Azimuth] = (-180.0, 180.0)
    """Range of azimuths, degrees; 0 is the front (+x), 90 is +y."""
    distance: tuple[Length, Length] = (3.0, 3.5)
    """Range of camera distances, world units; with `relative_distance`, half the frame height at the origin."""
    fov_y_deg: tuple[FieldOfView, FieldOfView] = (30.0, 45.0)
    """Range of vertical fields of view, degrees."""
    fov_per_view: bool = True
    """Draw a field of view per view; false: one for the whole batch."""
    relative_distance: bool = False
    """Couple distance to field of view (MVDream): camera distance = `distance` / tan(fov_y / 2), so that the object
    keeps its size in the image."""
    stratified_azimuth: bool = True
    """Split the azimuth range into `batch_size` equal parts and draw one view in each. Groups are rings anyway."""
    sphere_uniform_rate: Share = 0.5
    """Probability that a view's elevation is drawn uniformly on the sphere instead of uniformly in angle."""
    position_jitter: Jitter = 0.0
    """Jitter of the camera position, uniform in [-x, x] along each axis, world units. Early recipes use 0.1."""
    target_jitter_std: Jitter = 0.0
    """Standard deviation of the look-at point along each axis, world units. Early recipes use 0.2."""
    up_jitter_std: Jitter = 0.0
    """Standard deviation of noise added to each component of the up vector (0, 0, 1). Early recipes use 0.02."""
    progressive_until_step: Step = 0
    """Step until which all four ranges grow linearly from the evaluation view to full size; 0: full size at once."""
    eval_elevation_deg: Latitude = 15.0
    """Elevation of the evaluation cameras, degrees."""
    eval_distance: Length = 3.25
    """Distance of the evaluation cameras, always in world units."""
    eval_fov_y_deg: FieldOfView = 40.0
    """Vertical field of view of the evaluation cameras, degrees."""
    eval_height: Pixels = 256
    """Height of evaluation images, pixels."""
    eval_width: Pixels = 256
    """Width of evaluation images, pixels."""

    def __post_init__(self) -> None:
        check_fields(self)
        _check_sizes(self, ("batch_size", "height", "width"))
        for name in ("elevation_deg", "azimuth_deg", "distance", "fov_y_deg"):
            low, high = getattr(self, name)
            if not low <= high:
                raise ValueError(f"{name}: must be [low, high], got [{low}, {high}]")
        if self.azimuth_deg[1] - self.azimuth_deg[0] > 360.0:
            raise ValueError(f"azimuth_deg: must span at most 360 degrees, got {list(self.azimuth_deg)}")
        self._check_groups()

    def _check_groups(self) -> None:
        each = self.views_per_group
        for size in self._batch_sizes:
            if size % each:
                below = size // each * each
                nearest = f"{below} and {below + each}" if below else f"{each}"
                raise ValueError(
                    f"batch_size: counts views and must be a multiple of views_per_group ({each}), got {size}; the "
                    f"nearest {'are' if below else 'is'} {nearest}"
                )
        if each > 1 and not self.stratified_azimuth:
            raise ValueError(
                f"stratified_azimuth: has no effect with groups, whose views are a ring. Remove it, or set "
                f"views_per_group to 1, got {each}"
            )

    @property
    def _batch_sizes(self) -> tuple[int, ...]:
        return (self.batch_size,) if isinstance(self.batch_size, int) else self.batch_size

    def check_neighbours(self, stage: Stage, task: Task | None) -> None:
        """Raise `ValueError` if the processes of the training cannot render equal shares of the views."""
        devices, each = stage.trainer.devices, self.views_per_group
        if any(size % (devices * each) for size in self._batch_sizes):
            given = self.batch_size if isinstance(self.batch_size, int) else list(self._batch_sizes)
            of = f"trainer.devices ({devices})"
            if each > 1:
                of = f"views_per_group ({each}) times {of}, for a group is not divided among processes"
            raise ValueError(f"batch_size: must be a multiple of {of}, got {given}")

    def pixels_per_step(self) -> int:
        """Return the maximum number of pixels per step."""
        return max(math.prod(self.size_at(step)) for step in (0, *self.resolution_milestones))

    def size_at(self, step: int) -> tuple[int, int, int]:
        """Return (batch size, height, width) at a step."""
        batch, height, width = (
            _at(value, self.resolution_milestones, step) for value in (self.batch_size, self.height, self.width)
        )
        return batch, height, width


@dataclass(frozen=True)
class SingleImageConfig:
    """Settings of a photo and its camera. Random views around the object are a separate task with `orbit`."""

    image: Annotated[str, FilePath()]
    """Photo file: PNG, WebP or another format with transparency, or any supported format with `matting`; `${image}` is
    the recipe's."""
    elevation_deg: Latitude | Literal["estimate"] = 0.0
    """Elevation of the camera above the horizon, degrees; `estimate`: the stage's guidance estimates it before the
    first step."""
    azimuth_deg: Azimuth = 0.0
    """Azimuth of the camera, degrees; 0 means that the photo shows the object's front."""
    distance: Length = 3.8
    """Distance of the camera from the object's centre, world units."""
    fov_y_deg: FieldOfView = 20.0
    """Vertical field of view of the camera, degrees."""
    height: Sizes = 128
    """Height of training images, pixels; a list gives the initial value and one per milestone."""
    width: Sizes = 128
    """Width of training images, pixels; a list gives the initial value and one per milestone."""
    resolution_milestones: tuple[Step, ...] = ()
    """Steps at which the next entry of `height` and `width` takes effect, ascending."""
    matting: Literal["auto", "off"] = "auto"
    """`auto`: segment a photo without transparency with rembg, if it is installed and its model is on disk."""
    framing: Literal["auto", "recentre", "keep"] = "auto"
    """Framing: `recentre` centres the object in a square of which its longer side spans `object_fraction`; `keep` only
    pads the photo to a square; `auto` recentres unless the object is already well framed."""
    object_fraction: Annotated[float, Range(least=0.01, most=1.0)] = 0.75
    """Fraction of the square that the object's longer side spans after recentring."""
    max_side: Annotated[int, Range(least=32, most=8192)] = 1024
    """Larger photos are downsampled to this side, pixels."""
    depth: Annotated[str, FilePath(beside="image")] | None = None
    """Depth map of the photo's size, greyscale, path relative to the photo's folder; null: none."""
    depth_near_is: Literal["bright", "dark"] = "bright"
    """Encoding of near points in the depth map: `bright` for disparity, as from MiDaS and its successors."""
    normal: Annotated[str, FilePath(beside="image")] | None = None
    """Normal map of the photo's size, path relative to its folder: red right, green up, blue toward the camera, 128 is
    0; null: none."""
    eval_elevation_deg: Latitude = 15.0
    """Elevation of the evaluation cameras, degrees."""
    eval_height: Pixels = 256
    """Height of evaluation images, pixels."""
    eval_width: Pixels = 256
    """Width of evaluation images, pixels."""

    def __post_init__(self) -> None:
        if not self.image.strip():
            raise ValueError("image: must name a file; give the recipe one with image=photo.png")
        check_fields(self)
        _check_sizes(self, ("height", "width"))

    def require_readable(self) -> None:
        """Read the photo and its maps as a run does. Raises `ConfigError` if they cannot be used."""
        from bozzetto_plugins.view_source.photo import load_photo

        load_photo(self)

    def check_neighbours(self, stage: Stage, task: Task | None) -> None:
        """Raise `ValueError` if the elevation is to be estimated and no guidance of the stage supports it."""
        guidances = [task.guidance.config for task in stage.tasks if task.guidance]
        if self.elevation_deg == "estimate" and not any(getattr(g, "estimates_elevation", True) for g in guidances):
            raise ValueError("elevation_deg: cannot be estimated by any guidance of this stage. Give a number")

    def pixels_per_step(self) -> int:
        """Return the maximum number of pixels per step."""
        return max(math.prod(self.size_at(step)) for step in (0, *self.resolution_milestones))

    def size_at(self, step: int) -> tuple[int, int]:
        """Return (height, width) at a step."""
        return _at(self.height, self.resolution_milestones, step), _at(self.width, self.resolution_milestones, step)


@dataclass(frozen=True)
class FixedViewsConfig:
    """Settings of a fixed set of cameras on rings around the origin, which look at it."""

    views_per_ring: Annotated[int, Range(least=1, most=1000)] = 10
    """Views of each ring, evenly spaced."""
    elevation_deg: tuple[Latitude, ...] = (-10.0, 15.0, 45.0)
    """Elevation of each ring, degrees; 0 is the horizon. A ring begins a part of the spacing further than the last."""
    distance: Length = 3.2
    """Distance of the cameras from the origin, world units."""
    fov_y_deg: FieldOfView = 40.0
    """Vertical field of view, degrees."""
    batch_size: Batch = 1
    """Views per step, all different; at most the number of views."""
    height: Pixels = 512
    """Height of training images, pixels."""
    width: Pixels = 512
    """Width of training images, pixels."""
    eval_elevation_deg: Latitude = 15.0
    """Elevation of the evaluation cameras, degrees."""
    eval_height: Pixels = 256
    """Height of evaluation images, pixels."""
    eval_width: Pixels = 256
    """Width of evaluation images, pixels."""

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.elevation_deg or len(set(self.elevation_deg)) != len(self.elevation_deg):
            raise ValueError(
                f"elevation_deg: must be different elevations, one or more, got {list(self.elevation_deg)}"
            )
        if self.batch_size > (count := self.views_per_ring * len(self.elevation_deg)):
            raise ValueError(f"batch_size: must be at most the number of views, {count}, got {self.batch_size}")

    def check_neighbours(self, stage: Stage, task: Task | None) -> None:
        """Raise `ValueError` if the processes of the training cannot render equal shares of the views."""
        if self.batch_size % stage.trainer.devices:
            raise ValueError(
                f"batch_size: must be a multiple of trainer.devices ({stage.trainer.devices}), got {self.batch_size}"
            )

    def pixels_per_step(self) -> int:
        """Return the number of pixels per step."""
        return math.prod(self.size_at(0))

    def size_at(self, step: int) -> tuple[int, int, int]:
        """Return (batch size, height, width), which are those of every step."""
        return self.batch_size, self.height, self.width


def _at(sizes: Sizes, milestones: tuple[int, ...], step: int) -> int:
    return sizes if isinstance(sizes, int) else sizes[sum(step >= milestone for milestone in milestones)]


def _check_sizes(config: OrbitConfig | SingleImageConfig, names: tuple[str, ...]) -> None:
    milestones = config.resolution_milestones
    if any(step < 1 for step in milestones) or list(milestones) != sorted(set(milestones)):
        raise ValueError(f"resolution_milestones: must be ascending steps from 1 on, got {list(milestones)}")
    for name in names:
        value = getattr(config, name)
        sizes = (value,) if isinstance(value, int) else value
        if not sizes:
            raise ValueError(f"{name}: must be at least 1, got {list(sizes)}")
        if not isinstance(value, int) and len(sizes) != len(milestones) + 1:
            raise ValueError(
                f"{name}: needs {len(milestones) + 1} entries, the first and one for each of the "
                f"{len(milestones)} resolution_milestones, got {list(sizes)}"
            )
