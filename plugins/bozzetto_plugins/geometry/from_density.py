"""Conversion of a trained density field to a solid: choice of the density threshold, inside test, clean-up."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import ndimage
from torch import Tensor

from bozzetto.errors import ConfigError
from bozzetto.kernels import api
from bozzetto.kinds.scene import Scene
from bozzetto.math.marching_tetrahedra import marching_tetrahedra
from bozzetto.math.silhouettes import overlap
from bozzetto.math.tetrahedral_grid import TetrahedralGrid
from bozzetto.types import Cameras, TriangleMesh

SHOWN = 0.25
"""Opacity from which a pixel counts as foreground. Low, because thin parts of a coarse field are far from opaque, and a
surface that lacks them does not regrow them."""
VIEWS = 8
VIEW_SIZE = 96
"""Number of comparison renders, and their height in pixels."""
LEAST_OVERLAP = 0.8
"""Mask IoU from which a solid is accepted as the scene's shape."""
SHARES = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8)
"""Quantiles of the visible densities that are tried as thresholds."""
LADDER = 32
"""Number of candidates of the second search, evenly spaced in log density."""
STEPS = 256
"""Samples along each ray of the density histogram."""
POINTS_AT_ONCE = 1 << 18
SMALLEST_PIECE = 0.01
"""Components with less than this share of the largest one's grid vertices are dropped."""


@dataclass(frozen=True)
class Solid:
    """Inside flags at the vertices of a tetrahedral grid, and the surface extracted from them."""

    inside: Bool[Tensor, "P"]
    mesh: TriangleMesh
    overlap: float
    """Mask IoU with the scene's foreground, in [0, 1]."""


@torch.no_grad()
def solid_from_density(
    scene: Scene,
    grid: TetrahedralGrid,
    rest: Float[Tensor, "P 3"],
    radius: float,
    threshold: float | None,
    report: Callable[[str], None],
) -> Solid:
    """Return the solid whose masks agree best with the scene's opacity, and report the agreement in one line.

    Candidate thresholds are quantiles of the densities along the rays, each weighted by its compositing weight. If none
    reaches `LEAST_OVERLAP`, the whole range of densities is searched.

    Args:
        rest: undeformed vertices of the grid, world units.
        threshold: use this density and only report the agreement; None: search.

    Raises:
        ConfigError: nothing is visible, or no threshold reaches `LEAST_OVERLAP`.
    """
    views = Comparison.of(scene, radius)
    density = torch.cat([scene.geometry.density(points) for points in rest.split(POINTS_AT_ONCE)])

    def tried(candidates: Sequence[float]) -> tuple[float, Solid]:
        solids = [(candidate, solid_at(candidate, density, grid, rest, views)) for candidate in candidates]
        return max(solids, key=lambda found: found[1].overlap)

    if threshold is not None:
        chosen, solid = tried([threshold])
        report(f"convert   density threshold {chosen:.4g} as configured, mask IoU {solid.overlap:.3f}")
        return solid
    seen = densities_seen(scene, views.cameras, radius)
    chosen, solid = tried([float(seen[int(share * (len(seen) - 1))]) for share in SHARES])
    how = "from the densities rays see"
    if solid.overlap < LEAST_OVERLAP:
        peak = float(density.max())
        wider = tried([peak * 10.0 ** (-4.0 * (i + 1) / LADDER) for i in range(LADDER)])
        if wider[1].overlap > solid.overlap:
            (chosen, solid), how = wider, "from the whole range of densities"
    if solid.overlap < LEAST_OVERLAP:
        raise ConfigError(
            f"The stage before has no clear surface: at the best density threshold, {chosen:.4g}, the solid covers "
            f"what the scene shows with a mask IoU of only {solid.overlap:.3f} (at least {LEAST_OVERLAP} is needed). "
            "Train the coarse stage longer or with a stronger opaque loss, raise the resolution of this geometry, or "
            "give a density yourself: threshold=5."
        )
    report(f"convert   density threshold {chosen:.4g} chosen {how}, mask IoU {solid.overlap:.3f}")
    return solid


