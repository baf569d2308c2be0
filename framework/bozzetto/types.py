"""Frozen records exchanged between components, with shape annotations checked by the tests.

Frames: the world is right-handed with z up; a camera at azimuth 0 is on +x and looks at the origin; azimuth increases
toward +y; elevation is measured from the horizon. Cameras follow OpenGL: x right, y up, looking along -z.

Dimensions: B views, H W pixels, C channels, R rays, S samples, F features, N tokens, E token width, K negatives.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from types import MappingProxyType
from typing import Any, Literal, TypeVar, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bozzetto.math.cameras import azimuth_deg, elevation_deg, ray_directions
from bozzetto.math.projection import clip_positions
from bozzetto.math.rows import rows_at

__all__ = [
    "EMPTY", "Cameras", "FieldOutput", "Guided", "LossInputs", "Rays", "Reference", "Rendered", "Samples", "Shading",
    "ShadingMode", "Space", "TriangleMesh", "ViewCondition", "VolumeSamples", "to_device",
]  # fmt: skip

Space = Literal["rgb", "latent"]
ShadingMode = Literal["albedo", "textureless", "lambertian", "normal"]
Record = TypeVar("Record")

NEAREST = 1e-3
"""Minimum near-plane distance as a fraction of the scene's radius."""

EMPTY: Mapping[str, Any] = MappingProxyType({})


def to_device(record: Record, device: torch.device) -> Record:
    """Return the record with every tensor on `device`."""
    if not is_dataclass(record):
        raise TypeError(f"{type(record).__name__} is not a record")
    moved = {}
    for item in fields(record):
        value = getattr(record, item.name)
        if isinstance(value, Tensor) or is_dataclass(value):
            moved[item.name] = value.to(device) if isinstance(value, Tensor) else to_device(value, device)
    changed: Record = replace(cast(Any, record), **moved)  # no bound of a type variable says "a dataclass"
    return changed


@dataclass(frozen=True)
class Cameras:
    """Batch of pinhole cameras of one image size; angles and distance are derived from the poses."""

    c2w: Float[Tensor, "B 4 4"]
    """Camera-to-world matrices of OpenGL cameras, determinant +1."""
    fov_y_rad: Float[Tensor, "B"]
    """Vertical field of view, radians."""
    height: int
    """Image height in pixels."""
    width: int
    """Image width in pixels."""
    views_per_group: int = 1
    """Consecutive views with one light and background, for a prior that predicts them jointly; 1: no groups."""

    def __post_init__(self) -> None:
        if self.views_per_group < 1 or len(self) % self.views_per_group:
            raise ValueError(f"{len(self)} views are not a whole number of groups of {self.views_per_group}")

    def __len__(self) -> int:
        return self.c2w.shape[0]

    @property
    def position(self) -> Float[Tensor, "B 3"]:
        """Camera positions in world coordinates."""
        return self.c2w[:, :3, 3]

    @property
    def distance(self) -> Float[Tensor, "B"]:
        """Distance from the origin, world units."""
        distance: Tensor = self.position.norm(dim=-1)
        return distance

    @property
    def azimuth_deg(self) -> Float[Tensor, "B"]:
        """Azimuth in (-180, 180], degrees: 0 is the front, 90 is +y."""
        return azimuth_deg(self.position)

    @property
    def elevation_deg(self) -> Float[Tensor, "B"]:
        """Elevation in [-90, 90], degrees: 90 is straight above."""
        return elevation_deg(self.position)

    def clip_positions(self, vertices: Float[Tensor, "V 3"], radius: float) -> Float[Tensor, "B V 4"]:
        """Project (`math.projection.clip_positions`), with planes that just enclose the cube [-radius, radius]^3."""
        reach = 1.01 * (math.sqrt(3.0) * radius)
        near = (self.distance - reach).clamp(min=NEAREST * radius)
        return clip_positions(vertices, self.c2w, self.fov_y_rad, self.height, self.width, near, self.distance + reach)

    def rays(self) -> Rays:
        """Return one ray through each pixel centre, views outermost, rows from the top."""
        direction = ray_directions(self.c2w, self.fov_y_rad, self.height, self.width)
        origin = self.position[:, None, None].expand_as(direction)
        shape = (len(self), self.height, self.width)
        return Rays(origin.reshape(-1, 3), direction.reshape(-1, 3), shape, self.views_per_group)


