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
"""Beyond it the tangent, or its inverse, makes cameras that see nothing."""
Jitter = Annotated[float, Range(least=0.0, most=1e3)]
Batch = Annotated[int, Range(least=1, most=4096)]
Sizes = Pixels | tuple[Pixels, ...]


@dataclass(frozen=True)
class OrbitConfig:
    """Cameras that look at the origin from around it. Ranges are `[low, high]`; equal ends fix the value."""

    batch_size: Batch | tuple[Batch, ...] = 1
    """Views per step; a list gives the first size and one per milestone."""
    height: Sizes = 64
    """Image height in training, pixels; a list gives the first size and one per milestone."""
    width: Sizes = 64
    """Image width in training, pixels; a list gives the first size and one per milestone."""
    resolution_milestones: tuple[Step, ...] = ()
    """Steps from which the next entry of `batch_size`, `height` and `width` holds, ascending."""
    elevation_deg: tuple[Latitude, Latitude] = (-10.0, 45.0)
    """Elevation from the horizon, degrees; 90 is straight above."""
    azimuth_deg: tuple[Azimuth, Azimuth] = (-180.0, 180.0)
    """Azimuth, degrees; 0 is the front (+x), 90 is +y."""
    distance: tuple[Length, Length] = (3.0, 3.5)
    """Camera distance in world units; with `relative_distance`, half the height of the frame at the origin."""
    fov_y_deg: tuple[FieldOfView, FieldOfView] = (30.0, 45.0)
    """Vertical field of view, degrees."""
    fov_per_view: bool = True
    """Draw a field of view for each view; false draws one for the whole batch."""
    relative_distance: bool = False
    """Couple distance to field of view (MVDream): camera distance = `distance` / tan(fov_y / 2), so that the object
    keeps its size in the image."""
    stratified_azimuth: bool = True
    """Split the azimuth range into `batch_size` equal parts and draw one view in each."""
    sphere_uniform_rate: Share = 0.5
    """Probability of a view's elevation being uniform on the sphere instead of uniform in angle."""
    position_jitter: Jitter = 0.0
    """Camera position is moved by U[-x, x] along each axis, world units. Early recipes use 0.1."""
    target_jitter_std: Jitter = 0.0
    """Standard deviation of the point looked at along each axis, world units. Early recipes use 0.2."""
    up_jitter_std: Jitter = 0.0
    """Standard deviation added to each component of the up vector (0, 0, 1). Early recipes use 0.02."""
    progressive_until_step: Step = 0
    """All four ranges grow linearly from the evaluation view to full size until this step; 0 starts at full size."""
    eval_elevation_deg: Latitude = 15.0
    """Elevation of the cameras that make pictures for people, degrees."""
    eval_distance: Length = 3.25
    """Distance of the cameras that make pictures for people, always in world units."""
    eval_fov_y_deg: FieldOfView = 40.0
    """Vertical field of view of the cameras that make pictures for people, degrees."""
    eval_height: Pixels = 256
    """Height of pictures for people, pixels."""
    eval_width: Pixels = 256
    """Width of pictures for people, pixels."""

    def __post_init__(self) -> None:
        check_fields(self)
        _check_sizes(self, ("batch_size", "height", "width"))
        for name in ("elevation_deg", "azimuth_deg", "distance", "fov_y_deg"):
            low, high = getattr(self, name)
            if not low <= high:
                raise ValueError(f"{name}: must be [low, high], got [{low}, {high}]")
        if self.azimuth_deg[1] - self.azimuth_deg[0] > 360.0:
            raise ValueError(f"azimuth_deg: must span at most 360 degrees, got {list(self.azimuth_deg)}")

    def pixels_per_step(self) -> int:
        """The most pixels of a step."""
        return max(math.prod(self.size_at(step)) for step in (0, *self.resolution_milestones))

    def size_at(self, step: int) -> tuple[int, int, int]:
        """(batch size, height, width) at a step."""
        batch, height, width = (
            _at(value, self.resolution_milestones, step) for value in (self.batch_size, self.height, self.width)
        )
        return batch, height, width


