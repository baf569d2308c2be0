"""Evaluate the photo prior: silhouette IoU of the object reconstructed from one photo, from four other sides.

tools/priors evaluate-photo-prior PHOTO_PRIOR --data RUN/debian --out RUN/photo-evaluation
tools/priors evaluate-photo-prior PHOTO_PRIOR --data RUN/debian --out RUN/photo-evaluation --run

Evaluates eight pieces that the prior knows, from an unseen angle, and eight that it does not. Without `--run` the
recalled thing itself is rendered; with it, `configs/zero123.yaml` first reconstructs an object from each photo, about a
minute each, and its similarity to the photo is measured, too.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bozzetto.engine.build import make
from bozzetto.engine.run_folder import RunFolder
from bozzetto.math.image_similarity import psnr_db
from bozzetto.math.photos import over, resize_masked
from bozzetto.types import Cameras, Reference
from bozzetto_plugins.guidance.config import Zero123Config
from bozzetto_plugins.guidance.zero123 import Zero123
from bozzetto_plugins.priors.solid_fit import draw
from bozzetto_priors.command_line import step_parser
from bozzetto_priors.judges.ground_truth import cameras_at
from bozzetto_priors.objects.thing_table import PIECES
from bozzetto_priors.repository_paths import ROOT
from bozzetto_priors.views.photo_studio import AZIMUTH_DEG, DISTANCE, ELEVATION_DEG, Studio
from finished_runs import installed, load_run, look

KNOWN = (
    "BlendSwap-CC-BY/hamburger", "BlendSwap-CC-0/cactus", "BlendSwap-CC-0/plasticChair", "Scopia/cat",
    "KatorLegaz/VW-new-beetle", "own/teapot-0", "BlendSwap-CC-0/mofx_mailbox", "KatorLegaz/office-chair",
)  # fmt: skip
UNKNOWN = (
    "Scopia/suv", "BlendSwap-CC-0/deer", "KatorLegaz/mid-century-sofa", "KatorLegaz/bar-stool", "Scopia/table_lamp",
    "BlendSwap-CC-0/motorbike", "Scopia/water_cooler", "KatorLegaz/spray-bottle",
)  # fmt: skip
SIDES_DEG = (60.0, 120.0, 210.0, 300.0)
"""Azimuths of the evaluation views; none is the photo's or opposite to it."""
SIZE, SOLID = 128, 0.5

Draw = Callable[[Cameras], Tensor]
"""Function from cameras to opacities "B H W" of an object."""


def overlaps(draw_opacity: Draw, truth: Tensor) -> list[float]:
    """Return silhouette IoUs from `SIDES_DEG` against true opacities "4 H W"."""
    ours, true = draw_opacity(cameras_at(SIDES_DEG, ELEVATION_DEG, DISTANCE, SIZE)) > SOLID, truth > SOLID
    return ((ours & true).sum(dim=(1, 2)) / (ours | true).sum(dim=(1, 2)).clamp(min=1)).tolist()


@torch.no_grad()
def measure_recall(prior: Zero123, photo: Path, truth: Tensor) -> dict[str, object]:
    """Measure the recalled thing of a photo and its silhouettes."""
    pixels = torch.from_numpy(np.asarray(Image.open(photo)).astype("f4") / 255.0)
    seen = Reference(pixels[..., :3], pixels[..., 3:], cameras_at([AZIMUTH_DEG], ELEVATION_DEG, DISTANCE, len(pixels)))
    start = time.process_time()
    assert prior.recall is not None
    found = prior.recall(seen)
    told: dict[str, object] = {"seconds": round(time.process_time() - start, 1), "error": round(found.error, 3)}
    place = found.recalled.placement
    assert place is not None
    told |= {"thing": [*PIECES][int(found.recalled.thing) - 1], "turn_deg": round(math.degrees(float(place.turn_rad)))}
    told["stretch"] = [round(each, 2) for each in place.log_stretch[0].exp().tolist()]

    def opacity(cameras: Cameras) -> Tensor:
        each = [Cameras(cameras.c2w[i : i + 1], cameras.fov_y_rad[i : i + 1], SIZE, SIZE) for i in range(len(cameras))]
        return torch.cat([draw(prior.denoiser.unet.memory, found.recalled, one.rays())[:, 3] for one in each])

    return told | {"overlap": overlaps(opacity, truth)}


@torch.no_grad()
def measure_run(prior: Path, photo: Path, truth: Tensor, out: Path) -> dict[str, object]:
    """Measure the result of `configs/zero123.yaml` for a photo: seconds, PSNR at the photo over white, silhouettes."""
    views = "system.tasks.reference.views"
    told = (f"image={photo}", f"{views}.azimuth_deg={AZIMUTH_DEG}", f"{views}.framing=keep", f"output={out}")
    command = [sys.executable, str(ROOT / "launch.py"), "--config", str(ROOT / "configs/zero123.yaml")]
    start = time.monotonic()
    subprocess.run(
        [*command, "--profile", "cpu", *told, f"system.tasks.random.guidance.model={prior}"], check=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    seconds = time.monotonic() - start
    newest = max(out.glob("*/*/manifest.json"), key=lambda path: path.stat().st_mtime)
    registry = installed()
    recipe, scene = load_run(RunFolder.existing(newest.parent), registry)
    (task,) = [task for task in recipe.stages[-1].tasks if task.name == "reference"]
    source = make(registry, task.views)
    reference, cameras = (
        source.reference(scene.device),
        source.sample(recipe.stages[-1].trainer.steps, torch.Generator()),
    )
    image, mask = resize_masked(reference.image, reference.mask, (cameras.height, cameras.width))
    like = float(psnr_db(look(scene, cameras).image[0], over(image, mask, 1.0)))
    outlines = overlaps(lambda cameras: look(scene, cameras).opacity[..., 0], truth)
    return {"run_seconds": round(seconds), "photo_psnr_db": round(like, 2), "run_overlap": outlines}


def main(arguments: Sequence[str]) -> None:
    parser = step_parser("evaluate-photo-prior", __doc__)
    parser.add_argument("prior", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder the Debian package is unpacked in")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--run", action="store_true", help="make the objects, too")
    parser.add_argument("--pieces", nargs="+", metavar="CATALOGUE/MODEL", help="instead of the sixteen")
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    studio = Studio(args.data, 2 * SIZE)
    config = Zero123Config(model=str(args.prior), dtype="float32")
    prior = Zero123(config, args.prior, torch.device("cpu"))
    rows = []
    for key in args.pieces or (*KNOWN, *UNKNOWN):
        studio.place(key)
        fine = torch.from_numpy(np.stack([studio.look(side).alpha[..., 0] for side in SIDES_DEG]))
        truth = torch.nn.functional.avg_pool2d(fine[None], 2)[0]
        photo = args.out / f"{key.replace('/', '__')}.png"
        studio.photo().save(photo)
        row = {"piece": key, "known": key in studio.pieces, **measure_recall(prior, photo, truth)}
        if args.run:
            row |= measure_run(args.prior.resolve(), photo, truth, args.out / photo.stem)
        rows.append(row)
        print(json.dumps(row), flush=True)
    for known in (True, False):
        mine = [row for row in rows if row["known"] == known]
        for name in ("overlap", "run_overlap", "photo_psnr_db"):
            if mine and name in mine[0]:
                mean = round(float(np.mean([row[name] for row in mine])), 3)
                print(json.dumps({"known": known, "mean": name, "value": mean}))
