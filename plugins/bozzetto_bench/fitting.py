"""Benchmark of fitting surfaces to images of known objects: Chamfer distance and time."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from bozzetto.engine.build import build_scene
from bozzetto.kinds.geometry import MeshGeometry
from bozzetto.recipe import Recipe
from bozzetto.registry.discovery import Registry
from bozzetto.testing.mesh_fitting import LARGEST_CHAMFER, OBJECTS, Fitted, FittingSettings, fit

RECIPE = "dreamfusion-dmtet"
"""Recipe whose last stage provides geometry and renderer."""

CHANGES = ("stages.dmtet.system.geometry.resolution=32", "stages.dmtet.system.geometry.start_radius=0.75")
"""Overrides: start from a sphere around the object, so that separate parts need not grow."""


def fit_objects(
    recipe: Recipe, registry: Registry, device: torch.device, settings: FittingSettings
) -> Iterator[tuple[str, Fitted]]:
    """Fit the geometry of the recipe's last stage to each known object, starting from its initial shape."""
    for name, make in OBJECTS.items():
        scene = build_scene(recipe.stages[-1], recipe.seed, registry, device)
        if not isinstance(scene.geometry, MeshGeometry):
            raise TypeError(f"the last stage has the geometry {type(scene.geometry).__name__}, which is no surface")
        yield name, fit(scene.geometry, scene.renderer, make(), settings)


def fitting_rows(found: dict[str, Fitted]) -> list[tuple[str, str, str, str]]:
    """Return table rows: object, Chamfer distance, largest accepted distance, seconds."""
    return [
        (name, f"{100 * fitted.chamfer:.2f} %", f"{100 * LARGEST_CHAMFER[name]:.1f} %", f"{fitted.seconds:.0f}")
        for name, fitted in found.items()
    ]
