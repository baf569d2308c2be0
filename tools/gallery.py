"""Draw one image of several runs: each scene from the front, both sides and the back.

python tools/gallery.py docs/gallery/gallery.png outputs/dreamfusion-sd/a-hamburger-1a2b3c outputs/...
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from bozzetto.engine.pictures import save_picture
from bozzetto.engine.run_folder import RunFolder
from bozzetto.registry.discovery import Registry
from finished_runs import evaluation_cameras, installed, load_run, look

SIDES = 4


def row_of(folder: RunFolder, registry: Registry, size: int) -> torch.Tensor:
    """Return four views of a run's scene side by side, "size 4*size 3" in [0, 1], over white."""
    _, scene = load_run(folder, registry)
    return torch.cat(list(look(scene, evaluation_cameras(scene, SIDES, size)).image), dim=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--size", type=int, default=192, help="pixels of a side; default: %(default)s")
    parser.add_argument("--columns", type=int, default=1, help="runs beside each other; default: %(default)s")
    args = parser.parse_args()
    registry = installed()
    rows = [row_of(RunFolder.existing(run), registry, args.size) for run in args.runs]
    rows += [torch.ones_like(rows[0])] * (-len(rows) % args.columns)
    beside = [torch.cat(rows[i : i + args.columns], dim=1) for i in range(0, len(rows), args.columns)]
    args.picture.parent.mkdir(parents=True, exist_ok=True)
    save_picture(args.picture, torch.cat(beside, dim=0))


if __name__ == "__main__":
    main()
