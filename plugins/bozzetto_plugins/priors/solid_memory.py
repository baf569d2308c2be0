"""Memory of solids: compact radiance fields of many things, about sixty kilobytes per thing."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Int8, UInt8
from torch import Tensor, nn

from bozzetto.kernels.api import composite, hash_encode, march, mlp
from bozzetto.kernels.grid_spec import GridSpec
from bozzetto.types import Rays

BITS = 8
"""Occupancy cells per byte."""
LARGEST = 127.0
"""Quantised value of the largest feature of a level."""
CHANNELS = 6
"""Outputs per point: log density, colour (3), paintability, and the tone of the paint."""
MOST_TONE = 1.25
DENSEST = 7.5
"""Maximum log density, per unit of box coordinates."""
MOST_STEPS = 4096


class Drawing(NamedTuple):
    """Renders of B things, without background."""

    colour: Float[Tensor, "B H W 3"]
    """Colour in [0, 1], multiplied by opacity."""
    opacity: Float[Tensor, "B H W 1"]


class Placement(NamedTuple):
    """Placement of B things in the world: stretched and shifted in their own axes, then turned about the vertical."""

    turn_rad: Float[Tensor, "B"]
    """Angle added to a camera's azimuth to get the side of the thing that it sees, radians."""
    log_stretch: Float[Tensor, "B 3"]
    """Logarithm of the stretch along the thing's own axes, about its own origin."""
    shift: Float[Tensor, "B 3"]
    """Shift along the thing's own axes, world units."""


