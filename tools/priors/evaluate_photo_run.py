"""Measure a run of `configs/zero123.yaml` whose object is known: how like its photo, and its outline from elsewhere.

    python evaluate_photo_run.py outputs/zero123/hamburger-1a2b3c unseen/ring/BlendSwap-CC-BY__hamburger.npz

The run must have been given the photo's true camera (`tools/priors/example_photos.py`): azimuth_deg=20 and the rest as
in the cpu profile. The ring is made by `unseen_views.py`; four of its views that are not the photo's are compared.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bozzetto import hardware
from bozzetto.build import make
from bozzetto.load import load_recipe
from bozzetto.math.cameras import look_at_origin, spherical_position
from bozzetto.math.image_similarity import psnr_db
from bozzetto.math.photos import over, resize_masked
from bozzetto.pipeline import load_scene
from bozzetto.registry import Registry, installed_sources
from bozzetto.run_folder import RunFolder
from bozzetto.types import Cameras

COMPARED_DEG = (60, 120, 210, 300)
SOLID = 0.5


@torch.no_grad()
def measure(run: Path, ring: Path) -> dict[str, object]:
    """PSNR at the photo's camera over white, and the overlap of outlines at `COMPARED_DEG`."""
    folder, registry = RunFolder.existing(run), Registry.discover(installed_sources(os.environ))
    recipe = load_recipe(folder.recipe_file, registry, [], folder.manifest["profile"], hardware.detect())
    scene = load_scene(recipe, registry, folder, torch.device("cpu"))

    def draw(cameras: Cameras) -> tuple[Tensor, Tensor]:
        shading = scene.material.eval_shading(cameras)
        rendered = scene.renderer(cameras, scene.geometry, scene.material, scene.background, shading)
        return rendered.image[0], rendered.opacity[0]

    (task,) = [task for task in recipe.stages[-1].tasks if task.name == "reference"]
    source = make(registry, task.views)
    photo = source.reference(scene.device)
    cameras = source.sample(recipe.stages[-1].trainer.steps, torch.Generator())
    image, mask = resize_masked(photo.image, photo.mask, (cameras.height, cameras.width))
    like = float(psnr_db(draw(cameras)[0], over(image, mask, 1.0)))
    overlaps = {}
    with np.load(ring) as arrays:
        views = zip(arrays["camera"], arrays["alpha"], strict=True)
        truth = {round(float(c[0])): (c, a) for c, a in views}
    for azimuth in COMPARED_DEG:
        camera, alpha = truth[azimuth]
        position = spherical_position(*(torch.tensor([float(value)]) for value in camera))
        c2w = look_at_origin(position)
        size = alpha.shape[0]
        _, opacity = draw(Cameras(c2w, torch.deg2rad(torch.tensor([40.0])), size, size))
        ours, true = opacity[..., 0] > SOLID, torch.from_numpy(alpha > 255 * SOLID)
        overlaps[azimuth] = round(float((ours & true).sum() / (ours | true).sum().clamp(min=1)), 3)
    return {"run": str(run), "photo_psnr_db": round(like, 2), "overlap": overlaps, "mean_overlap": _mean(overlaps)}


def _mean(values: dict[int, float]) -> float:
    return round(sum(values.values()) / len(values), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("ring", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(json.dumps(measure(args.run, args.ring)))


if __name__ == "__main__":
    main()
