"""Make objects of 24 prompts with the default recipe, three seeds each, and let a classifier judge their renders.

python tools/quality.py --out RUN/quality

runs what is not finished yet (an interrupted run goes on where it stopped; `--part 0/2` takes every second one, so that
two processes can share the work), judges all finished runs from eight sides and writes `docs/quality.md` with its two
contact sheets. `--prior FOLDER` tries weights other than the bundled ones.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools" / "priors"))

from bozzetto import hardware  # noqa: E402
from bozzetto.callbacks import save_picture  # noqa: E402
from bozzetto.files import slug, write_text  # noqa: E402
from bozzetto.load import load_recipe  # noqa: E402
from bozzetto.pipeline import load_scene  # noqa: E402
from bozzetto.registry import Registry, installed_sources  # noqa: E402
from bozzetto.run_folder import RunFolder  # noqa: E402
from captions import caption  # noqa: E402
from judge import TRAINED, Judge  # noqa: E402

PLAIN = (
    "hamburger", "snowman", "cactus", "mailbox", "teapot", "teddy bear", "rocket", "mushroom", "robot", "pumpkin",
    "lighthouse", "duck",
)  # fmt: skip
COLOURED = (
    ("chair", "red"), ("car", "blue"), ("sofa", "green"), ("vase", "purple"), ("lamp", "orange"), ("mug", "yellow"),
    ("cupcake", "pink"), ("table", "brown"), ("armchair", "blue"), ("gift", "green"), ("hat", "red"), ("cat", "white"),
)  # fmt: skip
PROMPTS: tuple[tuple[str, str | None], ...] = (*((name, None) for name in PLAIN), *COLOURED)
SEEDS = (0, 1, 2)
SIDES = 8
BACK = SIDES // 2
RECIPE = ROOT / "configs" / "dreamfusion-sd.yaml"


@dataclass(frozen=True)
class Run:
    """One prompt with one seed."""

    name: str
    color: str | None
    seed: int

    @property
    def prompt(self) -> str:
        """What the recipe is told."""
        return caption(self.name, self.color)

    def home(self, out: Path) -> Path:
        """Where the run's folder is made."""
        return out / "runs" / f"{slug(self.prompt)}-{self.seed}"

    def folder(self, out: Path) -> RunFolder | None:
        """The run's folder, if it has been started."""
        found = sorted(self.home(out).glob("*/*/manifest.json"))
        return RunFolder.existing(found[0].parent) if found else None


@dataclass(frozen=True)
class Verdict:
    """What the classifier saw of a run from eight sides."""

    prompt: str
    seed: int
    seen: str
    votes: int
    color: str | None
    named: bool
    coloured: bool | None
    front_at_front: bool | None
    """None: this object's views cannot be told apart."""
    second_front: bool | None


def all_runs() -> list[Run]:
    """Every prompt with every seed."""
    return [Run(name, color, seed) for name, color in PROMPTS for seed in SEEDS]


def make(run: Run, out: Path, overrides: Sequence[str]) -> None:
    """Run the recipe in a process of its own, unless it is done; failures are told and left."""
    folder = run.folder(out)
    if folder is not None and is_finished(folder):
        return
    started = [sys.executable, str(ROOT / "launch.py")]
    if folder is not None:
        command = [*started, "--resume", str(folder.path)]
    else:
        settings = [f"prompt={run.prompt}", f"seed={run.seed}", f"output={run.home(out)}", "export=null", *overrides]
        command = [*started, "--config", str(RECIPE), "--profile", "cpu", *settings]
    run.home(out).mkdir(parents=True, exist_ok=True)
    with (run.home(out) / "log.txt").open("a", encoding="utf-8") as log:
        done = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False)
    print(json.dumps({"prompt": run.prompt, "seed": run.seed, "exit": done.returncode}), flush=True)


def is_finished(folder: RunFolder) -> bool:
    """Whether every stage the manifest knows has finished, and there is one."""
    stages = folder.manifest["stages"]
    return bool(stages) and all(facts.get("finished") for facts in stages.values())


@torch.no_grad()
def render(folder: RunFolder, registry: Registry) -> Tensor:
    """The scene from eight sides, the front first, "8 3 64 64" in [-1, 1], over white."""
    recipe = load_recipe(folder.recipe_file, registry, [], folder.manifest["profile"], hardware.detect())
    scene = load_scene(recipe, registry, folder, torch.device("cpu"))
    cameras = scene.views.eval_cameras(SIDES, scene.device)
    cameras = type(cameras)(cameras.c2w, cameras.fov_y_rad, 128, 128)
    shading = scene.material.eval_shading(cameras)
    image = scene.renderer(cameras, scene.geometry, scene.material, scene.background, shading).image
    return torch.nn.functional.avg_pool2d(image.permute(0, 3, 1, 2), 2) * 2 - 1


def judge_run(run: Run, images: Tensor, judge: Judge) -> Verdict:
    """The majority of names and colours over the eight sides; whether the back looks like a front."""
    seen = judge.look(images)
    name, votes = Counter(row[0] for row in seen).most_common(1)[0]
    color = Counter(row[1] for row in seen).most_common(1)[0][0] if run.color else None
    told = run.name in judge.distinct
    return Verdict(
        run.prompt, run.seed, name, votes, color, name == run.name, color == run.color if run.color else None,
        seen[0][2] == "front" if told else None, seen[BACK][2] == "front" if told else None,
    )  # fmt: skip


