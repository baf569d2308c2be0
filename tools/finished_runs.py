"""Loading and rendering of finished runs and of their exported meshes."""

from __future__ import annotations

import os
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.config.loading import load_recipe
from bozzetto.engine.pipeline import load_scene
from bozzetto.engine.run_folder import RunFolder
from bozzetto.kinds.scene import Scene
from bozzetto.machine import accelerators as hardware
from bozzetto.recipe import Recipe
from bozzetto.registry.discovery import Registry, installed_sources
from bozzetto.types import Cameras, Rendered
from bozzetto_plugins.exporter.read_back import read_mesh
from bozzetto_plugins.exporter.verify import draw


def installed() -> Registry:
    """Return the registry of all installed components."""
    return Registry.discover(installed_sources(os.environ))


def load_run(folder: RunFolder, registry: Registry) -> tuple[Recipe, Scene]:
    """Return the recipe of a run and its final scene, on the CPU."""
    recipe = load_recipe(folder.recipe_file, registry, [], folder.profile, hardware.detect())
    return recipe, load_scene(recipe, registry, folder, torch.device("cpu"))


def evaluation_cameras(scene: Scene, count: int, size: int) -> Cameras:
    """Return the scene's evaluation cameras with square images of `size` pixels."""
    return replace(scene.views.eval_cameras(count, scene.device), height=size, width=size)


@torch.no_grad()
def look(scene: Scene, cameras: Cameras) -> Rendered:
    """Render a scene with its evaluation shading and its own background."""
    return scene.render(cameras)


def look_at_mesh(folder: RunFolder, cameras: Cameras) -> Float[Tensor, "V 4 S S"] | None:
    """Render the exported GLB unlit: RGB in [0, 1] multiplied by opacity, then opacity; None if it does not exist.

    The mesh is in world units if `export.mesh` neither moves nor scales it, as by default.
    """
    path = folder.export / "mesh.glb"
    if not path.exists():
        return None
    shown, solid, _ = draw(read_mesh(path), cameras)
    assert shown is not None
    opacity = solid[..., None].float()
    return torch.cat([shown * opacity, opacity], dim=-1).permute(0, 3, 1, 2)
