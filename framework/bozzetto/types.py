"""The records that cross borders: frozen, with shapes that the tests check.

Frames: the world is right-handed with z up; a camera at azimuth 0 sits on +x and looks at the origin; azimuth grows
toward +y; elevation counts from the horizon. A camera is OpenGL's: x right, y up, looking along -z.
Letters in shapes: B views, H W pixels, C channels, R rays, S samples, F features, N tokens, E token width, K negatives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from types import MappingProxyType
from typing import Any, Literal, TypeVar, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bozzetto.math.cameras import azimuth_deg, elevation_deg, ray_directions
from bozzetto.math.rows import rows_at

Space = Literal["rgb", "latent"]
ShadingMode = Literal["albedo", "textureless", "lambertian", "normal"]
Record = TypeVar("Record")

EMPTY: Mapping[str, Any] = MappingProxyType({})


def to_device(record: Record, device: torch.device) -> Record:
    """The same record with every tensor on `device`."""
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
    """A batch of pinhole cameras of one image size. Facts are stored once; angles and distance are derived."""

    c2w: Float[Tensor, "B 4 4"]
    """Camera to world, OpenGL camera, determinant +1."""
    fov_y_rad: Float[Tensor, "B"]
    """Vertical field of view, radians."""
    height: int
    """Pixels."""
    width: int
    """Pixels."""

    def __len__(self) -> int:
        return self.c2w.shape[0]

    @property
    def position(self) -> Float[Tensor, "B 3"]:
        return self.c2w[:, :3, 3]

    @property
    def distance(self) -> Float[Tensor, "B"]:
        distance: Tensor = self.position.norm(dim=-1)
        return distance

    @property
    def azimuth_deg(self) -> Float[Tensor, "B"]:
        """In (-180, 180]: 0 is the front, 90 is +y."""
        return azimuth_deg(self.position)

    @property
    def elevation_deg(self) -> Float[Tensor, "B"]:
        """In [-90, 90]: 90 is straight above."""
        return elevation_deg(self.position)

    def rays(self) -> Rays:
        """One ray through each pixel centre, views outermost, rows from the top."""
        direction = ray_directions(self.c2w, self.fov_y_rad, self.height, self.width)
        origin = self.position[:, None, None].expand_as(direction)
        return Rays(origin.reshape(-1, 3), direction.reshape(-1, 3), (len(self), self.height, self.width))


@dataclass(frozen=True)
class Rays:
    """Rays of whole images, flattened."""

    origin: Float[Tensor, "R 3"]
    direction: Float[Tensor, "R 3"]
    """Unit length."""
    image_shape: tuple[int, int, int]
    """(B, H, W) with B * H * W = R."""

    def __len__(self) -> int:
        return self.origin.shape[0]

    def view_of(self, ray: Int[Tensor, "S"]) -> Int[Tensor, "S"]:
        """Which view each of the given rays belongs to."""
        _, height, width = self.image_shape
        return torch.div(ray, height * width, rounding_mode="floor")


@dataclass(frozen=True)
class Samples:
    """Intervals along rays, packed: the samples of ray r are rows `offsets[r]` to `offsets[r + 1]`, near to far."""

    t_start: Float[Tensor, "S"]
    t_end: Float[Tensor, "S"]
    ray: Int[Tensor, "S"]
    offsets: Int[Tensor, "R1"]
    """R + 1 row numbers."""
    rays: Rays

    def __len__(self) -> int:
        return self.t_start.shape[0]

    @property
    def t_mid(self) -> Float[Tensor, "S"]:
        return 0.5 * (self.t_start + self.t_end)

    @property
    def direction(self) -> Float[Tensor, "S 3"]:
        """Unit, of the ray that each interval lies on."""
        return rows_at(self.rays.direction, self.ray)

    @property
    def points(self) -> Float[Tensor, "S 3"]:
        """World position of each interval's middle."""
        return rows_at(self.rays.origin, self.ray) + self.t_mid[:, None] * self.direction


@dataclass(frozen=True)
class FieldOutput:
    """What a geometry says at S points."""

    features: Float[Tensor, "S F"]
    """Raw material features, before any activation."""
    density: Float[Tensor, "S"] | None = None
    """At least 0, per world unit; None for a signed distance field."""
    sdf: Float[Tensor, "S"] | None = None
    """World units, negative inside; None for a density field."""
    normal: Float[Tensor, "S 3"] | None = None
    """Unit length, pointing out of the object; None unless asked for."""
    extra: Mapping[str, Tensor] = field(default_factory=lambda: EMPTY)