def percent(flags: Sequence[bool | None]) -> str:
    """Share of true among those that are not None, and their number."""
    known = [flag for flag in flags if flag is not None]
    return f"{100 * sum(known) / len(known):.0f} % of {len(known)}" if known else "none yet"


def page(verdicts: Sequence[Verdict], judge_report: dict[str, float]) -> str:
    """`docs/quality.md`."""
    rows = []
    for name, color in PROMPTS:
        prompt = caption(name, color)
        of = [v for v in verdicts if v.prompt == prompt]
        cell = " ".join(f"{v.seen} ({v.votes}/{SIDES}){'' if v.named else ' **wrong**'};" for v in of).rstrip(";")
        fronts = [v.second_front for v in of if v.second_front is not None]
        colors = ", ".join(v.color or "" for v in of) if color else ""
        doubled = f"{sum(fronts)} of {len(fronts)}" if fronts else "not judged" if of else ""
        rows.append(f"| {prompt} | {cell} | {colors} | {doubled} |\n")
    return (
        "# What the default recipe makes\n\n"
        "`python tools/quality.py --out FOLDER` ran the default recipe with the bundled prior on a CPU: "
        f"{len(PROMPTS)} prompts, {len(SEEDS)} seeds, {len(verdicts)} runs. A classifier that was trained on the "
        f"prior's renders alone ({100 * judge_report['name']:.1f} % of held-out views named rightly) named each "
        f"result from {SIDES} sides.\n"
        "\n"
        f"- named rightly by most sides: **{percent([v.named for v in verdicts])}**\n"
        f"- in the colour asked for: **{percent([v.coloured for v in verdicts])}**\n"
        f"- the front looks like a front: {percent([v.front_at_front for v in verdicts])}\n"
        f"- a second front, seen at the back (Janus): **{percent([v.second_front for v in verdicts])}**, among objects "
        "whose views that classifier tells apart in blurred and grainy pictures; the others are not judged\n\n"
        "![plain prompts](quality/plain.png)\n\n![coloured prompts](quality/coloured.png)\n\n"
        "Rows: prompts in the table's order. Columns: front, left, back and right of each seed.\n\n"
        "| prompt | seen as, and by how many sides, per seed | colour seen | second fronts |\n|---|---|---|---|\n"
        + "".join(rows)
    )


def sheet(pictures: dict[Run, Tensor], prompts: Sequence[tuple[str, str | None]]) -> Tensor:
    """Four sides of each seed, a row per prompt, "rows*64 columns*64 3" in [0, 1]; white where a run is missing."""
    rows = []
    for name, color in prompts:
        tiles = [pictures.get(Run(name, color, seed), torch.ones(SIDES, 3, 64, 64))[:: SIDES // 4] for seed in SEEDS]
        rows.append(torch.cat(list(torch.cat(tiles)), dim=2))
    return ((torch.cat(rows, dim=1).permute(1, 2, 0) + 1) / 2).clamp(0, 1)


def report(out: Path, docs: Path, judge: Judge, held_out: dict[str, float]) -> None:
    """Judge what is finished and write the page, the sheets and `verdicts.json`."""
    registry = Registry.discover(installed_sources(os.environ))
    pictures = {}
    for run in all_runs():
        folder = run.folder(out)
        if folder is not None and is_finished(folder):
            pictures[run] = render(folder, registry)
    verdicts = [judge_run(run, images, judge) for run, images in pictures.items()]
    write_text(out / "verdicts.json", json.dumps([asdict(verdict) for verdict in verdicts], indent=1))
    (docs / "quality").mkdir(parents=True, exist_ok=True)
    save_picture(docs / "quality" / "plain.png", sheet(pictures, PROMPTS[: len(PLAIN)]))
    save_picture(docs / "quality" / "coloured.png", sheet(pictures, PROMPTS[len(PLAIN) :]))
    write_text(docs / "quality.md", page(verdicts, held_out))
    print(f"{len(verdicts)} runs judged: {docs / 'quality.md'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classifier", type=Path, default=TRAINED, help="folder written by tools/priors/classifier.py")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="where quality.md goes; default: %(default)s")
    parser.add_argument("--prior", type=Path, help="a prior's folder, instead of the bundled one")
    parser.add_argument(
        "--part", default="0/1", help="i/n: make every n-th run from the i-th, and write no page unless 0/1"
    )
    parser.add_argument("--only", action="append", metavar="NAME", help="make only this name's runs; can be repeated")
    parser.add_argument("overrides", nargs="*", default=[], metavar="key=value", help="set fields of the recipe")
    args = parser.parse_intermixed_args()
    overrides = list(args.overrides)
    if args.prior:
        overrides.append(f"system.tasks.random.guidance.model={args.prior.absolute()}")
    first, step = (int(v) for v in args.part.split("/"))
    for run in all_runs()[first::step]:
        if not args.only or run.name in args.only:
            make(run, args.out, overrides)
    if step == 1:
        held_out = json.loads((args.classifier / "classifier.json").read_text(encoding="utf-8"))["held_out"]
        report(args.out, args.docs, Judge.load(args.classifier), held_out)


if __name__ == "__main__":
    main()