@dataclass(frozen=True)
class Rays:
    """Rays of whole images, flattened."""

    origin: Float[Tensor, "R 3"]
    direction: Float[Tensor, "R 3"]
    """Unit directions."""
    image_shape: tuple[int, int, int]
    """(B, H, W) with B * H * W = R."""
    views_per_group: int = 1
    """That of the cameras."""

    def __len__(self) -> int:
        return self.origin.shape[0]

    def view_of(self, ray: Int[Tensor, "S"]) -> Int[Tensor, "S"]:
        """Return the view index of the given rays."""
        _, height, width = self.image_shape
        return torch.div(ray, height * width, rounding_mode="floor")


@dataclass(frozen=True)
class Samples:
    """Packed intervals along rays: the samples of ray r are rows `offsets[r]` to `offsets[r + 1]`, near to far."""

    t_start: Float[Tensor, "S"]
    t_end: Float[Tensor, "S"]
    ray: Int[Tensor, "S"]
    offsets: Int[Tensor, "R1"]
    """R + 1 row numbers at which rays start."""
    rays: Rays

    def __len__(self) -> int:
        return self.t_start.shape[0]

    @property
    def t_mid(self) -> Float[Tensor, "S"]:
        """Distance along the ray of each interval's midpoint, world units."""
        return 0.5 * (self.t_start + self.t_end)

    @property
    def direction(self) -> Float[Tensor, "S 3"]:
        """Unit ray direction of each sample."""
        return rows_at(self.rays.direction, self.ray)

    @property
    def points(self) -> Float[Tensor, "S 3"]:
        """World position of each interval's midpoint."""
        return rows_at(self.rays.origin, self.ray) + self.t_mid[:, None] * self.direction


@dataclass(frozen=True)
class FieldOutput:
    """Output of a geometry at S points."""

    features: Float[Tensor, "S F"]
    """Raw material features, before any activation."""
    density: Float[Tensor, "S"] | None = None
    """Non-negative, per world unit; None for a surface."""
    sdf: Float[Tensor, "S"] | None = None
    """World units, negative inside; None for a field of densities alone."""
    normal: Float[Tensor, "S 3"] | None = None
    """Unit length, pointing out of the object; None unless requested."""
    extra: Mapping[str, Tensor] = field(default_factory=lambda: EMPTY)


@dataclass(frozen=True)
class Shading:
    """Lighting of the views of one step. Created by the material, passed to the renderer and back to the material."""

    mode: ShadingMode
    light: Float[Tensor, "B 3"]
    """Plane light: unit direction toward the light. Point light: its world position. One per view."""
    ambient: Float[Tensor, "B 3"]
    """Ambient light per view and colour channel, in [0, 1]."""
    diffuse: Float[Tensor, "B 3"]
    """Diffuse light per view and colour channel, in [0, 1]."""
    space: Space = "rgb"
    """What the material gives: colours, or latents of a diffusion model."""

    @property
    def needs_normal(self) -> bool:
        """True if the mode reads normals; false for unlit shading."""
        return self.mode != "albedo"


@dataclass(frozen=True)
class VolumeSamples:
    """Samples of a volume renderer along its rays, for losses on samples."""

    samples: Samples
    weights: Float[Tensor, "S"]
    """Transmittance times opacity, in [0, 1]."""
    normal: Float[Tensor, "S 3"] | None = None


