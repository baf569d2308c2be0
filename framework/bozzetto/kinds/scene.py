"""Parts of a stage that make images, without its tasks."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from bozzetto.kinds.background import Background
from bozzetto.kinds.geometry import Geometry
from bozzetto.kinds.material import Material
from bozzetto.kinds.renderer import Previews, Renderer
from bozzetto.kinds.view_source import ViewSource
from bozzetto.types import Cameras, Rendered

__all__ = ["Scene"]


@dataclass(frozen=True)
class Scene:
    """Trained scene, ready to render or export."""

    geometry: Geometry
    material: Material
    background: Background
    renderer: Renderer
    views: ViewSource
    """View source of the first task; its `eval_cameras` match the training cameras."""
    device: torch.device

    def render(self, cameras: Cameras, normal: bool = False) -> Rendered:
        """Render with the material's evaluation lighting.

        Args:
            normal: also render normals.
        """
        shading = self.material.eval_shading(cameras)
        return self.renderer(cameras, self.geometry, self.material, self.background, shading, normal=normal)

    def preview(self) -> Scene:
        """Return the scene with a coarser renderer, where the renderer has one."""
        return replace(self, renderer=self.renderer.preview()) if isinstance(self.renderer, Previews) else self
