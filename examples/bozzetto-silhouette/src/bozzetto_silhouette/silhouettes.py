"""Exporter of foreground masks from all around."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from bozzetto.errors import ExportError
from bozzetto.files import write_atomically
from bozzetto.kinds.exporter import Exported
from bozzetto.kinds.scene import Scene
from bozzetto.types import Cameras
from PIL import Image

from bozzetto_silhouette.config import SilhouettesConfig


class Silhouettes:
    """Exporter of `silhouette-<azimuth>.png` per view, white in the foreground; masks for the loss `silhouette`.

    Implements `bozzetto.kinds.exporter.Exporter`.
    """

    def __init__(self, config: SilhouettesConfig) -> None:
        self.config = config

    @torch.no_grad()
    def export(self, scene: Scene, folder: Path, report: Callable[[str], None]) -> Exported:
        """Write the files.

        Raises:
            ExportError: the object is not visible in any view.
        """
        cameras = scene.views.eval_cameras(self.config.views, scene.device)
        outlines = np.concatenate([self._outline(scene, cameras, view) for view in range(len(cameras))])
        if not outlines.any():
            raise ExportError(f"No pixel is {self.config.threshold:g} opaque. Lower export.silhouettes.threshold.")
        files = []
        for outline, azimuth_deg in zip(outlines, cameras.azimuth_deg.tolist(), strict=True):
            name = f"silhouette-{round(azimuth_deg) % 360:03d}.png"
            picture = Image.fromarray(np.where(outline, 255, 0).astype(np.uint8))
            files.append(write_atomically(folder / name, picture.save))
        report(f"Silhouettes: {', '.join(path.name for path in files)}")
        shares = [round(float(outline.mean()), 4) for outline in outlines]
        return Exported(tuple(files), {"shares_of_picture": shares})

    def _outline(self, scene: Scene, cameras: Cameras, view: int) -> np.ndarray:
        """Return the foreground mask of one view, "1 H W"."""
        some = slice(view, view + 1)
        camera = Cameras(cameras.c2w[some], cameras.fov_y_rad[some], cameras.height, cameras.width)
        return scene.render(camera).opacity[..., 0].numpy(force=True) >= self.config.threshold