@dataclass(frozen=True)
class Rendered:
    """Output of a renderer, volume or mesh."""

    image: Float[Tensor, "B H W C"]
    """RGB in [0, 1] over the background (`space="rgb"`), or unbounded latents (`space="latent"`)."""
    opacity: Float[Tensor, "B H W 1"]
    depth: Float[Tensor, "B H W 1"]
    """Expected distance along the ray, world units; 0 where nothing is hit."""
    normal: Float[Tensor, "B H W 3"] | None = None
    """World-space normal weighted by opacity, components in [-1, 1]."""
    space: Space = "rgb"
    volume: VolumeSamples | None = None
    mesh: TriangleMesh | None = None
    """Surface rendered by a mesh renderer, for losses on meshes."""


@dataclass(frozen=True)
class Reference:
    """Photo of the object and its camera."""

    image: Float[Tensor, "H W 3"]
    """RGB in [0, 1], not multiplied by `mask`; undefined where the mask is 0."""
    mask: Float[Tensor, "H W 1"]
    """Foreground mask: fraction of each pixel covered by the object, in [0, 1]."""
    camera: Cameras
    """One view with the photo's size."""
    depth: Float[Tensor, "H W 1"] | None = None
    """Increases with the distance from the camera; scale and offset unknown."""
    normal: Float[Tensor, "H W 3"] | None = None
    """Unit normals in the camera's frame: x right, y up, z toward the camera."""


@dataclass(frozen=True)
class ViewCondition:
    """Conditioning of B views: texts, and photos shared by all views."""

    text: Float[Tensor, "B N E"]
    uncond: Float[Tensor, "B N E"]
    """Embedding of the negative prompt."""
    empty: Float[Tensor, "B N E"] | None = None
    """Embedding of the empty prompt."""
    plain: Float[Tensor, "B N E"] | None = None
    """Embedding of the prompt without words for the view."""
    negatives: Float[Tensor, "B K N E"] | None = None
    """Embeddings of Perp-Neg's negative view prompts."""
    negative_weights: Float[Tensor, "B K"] | None = None
    """Non-positive."""
    references: tuple[Reference, ...] = ()
    """Photos of the object, for a guidance that declares `needs={"reference"}`."""


@dataclass(frozen=True)
class Guided:
    """Output of a guidance for a batch of views."""

    losses: Mapping[str, Float[Tensor, ""]]
    timestep: Int[Tensor, "B"]
    gradients: Mapping[str, tuple[Tensor, Tensor]] = field(default_factory=lambda: EMPTY)
    """Tensor and gradient to back-propagate from it, by loss name, for forms without a scalar."""
    metrics: Mapping[str, float | Float[Tensor, ""]] = field(default_factory=lambda: EMPTY)
    """Metrics that are not losses, e.g. the gradient norm. Leave scalars on their device: they are read when logged."""
    debug: Callable[[], Mapping[str, Float[Tensor, "B H W 3"]]] | None = None
    """Renders debug images when called."""
    fit: Callable[[], Float[Tensor, ""]] | None = None
    """Loss of the guidance's own module at these views, without gradient to the scene: `bozzetto.kinds.trainable`."""


@dataclass(frozen=True)
class LossInputs:
    """Inputs of a loss."""

    rendered: Rendered
    cameras: Cameras
    geometry: Any
    """`bozzetto.kinds.geometry.Geometry` of the scene."""
    step: int
    generator: torch.Generator
    reference: Reference | None = None
    """Photo of the task's view source, if it has one."""


@dataclass(frozen=True)
class TriangleMesh:
    """Triangle mesh in world coordinates (z up), optionally with UVs and one base-colour texture."""

    vertices: Float[Tensor, "V 3"]
    faces: Int[Tensor, "T 3"]
    """Counter-clockwise seen from outside."""
    uvs: Float[Tensor, "V 2"] | None = None
    """In [0, 1], origin at the lower left of the texture."""
    texture: Float[Tensor, "TH TW 3"] | None = None
    """sRGB values in [0, 1], row 0 at the top."""
    closed: bool = False
    """True if each edge is known to be a side of exactly two triangles."""