class SolidMemory(nn.Module):
    """N radiance fields, each a hash grid of 8-bit features and a small MLP in the bounding box of its thing.

    A thing's field provides density, a colour with baked soft light, and for paintable parts a tone, so that they can
    take any colour: a car's body, not its windows. (Mueller et al. 2022, Instant Neural Graphics Primitives, without
    view directions.)

    Args:
        things: N, the number of things.
        spec: specification of every grid.
        width: width of the MLPs' two hidden layers.
        cells: occupancy cells along each side of a box; a multiple of 2.
        step_size: step along rays, world units.
    """

    table: Int8[Tensor, "N P F"]
    scale: Float[Tensor, "N L"]
    first: Float[Tensor, "N W LF"]
    second: Float[Tensor, "N W W"]
    last: Float[Tensor, "N 6 W"]
    centre: Float[Tensor, "N 3"]
    half_side: Float[Tensor, "N 3"]
    occupied: UInt8[Tensor, "N _"]

    def __init__(self, things: int, spec: GridSpec, width: int, cells: int, step_size: float) -> None:
        super().__init__()
        self.spec, self.cells, self.step_size = spec, cells, step_size
        features = spec.feature_count
        self.register_buffer("table", torch.zeros(things, spec.entry_count, spec.features, dtype=torch.int8))
        self.register_buffer("scale", torch.zeros(things, spec.levels))
        self.register_buffer("first", torch.zeros(things, width, features))
        self.register_buffer("second", torch.zeros(things, width, width))
        self.register_buffer("last", torch.zeros(things, CHANNELS, width))
        self.register_buffer("centre", torch.zeros(things, 3))
        self.register_buffer("half_side", torch.ones(things, 3))
        self.register_buffer("occupied", torch.zeros(things, cells**3 // BITS, dtype=torch.uint8))

    def occupancy(self, thing: Int[Tensor, ""]) -> Bool[Tensor, "G G G"]:
        """Return the occupancy grid of a thing's box."""
        packed: UInt8[Tensor, "_"] = self.occupied[thing]
        bits = torch.arange(BITS, device=packed.device, dtype=torch.uint8)
        return (packed[:, None] >> bits & 1).bool().view(self.cells, self.cells, self.cells)

    def features(self, thing: Int[Tensor, ""]) -> Float[Tensor, "P F"]:
        """Return a thing's dequantised grid features."""
        rows = [scale.float() / LARGEST for scale in self.scale[thing]]
        sizes = [level.size for level in self.spec.table]
        return torch.cat([q * s for q, s in zip(self.table[thing].float().split(sizes), rows, strict=True)])

    def draw(
        self, thing: Int[Tensor, "B"], rays: Rays, paint: Float[Tensor, "B 3"], painted: Float[Tensor, "B"],
        placement: Placement | None = None,
    ) -> Drawing:  # fmt: skip
        """Render things along the rays of B images.

        Args:
            paint: colour of paintable parts, in [0, 1].
            painted: strength of the paint, in [0, 1]; 0: a thing keeps its own colours.
            placement: None: as learned.
        """
        origin, direction = (one.unflatten(0, (len(thing), -1)) for one in (rays.origin, rays.direction))
        if placement is not None:
            origin, direction = into(placement, origin, direction)
        height, width = rays.image_shape[1:]
        drawn = [self._draw_one(thing[i], origin[i], direction[i], paint[i], painted[i]) for i in range(len(thing))]
        colour, opacity = (torch.stack(each).unflatten(1, (height, width)) for each in zip(*drawn, strict=True))
        return Drawing(colour, opacity)

    def _draw_one(
        self, thing: Int[Tensor, ""], origin: Float[Tensor, "R 3"], direction: Float[Tensor, "R 3"],
        paint: Float[Tensor, "3"], painted: Float[Tensor, ""],
    ) -> tuple[Float[Tensor, "R 3"], Float[Tensor, "R 1"]]:  # fmt: skip
        """Render one thing, with its rays scaled to the cube [-1, 1]^3; ray parameters are unchanged."""
        half = self.half_side[thing].float()
        origin, direction = (origin - self.centre[thing].float()) / half, direction / half
        cut = march(origin, direction, 1.0, self.occupancy(thing), self.step_size, MOST_STEPS)
        points = origin[cut.ray] + (0.5 * (cut.t_start + cut.t_end))[:, None] * direction[cut.ray]
        encoded = hash_encode(0.5 * points + 0.5, self.features(thing), self.spec)
        layers = [layer[thing].float() for layer in (self.first, self.second, self.last)]
        density, own, takes, tone = split_field(mlp(encoded, layers))
        colour = torch.lerp(own, (tone * paint).clamp(max=1.0), takes * painted)
        seen = composite(density, cut.t_start, cut.t_end, colour, cut.offsets)
        return seen.accumulated, seen.opacity


def into(
    placement: Placement, origin: Float[Tensor, "B R 3"], direction: Float[Tensor, "B R 3"]
) -> tuple[Float[Tensor, "B R 3"], Float[Tensor, "B R 3"]]:
    """Transform world rays to the axes in which things were learned; ray parameters are unchanged."""
    cos, sin, zero = torch.cos(placement.turn_rad), torch.sin(placement.turn_rad), torch.zeros_like(placement.turn_rad)
    rows = torch.stack([cos, -sin, zero, sin, cos, zero, zero, zero, zero + 1.0], dim=-1).unflatten(-1, (3, 3))
    shrink = torch.exp(-placement.log_stretch)[:, None]
    turned = (torch.einsum("bij,brj->bri", rows, one) for one in (origin, direction))
    origin, direction = turned
    return (origin - placement.shift[:, None]) * shrink, direction * shrink


def split_field(
    raw: Float[Tensor, "S 6"],
) -> tuple[Float[Tensor, "S"], Float[Tensor, "S 3"], Float[Tensor, "S 1"], Float[Tensor, "S 1"]]:
    """Split the MLP's raw output into density, own colour, paintability and tone."""
    density = torch.exp(raw[:, 0].clamp(-15.0, DENSEST - 1.0) + 1.0)
    own, takes, tone = torch.sigmoid(raw[:, 1:]).split([3, 1, 1], dim=1)
    return density, own, takes, MOST_TONE * tone
