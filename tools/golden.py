"""Record the tensors that every shipped recipe trains in 20 steps, or compare them with a record.

python tools/golden.py record GOLDEN.json --out RUN/golden
python tools/golden.py check GOLDEN.json --out RUN/golden-after

Both profiles of every recipe train with the bundled priors on one CPU thread from seed 0. The record holds the SHA-256
of the trained tensors of every stage, and of two recipes that of the exported GLB: a refactoring must not change them.
It is valid on one machine with one torch, for other processors round differently.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import trimesh
import yaml

ROOT = Path(__file__).parents[1]
STEPS = 20
EXPORTED = ("dreamfusion-sd cpu", "magic3d cpu")
TEXT, PHOTO = "guidance.model=bozzetto-mini", "guidance.model=bozzetto-mini-zero123"
GUIDANCES = {
    "zero123": (f"system.tasks.random.{PHOTO}",),
    "magic123": (f"system.tasks.random.{PHOTO}", f"system.tasks.text.{TEXT}"),
    "fantasia3d": (
        f"system.tasks.random.{TEXT}",
        "stages.geometry.system.tasks.random.guidance.as_latent_until_step=0",
    ),
}
"""Bundled priors of each recipe; of all others the one for text. Normals fill four latent channels, not its 48."""
INPUTS = {
    "zero123": ("image=docs/photos/chair.png",),
    "magic123": ("image=docs/photos/chair.png", "prompt=a chair"),
}


@dataclass(frozen=True)
class Case:
    """A recipe with a profile."""

    recipe: Path
    profile: str

    @property
    def name(self) -> str:
        """Key in the record."""
        return f"{self.recipe.stem} {self.profile}"

    def settings(self) -> list[str]:
        """Overrides that make it short, and run on a CPU."""
        stem = self.recipe.stem
        stages = yaml.safe_load(self.recipe.read_text()).get("stages") or {}
        steps = [f"stages.{stage}.trainer.steps={STEPS}" for stage in stages] or [f"trainer.steps={STEPS}"]
        exports = [] if self.name in EXPORTED else ["export=null"]
        models = GUIDANCES.get(stem, (f"system.tasks.random.{TEXT}",)) if self.profile == "cuda" else ()
        return [*INPUTS.get(stem, ()), *steps, *exports, *models, "device=cpu", "trainer.image_every=0", "seed=0"]


def cases() -> Iterator[Case]:
    """Every shipped recipe with both profiles."""
    for recipe in sorted((ROOT / "configs").glob("*.yaml")):
        for profile in ("cpu", "cuda"):
            yield Case(recipe, profile)


def digest(state: dict[str, torch.Tensor]) -> str:
    """SHA-256 of tensors and their names, in the order of the names."""
    sha = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        sha.update(tensor.view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return sha.hexdigest()


def run(case: Case, out: Path) -> dict[str, str]:
    """Train a case and hash the results. Raises SystemExit if it does not train."""
    home, cube = out / case.name.replace(" ", "-"), out / "cube.obj"
    settings = case.settings()
    if case.recipe.stem == "texture-mesh":
        out.mkdir(parents=True, exist_ok=True)
        trimesh.creation.box((1.0, 1.0, 1.0)).export(cube)
        settings.append(f"system.geometry.asset.path={cube.absolute()}")
    command = [sys.executable, "launch.py", "--config", str(case.recipe), "--profile", case.profile, *settings]
    done = subprocess.run(
        [*command, f"output={home}"], cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{case.name} ended with {done.returncode}:\n{done.stdout[-2000:]}")
    (folder,) = {path.parent for path in home.glob("*/*/manifest.json")}
    found = {}
    for path in sorted((folder / "checkpoints").glob("*.ckpt")):
        found[path.name] = digest(torch.load(path, map_location="cpu", weights_only=True)["state_dict"])
    for path in (folder / "export").glob("mesh.glb"):
        found[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("record", "check"))
    parser.add_argument("record", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="an empty folder for the runs")
    parser.add_argument("--only", nargs="+", metavar="RECIPE", help="these recipes, by name")
    args = parser.parse_args()
    chosen = [case for case in cases() if not args.only or case.recipe.stem in args.only]
    before = json.loads(args.record.read_text()) if args.record.exists() else {}
    changed = []
    for case in chosen:
        found = run(case, args.out)
        print(json.dumps({case.name: found}), flush=True)
        if args.action == "record":
            before[case.name] = found
            args.record.write_text(json.dumps(before, indent=1))
        elif before.get(case.name) != found:
            changed.append(case.name)
    if changed:
        raise SystemExit(f"changed: {', '.join(changed)}")


if __name__ == "__main__":
    main()
