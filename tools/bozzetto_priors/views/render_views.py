"""Render the pieces of `thing_table.py` from all around, and load the renders as training targets.

tools/priors render-views --data RUN/debian --out RUN/views

Writes one `.npz` per piece, so that an interrupted run continues where it stopped.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from bozzetto.math.cameras import look_at_origin, spherical_position
from bozzetto_plugins.guidance.solid_memory import MOST_TONE
from bozzetto_priors.command_line import step_parser
from bozzetto_priors.objects import furniture_catalogue
from bozzetto_priors.objects.modelled_in_code import builders
from bozzetto_priors.objects.thing_table import OWN, PIECES, Piece
from bozzetto_priors.views import camera_matrices
from bozzetto_priors.views.rasteriser import Rasteriser
from bozzetto_priors.views.view_compression import unpacked

COUNT, SIZE = 120, 128
ELEVATION_DEG, DISTANCE = (-15.0, 85.0), (2.8, 3.6)
GOLDEN_RATIO = 0.6180339887498949
LIKE, BLACK = 0.16, 0.1
"""Colour distance within one group, and the lightness below which a colour is black; see `what_to_paint`."""

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


def draw_cameras(count: int, seed: int) -> Float[np.ndarray, "V 3"]:
    """Draw azimuths all round, elevations (half of them low, half uniform by area), degrees, and distances."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        azimuth = number * GOLDEN_RATIO % 1.0 * 360.0 - 180.0
        sine = rng.uniform(*np.sin(np.radians(ELEVATION_DEG)))
        elevation = np.degrees(np.arcsin(sine)) if number % 2 else rng.uniform(ELEVATION_DEG[0], 50.0)
        rows.append((azimuth, elevation, rng.uniform(*DISTANCE)))
    return np.asarray(rows, "f4")


def draw_views(
    rasteriser: Rasteriser,
    paint: Sequence[float],
    eyes: Sequence[np.ndarray],
    fov_y_deg: float = camera_matrices.FOV_Y_DEG,
) -> dict[str, np.ndarray]:
    """Render the loaded model from `eyes`: albedo and coverage, normals and paint, "V S S 4" uint8."""
    drawn = [rasteriser.draw(eye, paint, fov_y_deg) for eye in eyes]
    colour = [np.concatenate([shown.albedo, shown.alpha], axis=-1) for shown in drawn]
    surface = [np.concatenate([0.5 * shown.normal + 0.5, shown.paint], axis=-1) for shown in drawn]
    return {"albedo": in_bytes(colour), "normal": in_bytes(surface)}


def in_bytes(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Convert numbers in [0, 1] to uint8."""
    return np.round(np.clip(np.stack(pictures), 0.0, 1.0) * 255.0).astype(np.uint8)


@dataclass(frozen=True)
class Paint:
    """Paintable parts of a piece, and their lightness."""

    of_part: tuple[float, ...]
    """1 or 0 for each part."""
    luma: float
    """Mean lightness of the paintable parts, in [0, 1]."""


def what_to_paint(rasteriser: Rasteriser, parts: int) -> Paint:
    """Select the most visible group of similar colours of the loaded model, preferring one that is not black."""
    area, colour = np.zeros(parts), np.zeros((parts, 3))
    for azimuth in (20.0, 200.0):
        albedo, number = rasteriser.draw_numbers(camera_matrices.position(azimuth, 25.0, 3.2), parts)
        for part in np.unique(number[number >= 0]):
            shown = albedo[number == part]
            area[part] += len(shown)
            colour[part] += shown.sum(axis=0)
    visible = area > 0
    colour[visible] /= area[visible, None]
    area /= max(area.sum(), 1e-6)
    light = colour @ np.asarray(LUMA)
    hue = colour - light[:, None]
    place = np.concatenate([0.6 * light[:, None], 0.9 * hue], axis=1)
    first = np.argsort(-area)[:6]
    groups = [visible & (np.linalg.norm(place - place[i], axis=1) < LIKE) for i in first]
    likely = (0.5 if light[i] < BLACK else 1.0 for i in first)
    strength = [s * (1.0 + 0.6 * min(4.0 * np.linalg.norm(hue[i]), 1.0)) for s, i in zip(likely, first, strict=True)]
    chosen = groups[max(range(len(groups)), key=lambda k: area[groups[k]].sum() * strength[k])]
    luma = float((light * area)[chosen].sum() / max(area[chosen].sum(), 1e-6))
    return Paint(tuple(chosen.astype(float)), luma)


def load_piece(
    piece: Piece, entries: dict[str, furniture_catalogue.Entry], furniture: Path, cache: Path
) -> list[furniture_catalogue.Part]:
    """Load the parts of a piece, its front toward world +x."""
    if piece.key.startswith(f"{OWN}/"):
        parts = builders.build(piece.key.removeprefix(f"{OWN}/"))
    else:
        entry = entries[piece.key]
        parts = furniture_catalogue.load_model(
            furniture_catalogue.unpack(entry, furniture, cache), entry.rotation, piece.min_alpha
        )
    angle = np.radians(piece.yaw_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]], "f4")
    return joined([replace(p, points=p.points @ turn.T, normals=p.normals @ turn.T) for p in parts])


def joined(parts: list[furniture_catalogue.Part]) -> list[furniture_catalogue.Part]:
    """Merge parts of equal material: some models have hundreds of parts."""
    alike: dict[object, list[furniture_catalogue.Part]] = {}
    for part in parts:
        material = part.colour if part.texture is None else hash(part.texture.tobytes())
        alike.setdefault(material, []).append(part)
    return [
        replace(
            group[0],
            points=np.concatenate([p.points for p in group]),
            normals=np.concatenate([p.normals for p in group]),
            uv=np.concatenate([p.uv for p in group]),
        )
        for group in alike.values()
    ]


def main(arguments: Sequence[str]) -> None:
    parser = step_parser("render-views", __doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder the Debian package is unpacked in")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(arguments)
    furniture = furniture_catalogue.ensure_catalogues(args.data)
    entries = {entry.key: entry for entry in furniture_catalogue.read_entries(furniture)}
    args.out.mkdir(parents=True, exist_ok=True)
    rasteriser = Rasteriser(SIZE)
    for words, piece in PIECES.items():
        path = args.out / f"{piece.key.replace('/', '__')}.npz"
        if path.exists():
            continue
        parts = load_piece(piece, entries, furniture, args.data / "models")
        rasteriser.load(parts)
        paint = what_to_paint(rasteriser, len(parts))
        rows = draw_cameras(COUNT, seed=zlib.crc32(piece.key.encode()))
        shown = draw_views(rasteriser, paint.of_part, [camera_matrices.position(*map(float, row)) for row in rows])
        corners = [np.min([p.points.min(0) for p in parts], 0), np.max([p.points.max(0) for p in parts], 0)]
        fresh = path.with_suffix(".tmp.npz")
        np.savez_compressed(fresh, **shown, camera=rows, main_luma=paint.luma, box=np.asarray(corners, "f4"))
        fresh.replace(path)
        told = {"piece": piece.key, "words": words, "triangles": sum(len(part.points) for part in parts) // 3}
        print(json.dumps(told), flush=True)