@dataclass(frozen=True)
class Comparison:
    """Foreground masks of the scene, rendered from all around."""

    cameras: Cameras
    shown: Bool[Tensor, "B H W"]
    radius: float

    @classmethod
    def of(cls, scene: Scene, radius: float) -> Comparison:
        """Render the scene's opacity and threshold it at `SHOWN`.

        Raises:
            ConfigError: nothing is visible.
        """
        there = scene.views.eval_cameras(VIEWS, scene.device)
        width = max(1, round(VIEW_SIZE * there.width / there.height))
        cameras = Cameras(there.c2w, there.fov_y_rad, VIEW_SIZE, width)
        opacity = scene.render(cameras).opacity[..., 0]
        shown = opacity >= SHOWN
        if not bool(shown.any()):
            raise ConfigError(
                f"The stage before shows nothing: its most opaque pixel has an opacity of {float(opacity.max()):.3f}. "
                "Train it longer, or with a weaker sparsity loss."
            )
        return cls(cameras, shown, radius)

    def overlap_of(self, mesh: TriangleMesh) -> float:
        """Return the mask IoU of the mesh and the scene."""
        if len(mesh.faces) == 0:
            return 0.0
        clip = self.cameras.clip_positions(mesh.vertices, self.radius)
        rast, _ = api.rasterize(clip, mesh.faces.int(), (self.cameras.height, self.cameras.width))
        return overlap(rast[..., 3] > 0, self.shown)


def densities_seen(scene: Scene, cameras: Cameras, radius: float) -> Float[Tensor, "Q"]:
    """Return 1001 quantiles of the densities along the rays, weighted by compositing weight, ascending."""
    rays = cameras.rays()
    full = torch.ones((1, 1, 1), dtype=torch.bool, device=scene.device)
    step = 2.0 * math.sqrt(3.0) * radius / STEPS
    found, weights = [], []
    for some in torch.arange(0, len(rays), 4, device=scene.device).split(POINTS_AT_ONCE // STEPS):
        origin, direction = rays.origin[some], rays.direction[some]
        marched = api.march(origin, direction, radius, full, step, STEPS)
        middle = 0.5 * (marched.t_start + marched.t_end)[:, None]
        density = scene.geometry.density(origin[marched.ray] + middle * direction[marched.ray])
        seen = api.composite(density, marched.t_start, marched.t_end, density[:, None], marched.offsets)
        visible = seen.weights > 0.0
        found.append(density[visible])
        weights.append(seen.weights[visible])
    density, order = torch.cat(found).sort()
    share = torch.cat(weights)[order].double().cumsum(0)
    wanted = torch.linspace(0.0, 1.0, 1001, device=share.device, dtype=share.dtype) * share[-1]
    return density[torch.searchsorted(share, wanted).clamp(max=len(density) - 1)]


def solid_at(
    threshold: float, density: Float[Tensor, "P"], grid: TetrahedralGrid, rest: Float[Tensor, "P 3"], views: Comparison
) -> Solid:
    """Return the solid of one threshold, with cavities filled and small components dropped."""
    # Densities change by orders of magnitude within a cell; this normalised level has a bounded slope at 0.
    level = (threshold - density) / (threshold + density)
    inside = tidied((level < 0.0) & ~grid.outermost(level.device), grid)
    signed = torch.where(inside, -level.abs(), level.abs().clamp(min=torch.finfo(level.dtype).tiny))
    mesh = TriangleMesh(*marching_tetrahedra(rest, signed, grid.crossed(inside)))
    return Solid(inside, mesh, views.overlap_of(mesh))


def tidied(inside: Bool[Tensor, "P"], grid: TetrahedralGrid) -> Bool[Tensor, "P"]:
    """Fill cavities (fields are hollow where no ray reaches) and drop small components.

    The corner lattice decides; a cell centre follows its eight corners, and its own density where they disagree.
    """
    side, cells = grid.cells + 1, grid.cells
    corners = inside[: grid.corner_count].view(side, side, side).cpu().numpy()
    centres = inside[grid.corner_count :].view(cells, cells, cells).cpu().numpy()
    corners = ndimage.binary_fill_holes(corners)
    label, count = ndimage.label(corners, structure=np.ones((3, 3, 3)))
    size = np.bincount(label.reshape(-1), minlength=count + 1)
    size[0] = 0
    corners &= (size >= SMALLEST_PIECE * size.max())[label]
    eight = [corners[x : x + cells, y : y + cells, z : z + cells] for x in (0, 1) for y in (0, 1) for z in (0, 1)]
    around = np.sum(eight, axis=0)
    centres = (around == 8) | (centres & (around > 0))
    return torch.from_numpy(np.concatenate([corners.reshape(-1), centres.reshape(-1)])).to(inside.device)
