"""Ground-truth renders of the true models, lit and painted as in training, from any cameras at the origin."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.math.cameras import look_at_origin, spherical_position
from bozzetto.math.image_similarity import psnr_db
from bozzetto.types import Cameras
from bozzetto_priors.objects import furniture_catalogue
from bozzetto_priors.objects.captions import COLORS
from bozzetto_priors.objects.piece_meshes import load_piece
from bozzetto_priors.objects.thing_table import Piece
from bozzetto_priors.views.camera_matrices import FOV_Y_DEG
from bozzetto_priors.views.paintable_parts import what_to_paint
from bozzetto_priors.views.rasteriser import Rasteriser, draw_views
from bozzetto_priors.views.training_views import painted, targets_of

RING_ELEVATION_DEG, RING_DISTANCE = 15.0, 3.2


class Truth:
    """Renderer of pieces at one size; holds the only OpenGL context of its process.

    Args:
        data: folder of the unpacked Debian package; downloaded if missing.
        size: side of the images, pixels.
    """

    def __init__(self, data: Path, size: int) -> None:
        self.furniture, self.cache = furniture_catalogue.ensure_catalogues(data), data / "models"
        self.entries = {entry.key: entry for entry in furniture_catalogue.read_entries(self.furniture)}
        self.rasteriser = Rasteriser(size)

    def pictures(self, piece: Piece, seen_by: Cameras, color: str | None = None) -> Float[Tensor, "V 4 S S"]:
        """Render a piece in its own colours or one of `COLORS`: RGB in [0, 1] times opacity, then opacity."""
        parts = load_piece(piece, self.entries, self.furniture, self.cache)
        self.rasteriser.load(parts)
        paint = what_to_paint(self.rasteriser, len(parts))
        shown = [
            draw_views(self.rasteriser, paint.of_part, [eye], float(np.degrees(fov)))
            for eye, fov in zip(seen_by.position.double().numpy(), seen_by.fov_y_rad.numpy(), strict=True)
        ]
        albedo, normal = (np.concatenate([each[name] for each in shown]) for name in ("albedo", "normal"))
        rgb = torch.tensor(COLORS[color] if color else (0.0, 0.0, 0.0)).expand(len(albedo), 3)
        put = torch.full((len(albedo),), float(color is not None))
        return painted(targets_of(albedo, normal, paint.luma), rgb, put).permute(0, 3, 1, 2)


def over_white(picture: Float[Tensor, "V 4 S S"]) -> Float[Tensor, "V 3 S S"]:
    """Composite the result of `Truth.pictures` over white."""
    return picture[:, :3] + 1.0 - picture[:, 3:]


def psnr(found: Float[Tensor, "V C S S"], true: Float[Tensor, "V C S S"]) -> float:
    """Return the mean of the per-image PSNR of images in [0, 1], dB."""
    return float(torch.stack([psnr_db(*pair) for pair in zip(found, true, strict=True)]).mean())


def cameras_at(azimuth_deg: Sequence[float], elevation_deg: float, distance: float, size: int) -> Cameras:
    """Return square cameras that look at the origin, with the field of view used in training."""
    azimuth = torch.tensor(azimuth_deg)
    elevation, away = torch.full_like(azimuth, elevation_deg), torch.full_like(azimuth, distance)
    pose = look_at_origin(spherical_position(azimuth, elevation, away))
    return Cameras(pose, torch.deg2rad(torch.full_like(azimuth, FOV_Y_DEG)), size, size)


def ring(size: int) -> Cameras:
    """Return eight cameras around the object, the first at its front, a little above the horizon."""
    return cameras_at([45.0 * side for side in range(8)], RING_ELEVATION_DEG, RING_DISTANCE, size)
