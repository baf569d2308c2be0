"""Colours of a mesh file, its texture's or its vertices', and features fitted to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from torch import Tensor, nn

from bozzetto.errors import ConfigError
from bozzetto_plugins.geometry.mesh_readers.placed import placement
from bozzetto_plugins.geometry.surface_config import AssetConfig

POINTS = 200_000
"""Points of the surface whose colours are read."""
STEPS, BATCH = 300, 4096
"""Steps of the fit, and points of each."""
LEARNING_RATE = 0.01


def colored_points(config: AssetConfig, radius: float) -> tuple[Float[Tensor, "S 3"], Float[Tensor, "S 3"]] | None:
    """Return random points on the surface of a file, in world units, and their colours in [0, 1]; None without colours.

    Each is drawn by area; numbers come from numpy's generator of seed 0.

    Raises:
        ConfigError: the file's colours cannot be read.
    """
    try:
        loaded: Any = trimesh.load(Path(config.path), force="mesh", process=False)
        corners = np.asarray(loaded.triangles, dtype=np.float64)
        share = np.asarray(loaded.area_faces, dtype=np.float64)
        colors = _colors_at(loaded)
    except (MemoryError, OSError):
        raise
    except Exception as error:  # whatever a damaged file causes in a reader
        reason = " ".join(str(error).split())[:160]
        raise ConfigError(
            f"The colours of {config.path} cannot be read ({type(error).__name__}: {reason}). Set "
            "system.geometry.start_colors=false, or export it again as .glb."
        ) from error
    if colors is None:
        return None
    generator = np.random.default_rng(0)
    face = generator.choice(len(corners), size=POINTS, p=share / share.sum())
    first, second = generator.random((2, POINTS, 1))
    root = np.sqrt(first)
    weights = np.concatenate([1.0 - root, root * (1.0 - second), root * second], axis=1)
    points = np.einsum("sk,skc->sc", weights, corners[face])
    rotation, centre, factor = placement(config, radius, np.asarray(loaded.vertices)[np.unique(loaded.faces)])
    placed = (points @ rotation.T - centre) * factor
    return torch.from_numpy(placed).float(), torch.from_numpy(colors(face, weights)).float()


def _colors_at(mesh: Any) -> Any:
    """Return a function from faces and barycentric weights to colours; None if the file has none."""
    visual, faces = mesh.visual, np.asarray(mesh.faces)
    if visual.kind == "texture" and visual.uv is not None:
        material = visual.material
        image = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
        if image is not None:
            texture = np.asarray(image.convert("RGB"), dtype=np.float64) / 255.0
            uvs = np.asarray(visual.uv)[faces]
            return lambda face, weights: _texels(texture, np.einsum("sk,skc->sc", weights, uvs[face]))
        plain = np.asarray(material.main_color, dtype=np.float64)[:3] / 255.0
        return lambda face, weights: np.broadcast_to(plain, (len(face), 3)).copy()
    if visual.kind in ("vertex", "face"):
        of_corner = (
            np.asarray(visual.vertex_colors)[faces] if visual.kind == "vertex"
            else np.repeat(np.asarray(visual.face_colors)[:, None], 3, axis=1)
        )[..., :3] / 255.0  # fmt: skip
        return lambda face, weights: np.einsum("sk,skc->sc", weights, of_corner[face])
    return None


def _texels(texture: np.ndarray, uvs: np.ndarray) -> np.ndarray:
    """Return the pixels at texture coordinates, whose origin is at the lower left; they repeat beyond [0, 1]."""
    height, width, _ = texture.shape
    column = np.floor((uvs[:, 0] % 1.0) * width).astype(np.int64).clip(0, width - 1)
    row = np.floor((1.0 - uvs[:, 1] % 1.0) * height).astype(np.int64).clip(0, height - 1)
    found: np.ndarray = texture[row, column]
    return found


def fit_colors(features: nn.Module, points: Float[Tensor, "S 3"], colors: Float[Tensor, "S 3"]) -> float:
    """Train features so that the sigmoids of the first three are the colours; return the last mean absolute error.

    Random numbers come from torch's generator.
    """
    parameters = [value for value in features.parameters() if value.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=LEARNING_RATE, betas=(0.9, 0.99), eps=1e-15)
    with torch.enable_grad():
        for _ in range(STEPS):
            some = torch.randint(len(points), (min(BATCH, len(points)),))
            difference = torch.sigmoid(features(points[some])[:, :3]) - colors[some]
            optimizer.zero_grad(set_to_none=True)
            difference.square().sum(dim=1).mean().backward()
            optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return float(difference.detach().abs().mean())