@dataclass(frozen=True)
class SingleImageConfig:
    """The camera that took a photo. Random views around the object are a task of their own, with `orbit`."""

    image: Annotated[str, FilePath()]
    """File of the photo: PNG, WebP or another format with transparency, or with `matting` any; `${image}` is the
    recipe's."""
    elevation_deg: Latitude | Literal["estimate"] = 0.0
    """Elevation of the camera from the horizon, degrees; `estimate`: the stage's guidance tells it before the first
    step."""
    azimuth_deg: Azimuth = 0.0
    """Azimuth of the camera, degrees; 0 says that the photo shows the object's front."""
    distance: Length = 3.8
    """Distance of the camera from the object's middle, world units."""
    fov_y_deg: FieldOfView = 20.0
    """Vertical field of view of the camera, degrees."""
    height: Sizes = 128
    """Image height in training, pixels; a list gives the first size and one per milestone."""
    width: Sizes = 128
    """Image width in training, pixels; a list gives the first size and one per milestone."""
    resolution_milestones: tuple[Step, ...] = ()
    """Steps from which the next entry of `height` and `width` holds, ascending."""
    matting: Literal["auto", "off"] = "auto"
    """`auto`: a photo without transparency is cut out by rembg, if that is installed and its model is on disk."""
    framing: Literal["auto", "recentre", "keep"] = "auto"
    """`recentre`: the object is moved to the middle of a square of which its longer side takes `object_fraction`.
    `keep`: the photo is only made square. `auto`: recentred unless it lies well already."""
    object_fraction: Annotated[float, Range(least=0.01, most=1.0)] = 0.75
    """Share of the square that the object's longer side takes after recentring."""
    max_side: Annotated[int, Range(least=32, most=8192)] = 1024
    """Larger photos are made smaller than this, pixels."""
    depth: Annotated[str, FilePath(beside="image")] | None = None
    """File of a depth map of the photo's size, greyscale, relative to the photo's folder; null: none."""
    depth_near_is: Literal["bright", "dark"] = "bright"
    """How the depth map shows what is near: `bright` for disparity, as MiDaS and its successors give it."""
    normal: Annotated[str, FilePath(beside="image")] | None = None
    """File of a normal map of the photo's size, relative to its folder: red right, green up, blue toward the camera,
    128 is 0; null: none."""
    eval_elevation_deg: Latitude = 15.0
    """Elevation of the cameras that make pictures for people, degrees."""
    eval_height: Pixels = 256
    """Height of pictures for people, pixels."""
    eval_width: Pixels = 256
    """Width of pictures for people, pixels."""

    def __post_init__(self) -> None:
        if not self.image.strip():
            raise ValueError("image: must name a file; give the recipe one with image=photo.png")
        check_fields(self)
        _check_sizes(self, ("height", "width"))

    def require_readable(self) -> None:
        """Read the photo and its maps as a run will."""
        from bozzetto_plugins.view_source.photo import load_photo

        load_photo(self)

    def check_neighbours(self, stage: Stage, task: Task | None) -> None:
        """Raises `ValueError` if no guidance of the stage can tell the elevation that is to be estimated."""
        guidances = [task.guidance.config for task in stage.tasks if task.guidance]
        if self.elevation_deg == "estimate" and not any(getattr(g, "estimates_elevation", True) for g in guidances):
            raise ValueError("elevation_deg: is to be estimated, and no guidance of this stage can. Give a number")

    def pixels_per_step(self) -> int:
        """The most pixels of a step."""
        return max(math.prod(self.size_at(step)) for step in (0, *self.resolution_milestones))

    def size_at(self, step: int) -> tuple[int, int]:
        """(height, width) at a step."""
        return _at(self.height, self.resolution_milestones, step), _at(self.width, self.resolution_milestones, step)


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
