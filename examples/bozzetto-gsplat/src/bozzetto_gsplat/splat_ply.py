"""Exporter of Gaussians for viewers of 3D Gaussian splatting."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from bozzetto.errors import ConfigError, ExportError
from bozzetto.files import write_atomically
from bozzetto.kinds.exporter import Exported
from bozzetto.kinds.scene import Scene

from bozzetto_gsplat.cloud import Cloud, MadeOfGaussians
from bozzetto_gsplat.config import SplatPlyConfig

COLUMNS = (
    *("x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity"),
    *("scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"),
)
"""Columns of the reference implementation for view-independent colours."""
CONSTANT_HARMONIC = 0.28209479177387814
"""Degree-0 spherical harmonic 1 / (2 sqrt(pi)): a viewer's colour is 0.5 + f_dc times this."""


class SplatPly:
    """Exporter of `splats.ply`: one row per visible Gaussian, in world units, z up, with unlit colours.

    Opacities are stored as logits, scales as logarithms, rotations as w, x, y, z; normals are zero, as in the reference
    implementation. Implements `bozzetto.kinds.exporter.Exporter`.
    """

    def __init__(self, config: SplatPlyConfig) -> None:
        self.config = config

    @torch.no_grad()
    def export(self, scene: Scene, folder: Path, report: Callable[[str], None]) -> Exported:
        """Write the file.

        Raises:
            ConfigError: the geometry does not consist of Gaussians.
            ExportError: no Gaussian is visible.
        """
        if not isinstance(scene.geometry, MadeOfGaussians):
            name = type(scene.geometry).__name__
            raise ConfigError(f"export.splat-ply writes Gaussians, and geometry {name} has none. Leave it out.")
        cloud = scene.geometry.cloud()
        cloud = cloud.rows(cloud.opacity >= max(self.config.min_opacity, 1e-6))
        if not len(cloud):
            raise ExportError(f"No Gaussian has an opacity of {self.config.min_opacity:g}. Lower min_opacity.")
        header = [
            *("ply", "format binary_little_endian 1.0", f"element vertex {len(cloud)}"),
            *(f"property float {name}" for name in COLUMNS),
            "end_header\n",
        ]
        content = "\n".join(header).encode("ascii") + _rows(cloud, scene).astype("<f4").tobytes()
        path = write_atomically(folder / "splats.ply", lambda temporary: temporary.write_bytes(content))
        report(f"Splats: {len(cloud)} Gaussians; {path.name}")
        return Exported((path,), {"gaussians": len(cloud)})


def _rows(cloud: Cloud, scene: Scene) -> np.ndarray:
    """Return the numbers "N 17" in the order of `COLUMNS`."""
    color = (scene.material.albedo(cloud.features) - 0.5) / CONSTANT_HARMONIC
    normal = torch.zeros_like(cloud.position)
    opacity = torch.logit(cloud.opacity)[:, None]
    rows = [cloud.position, normal, color, opacity, cloud.scale.log(), cloud.quaternion]
    return torch.cat(rows, dim=-1).numpy(force=True)