@dataclass(frozen=True)
class Shading:
    """How the views of one step are lit. Made by the material, handed to the renderer and back to the material."""

    mode: ShadingMode
    light: Float[Tensor, "B 3"]
    """Plane light: unit direction toward the light. Point light: its world position. One per view."""
    ambient: Float[Tensor, "B 3"]
    """Ambient light per view and colour channel, in [0, 1]."""
    diffuse: Float[Tensor, "B 3"]
    """Diffuse light per view and colour channel, in [0, 1]."""

    @property
    def needs_normal(self) -> bool:
        return self.mode != "albedo"


@dataclass(frozen=True)
class VolumeSamples:
    """What a volume renderer saw along its rays; losses on samples read this."""

    samples: Samples
    weights: Float[Tensor, "S"]
    """Transmittance times opacity, in [0, 1]."""
    normal: Float[Tensor, "S 3"] | None = None


@dataclass(frozen=True)
class Rendered:
    """What a renderer gives, whether from a volume or a mesh."""

    image: Float[Tensor, "B H W C"]
    """RGB in [0, 1] over the background (`space="rgb"`), or latents as they are (`space="latent"`)."""
    opacity: Float[Tensor, "B H W 1"]
    depth: Float[Tensor, "B H W 1"]
    """Expected distance along the ray, world units; 0 where nothing is hit."""
    normal: Float[Tensor, "B H W 3"] | None = None
    """World-space normal weighted by opacity, components in [-1, 1]."""
    space: Space = "rgb"
    volume: VolumeSamples | None = None
    mesh: Mesh | None = None
    """The surface that a mesh renderer drew; losses on meshes read this."""


@dataclass(frozen=True)
class Reference:
    """A photo of the object and the camera that took it."""

    image: Float[Tensor, "H W 3"]
    """RGB in [0, 1], not multiplied by `mask`; without meaning where that is 0."""
    mask: Float[Tensor, "H W 1"]
    """How much of a pixel is object, in [0, 1]."""
    camera: Cameras
    """One view, of the photo's size."""
    depth: Float[Tensor, "H W 1"] | None = None
    """Growing with the distance from the camera; scale and offset unknown."""
    normal: Float[Tensor, "H W 3"] | None = None
    """Unit normals in the camera's frame: x right, y up, z toward the camera."""


@dataclass(frozen=True)
class ViewCondition:
    """The conditioning of B views: texts, and photos that all views share."""

    text: Float[Tensor, "B N E"]
    uncond: Float[Tensor, "B N E"]
    """Embedding of the negative prompt."""
    negatives: Float[Tensor, "B K N E"] | None = None
    """View prompts to push away from (Perp-Neg)."""
    negative_weights: Float[Tensor, "B K"] | None = None
    """At most 0."""
    references: tuple[Reference, ...] = ()
    """Photos of the object, for a guidance that declares `needs={"reference"}`."""


@dataclass(frozen=True)
class Guided:
    """What a guidance says about one batch of views."""

    losses: Mapping[str, Float[Tensor, ""]]
    timestep: Int[Tensor, "B"]
    gradients: Mapping[str, tuple[Tensor, Tensor]] = field(default_factory=lambda: EMPTY)
    """By loss name: a tensor and the gradient to back-propagate from it, for forms that have no scalar."""
    metrics: Mapping[str, float] = field(default_factory=lambda: EMPTY)
    """Numbers worth logging that are not losses, e.g. the norm of the gradient."""
    debug: Callable[[], Mapping[str, Float[Tensor, "B H W 3"]]] | None = None
    """Draws pictures when called; costs nothing otherwise."""


@dataclass(frozen=True)
class LossInputs:
    """Everything a loss term may read."""

    rendered: Rendered
    cameras: Cameras
    geometry: Any
    """The `bozzetto.kinds.geometry.Geometry` of the scene."""
    step: int
    generator: torch.Generator
    reference: Reference | None = None
    """The photo that the task's view source looks at, if it has one."""


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh in world coordinates (z up), optionally with UVs and one base-colour texture."""

    vertices: Float[Tensor, "V 3"]
    faces: Int[Tensor, "T 3"]
    """Counter-clockwise seen from outside."""
    uvs: Float[Tensor, "V 2"] | None = None
    """In [0, 1], origin at the lower left of the texture."""
    texture: Float[Tensor, "TH TW 3"] | None = None
    """sRGB values in [0, 1], row 0 at the top."""
