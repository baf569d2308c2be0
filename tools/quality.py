"""Generate objects for 24 prompts with the README's recipe, three seeds each, and judge them with two judges.

python tools/quality.py --data RUN/debian --out RUN/quality

executes the unfinished runs (an interrupted run is resumed; `--part 0/2` takes every second one, so that two processes
can share the work), judges all finished runs from eight sides, beside the true models and samples of the prior, and
writes `docs/quality.md` with its two contact sheets and `verdicts.json`. `--prompts` selects other prompts, `--prior
FOLDER` uses weights other than the bundled ones. Further requirements are those of the rasteriser and the photograph
judge in tools/bozzetto_priors.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.engine.pictures import save_picture
from bozzetto.engine.run_folder import RunFolder
from bozzetto.files import slug, write_text
from bozzetto.registry.discovery import Registry
from bozzetto.types import Cameras
from bozzetto_priors.judges.ground_truth import Truth
from bozzetto_priors.judges.own_encoder_judge import OwnJudge
from bozzetto_priors.judges.photograph_judge import SIZE, PhotoJudge
from bozzetto_priors.judges.prior_sampler import Sampler
from bozzetto_priors.objects.captions import COLORS, NAMES, caption
from bozzetto_priors.objects.thing_table import PIECES, THINGS
from bozzetto_priors.repository_paths import TEXT_PRIOR
from finished_runs import evaluation_cameras, installed, load_run, look, look_at_mesh
from quality_report import SIDES, Judges, Subject, Verdict, page, sheet

ROOT = Path(__file__).parents[1]
PLAIN = (
    "hamburger", "snowman", "cactus", "mailbox", "teapot", "teddy bear", "rocket", "mushroom", "robot", "pumpkin",
    "lighthouse", "duck",
)  # fmt: skip
COLOURED = (
    ("chair", "red"), ("car", "blue"), ("sofa", "green"), ("vase", "purple"), ("lamp", "orange"), ("mug", "yellow"),
    ("cupcake", "pink"), ("table", "brown"), ("armchair", "blue"), ("gift", "green"), ("hat", "red"), ("cat", "white"),
)  # fmt: skip
PROMPTS = (*map(caption, PLAIN), *(caption(name, color) for name, color in COLOURED))
SEEDS = (0, 1, 2)
RECIPE = ROOT / "configs" / "dreamfusion-sd.yaml"
SAMPLE_STEPS = 8
"""Number of DDIM steps of a sample."""


@dataclass(frozen=True)
class Run:
    """One prompt with one seed."""

    prompt: str
    seed: int
    mesh: bool
    """True if the mesh is exported, too."""

    def home(self, out: Path) -> Path:
        """Return the folder in which the run folder is created."""
        return out / "runs" / f"{slug(self.prompt)}-{self.seed}"

    def folder(self, out: Path) -> RunFolder | None:
        """Return the run folder, or None if the run has not been started."""
        found = sorted(self.home(out).glob("*/*/manifest.json"))
        return RunFolder.existing(found[0].parent) if found else None


def subject_of(prompt: str) -> Subject:
    """Return the thing that a prompt of the form `a [COLOR] NAME` asks for. Raises SystemExit for other prompts."""
    noun = prompt.removeprefix("an ").removeprefix("a ")
    colors = [None, *(color for color in COLORS if noun.startswith(f"{color} "))]
    for color in colors:
        name = noun if color is None else noun.removeprefix(f"{color} ")
        if name in NAMES:
            phrase = list(PIECES)[NAMES[name] - 1]
            (thing,) = (one.name for one in THINGS if phrase in [piece.words for piece in one.pieces])
            return Subject(prompt, thing, phrase, color)
    raise SystemExit(f"{prompt!r} is not `a [COLOR] NAME` with a name of tools/bozzetto_priors/objects/things.txt")


def make(run: Run, out: Path, overrides: Sequence[str]) -> None:
    """Execute the recipe in a separate process unless it has finished; failures are reported and skipped."""
    folder = run.folder(out)
    if folder is not None and is_finished(folder):
        return
    started = [sys.executable, str(ROOT / "launch.py")]
    if folder is not None:
        command = [*started, "--resume", str(folder.path)]
    else:
        written = ["export.turntable=null", "export.mesh.formats=[glb]"] if run.mesh else ["export=null"]
        settings = [f"prompt={run.prompt}", f"seed={run.seed}", f"output={run.home(out)}", *written, *overrides]
        command = [*started, "--config", str(RECIPE), "--profile", "cpu", *settings]
    run.home(out).mkdir(parents=True, exist_ok=True)
    with (run.home(out) / "log.txt").open("a", encoding="utf-8") as log:
        done = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False)
    print(json.dumps({"prompt": run.prompt, "seed": run.seed, "exit": done.returncode}), flush=True)


def is_finished(folder: RunFolder) -> bool:
    """Return whether the manifest has at least one stage and all stages have finished."""
    stages = folder.manifest["stages"]
    return bool(stages) and all(facts.get("finished") for facts in stages.values())


def render(folder: RunFolder, registry: Registry) -> tuple[Float[Tensor, "8 4 S S"], Cameras]:
    """Render the scene from eight sides, front first: RGB in [0, 1] times opacity, then opacity; and the cameras."""
    _, scene = load_run(folder, registry)
    cameras = evaluation_cameras(scene, SIDES, SIZE)
    seen = look(scene, cameras)
    picture = torch.cat([seen.image - (1.0 - seen.opacity), seen.opacity], dim=-1)  # the background is white
    return picture.permute(0, 3, 1, 2), cameras


def sample(
    sampler: Sampler, prompt: str, cameras: Cameras, truth: Float[Tensor, "8 4 S S"]
) -> Float[Tensor, "8 4 S S"]:
    """Sample the prior for a prompt, with the opacity of the ground truth, because samples have none."""
    size = sampler.size
    shown = sampler(prompt, Cameras(cameras.c2w, cameras.fov_y_rad, size, size), SAMPLE_STEPS, seed=0)
    shown = torch.nn.functional.interpolate(shown, (SIZE, SIZE), mode="bilinear", antialias=True)
    return torch.cat([shown - (1.0 - truth[:, 3:]), truth[:, 3:]], dim=1)


def report(runs: Sequence[Run], subjects: Sequence[Subject], out: Path, docs: Path, data: Path, prior: Path) -> None:
    """Judge the finished runs and write the page, the contact sheets and `verdicts.json`."""
    registry = installed()
    judges, truth, sampler = Judges(OwnJudge.load(), PhotoJudge.load()), Truth(data, SIZE), Sampler(prior)
    pictures: dict[tuple[str, str], Tensor] = {}
    verdicts: list[Verdict] = []
    for subject in subjects:
        started = [(run, run.folder(out)) for run in runs if run.prompt == subject.prompt]
        seen = [(run, *render(folder, registry)) for run, folder in started if folder and is_finished(folder)]
        if not seen:
            continue
        cameras = seen[0][2]
        true = truth.pictures(PIECES[subject.phrase], cameras, subject.color)
        of = {"truth": true, "sample": sample(sampler, subject.prompt, cameras, true)}
        of |= {f"seed {run.seed}": picture for run, picture, _ in seen}
        for run, folder in started:
            mesh = look_at_mesh(folder, cameras) if folder and run.mesh else None
            of |= {} if mesh is None else {"mesh": mesh}
        for source, picture in of.items():
            verdicts.append(judges.judge(subject, source, picture, true))
            pictures[subject.prompt, source] = picture
            print(json.dumps(asdict(verdicts[-1])), flush=True)
    write_text(out / "verdicts.json", json.dumps([asdict(verdict) for verdict in verdicts], indent=1))
    (docs / "quality").mkdir(parents=True, exist_ok=True)
    sources = ["truth", "sample", *dict.fromkeys(f"seed {run.seed}" for run in runs), "mesh"]
    coloured = [subject for subject in subjects if subject.color]
    for name, some in (("plain", [one for one in subjects if one not in coloured]), ("coloured", coloured)):
        if some:
            save_picture(docs / "quality" / f"{name}.png", sheet(some, sources, pictures))
    write_text(docs / "quality.md", page(subjects, verdicts))
    print(f"{len(verdicts)} verdicts: {docs / 'quality.md'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder the Debian package of models is unpacked in")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="where quality.md goes; default: %(default)s")
    parser.add_argument("--prior", type=Path, help="a prior's folder, instead of the bundled one")
    parser.add_argument("--part", default="0/1", help="i/n: every n-th run from the i-th, and no page unless 0/1")
    parser.add_argument("--prompts", nargs="+", default=PROMPTS, metavar="PROMPT", help="instead of the 24")
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS, metavar="N", help="default: %(default)s")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="set fields of the recipe")
    args = parser.parse_args()
    overrides = list(args.set)
    if args.prior:
        overrides.append(f"system.tasks.random.guidance.model={args.prior.absolute()}")
    subjects = [subject_of(prompt) for prompt in args.prompts]
    runs = [Run(subject.prompt, seed, seed == args.seeds[0]) for subject in subjects for seed in args.seeds]
    first, every = (int(number) for number in args.part.split("/"))
    for run in runs[first::every]:
        make(run, args.out, overrides)
    if every == 1:
        report(runs, subjects, args.out, args.docs, args.data, args.prior or TEXT_PRIOR)


if __name__ == "__main__":
    main()
