"""Training views of a piece: loading, lighting, paint, and the split into trained and held-out views."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from bozzetto.math.cameras import look_at_origin, spherical_position
from bozzetto_plugins.priors.solid_memory import MOST_TONE
from bozzetto_priors.views import camera_matrices
from bozzetto_priors.views.view_compression import unpacked

LIGHT = (0.5, 0.25, 0.83)
AMBIENT, DIFFUSE = 0.72, 0.28
"""Soft light of all images: `albedo * (AMBIENT + DIFFUSE * normal . LIGHT)`."""
LUMA = (0.299, 0.587, 0.114)
TONES = (0.4, 1.15)
"""Range of the lightness of painted parts, before lighting."""
HELD_OUT_EVERY = 12
"""One in this many views is held out of training."""


@dataclass(frozen=True)
class Views:
    """Views of a piece from V cameras."""

    targets: UInt8[Tensor, "V S S 9"]
    """Targets as uint8, all times opacity: lit colour (3), opacity, paintability, the paintable part of the colour (3),
    and the tone of the paint, divided by `MOST_TONE`."""
    c2w: Float[Tensor, "V 4 4"]
    fov_y_rad: Float[Tensor, "V"]
    box: Float[Tensor, "2 3"]
    """Bounding box: low and high corner, world units."""

    def to(self, device: torch.device) -> Views:
        """Return the views moved to a device."""
        return Views(self.targets.to(device), self.c2w.to(device), self.fov_y_rad.to(device), self.box.to(device))

    @property
    def held_out(self) -> Int[Tensor, "_"]:
        return torch.arange(HELD_OUT_EVERY // 2, len(self.c2w), HELD_OUT_EVERY, device=self.c2w.device)

    @property
    def trained(self) -> Int[Tensor, "_"]:
        every = torch.arange(len(self.c2w), device=self.c2w.device)
        return every[every % HELD_OUT_EVERY != HELD_OUT_EVERY // 2]


def load_views(path: Path) -> Views:
    """Load the file of a piece written by `render_views` or `pack_views`."""
    with np.load(path) as arrays:
        camera = torch.from_numpy(arrays["camera"])
        pose = look_at_origin(spherical_position(camera[:, 0], camera[:, 1], camera[:, 2]))
        fov = torch.deg2rad(torch.full((len(pose),), camera_matrices.FOV_Y_DEG))
        box = torch.from_numpy(arrays["box"])
        if "lit" in arrays:
            return Views(unpacked(arrays["lit"].tobytes(), arrays["tone"].tobytes()), pose, fov, box)
        return Views(targets_of(arrays["albedo"], arrays["normal"], float(arrays["main_luma"])), pose, fov, box)


def targets_of(
    albedo: UInt8[np.ndarray, "V S S 4"], normal: UInt8[np.ndarray, "V S S 4"], main_luma: float
) -> UInt8[Tensor, "V S S 9"]:
    """Compute `Views.targets` from the result of `draw_views`."""
    surface, direction = (torch.from_numpy(each).float() for each in (albedo, normal))
    colour, opacity, takes = surface[..., :3] / 255.0, surface[..., 3:] / 255.0, direction[..., 3:] / 255.0
    light = AMBIENT + DIFFUSE * ((direction[..., :3] / 127.5 - 1.0) @ torch.tensor(LIGHT)).clamp(-1.0, 1.0)
    lit = colour * light[..., None]
    tone = ((colour @ torch.tensor(LUMA) + 0.1) / (main_luma + 0.1)).clamp(*TONES) * light / MOST_TONE
    channels = torch.cat([lit, torch.ones_like(takes), takes, lit * takes, tone[..., None] * takes], dim=-1) * opacity
    return (channels * 255.0).round().clamp(0, 255).to(torch.uint8)


def painted(
    targets: UInt8[Tensor, "V S S 9"], paint: Float[Tensor, "V 3"], put: Float[Tensor, "V"]
) -> Float[Tensor, "V S S 4"]:
    """Return RGB in [0, 1] times opacity, then opacity, with paint on paintable parts where `put` is 1."""
    own, opacity, takes, under, tone = (targets.float() / 255.0).split([3, 1, 1, 3, 1], dim=-1)
    over = (MOST_TONE * tone * paint[:, None, None]).minimum(takes)
    return torch.cat([own + put[:, None, None, None] * (over - under), opacity], dim=-1)
