"""Verdicts on the runs of scores, their table in `docs/scores.md`, and a contact sheet of each score."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from io import BytesIO
from pathlib import Path
from types import MappingProxyType

from jaxtyping import Float
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from bozzetto.engine.pictures import pixels_of
from bozzetto.engine.run_folder import RunFolder
from bozzetto.files import write_atomically, write_text
from bozzetto_priors.judges.ground_truth import Truth
from bozzetto_priors.judges.own_encoder_judge import OwnJudge
from bozzetto_priors.judges.photograph_judge import PhotoJudge
from bozzetto_priors.judges.saturation import saturation
from bozzetto_priors.objects.thing_table import PIECES
from finished_runs import evaluation_cameras, installed, load_run
from quality import subject_of
from quality_report import Judges, Photos, Subject, Verdict, second_fronts, sheet
from score_runs import SIZE, Budget, Case, Result

BEGIN, END = "<!-- scores: measured -->", "<!-- scores: end -->"
"""Markers around the table in `docs/scores.md`."""
COLUMNS = (
    "steps", "s a step", "peak MB", "own judge", "photograph judge, %", "dB", "overlap", "saturation", "second front",
)  # fmt: skip
FORM_ONLY = ("debiased", "perp-neg")
"""Recipes whose method the bundled prior cannot show, as their profile `cpu` says."""
FORM_NOTE = (
    "Form only: the recipe runs with the bundled prior but does not show its method, since words for the view mean "
    "nothing to it. Such a row says what a step costs; its objects are nearly those of `sds` in as many steps."
)
COLORS = 128
"""Number of colours of a sheet, so that its file is small."""
IDLE = 0.9
"""Share of a core above which it counts as idle otherwise."""

EMPTY: Mapping[str, Sequence[Result]] = MappingProxyType({})

Cases = Mapping[tuple[str, Budget], Sequence[Case]]
"""Cases by score and budget."""


@dataclass(frozen=True)
class Judged:
    """A finished run and what is said of its views; or the truth, which cost nothing."""

    verdict: Verdict
    saturation: float
    result: Result | None = None


def costs_of(folder: Path) -> Sequence[Result]:
    """Return the results of all runs of a score below a folder."""
    return [Result(**json.loads(path.read_text(encoding="utf-8"))) for path in sorted(folder.glob("*/*/result.json"))]


def write_report(
    cases: Cases, out: Path, docs: Path, data: Path, command: str, costs: Mapping[str, Sequence[Result]]
) -> None:
    """Judge all finished cases, and write the table and the sheets of the scores that have finished all of a budget.

    Args:
        data: folder of the true models, see `Truth`.
        command: what made the table, for the page.
        costs: runs that the costs of a score are taken from, instead of its cases'.
    """
    left = {key: [case for case in some if not case.result(out)] for key, some in cases.items()}
    for (score, budget), some in left.items():
        if some:
            print(f"left out  {score}, {budget}: {len(some)} of {len(cases[score, budget])} runs have not finished")
    cases = {key: some for key, some in cases.items() if not left[key]}
    finished = [case for some in cases.values() for case in some]
    if not finished:
        raise SystemExit(f"{out}: no score has finished. Train first: python tools/scores.py run --out {out}")
    subjects = {case.prompt: subject_of(case.prompt) for case in finished}
    truth = true_views(finished[0], subjects, out, data)
    judges = Judges(OwnJudge.load(), PhotoJudge.load())
    true = [
        Judged(judges.judge(subject, "truth", truth[prompt], truth[prompt]), saturation(truth[prompt]))
        for prompt, subject in subjects.items()
    ]
    found = {
        key: [judged(case, subjects[case.prompt], truth[case.prompt], judges, out) for case in some]
        for key, some in cases.items()
    }
    table = section(true, found, command, costs)
    page = docs / "scores.md"
    write_text(page, between_markers(page.read_text(encoding="utf-8"), table))
    write_sheets(cases, list(subjects.values()), out, docs / "gallery" / "scores")
    print(f"{len(finished)} runs: {page}")


def true_views(case: Case, subjects: Mapping[str, Subject], out: Path, data: Path) -> dict[str, Tensor]:
    """Render the true model of each subject from the cameras of a finished run."""
    (manifest, *_) = sorted((case.folder(out) / "runs").glob("*/*/manifest.json"))
    _, scene = load_run(RunFolder.existing(manifest.parent), installed())
    cameras, truth = evaluation_cameras(scene, 8, SIZE), Truth(data, SIZE)
    return {prompt: truth.pictures(PIECES[one.phrase], cameras, one.color) for prompt, one in subjects.items()}


def judged(case: Case, subject: Subject, truth: Float[Tensor, "8 4 S S"], judges: Judges, out: Path) -> Judged:
    """Return what is said of a finished case, from its folder if it has been said before."""
    result, path = case.result(out), case.folder(out) / "verdict.json"
    if path.is_file():
        said = json.loads(path.read_text(encoding="utf-8"))
        photos = said["verdict"].pop("photos")
        verdict = Verdict(**said["verdict"], photos=Photos(**photos) if photos else None)
        return Judged(verdict, said["saturation"], result)
    picture = views(case, out)
    found = Judged(judges.judge(subject, f"seed {case.seed}", picture, truth), saturation(picture), result)
    write_text(path, json.dumps(asdict(replace(found, result=None)), indent=1))
    return found


def views(case: Case, out: Path) -> Float[Tensor, "8 4 S S"]:
    """Return the views of a finished case: RGB in [0, 1] times opacity, then opacity."""
    return load_file(case.folder(out) / "views.safetensors")["views"].float() / 255.0


def section(
    true: Sequence[Judged],
    found: Mapping[tuple[str, Budget], Sequence[Judged]],
    command: str,
    costs: Mapping[str, Sequence[Result]] = EMPTY,
) -> str:
    """Return the Markdown from one marker to the other: for each budget a table of scores, the true models first."""
    prompts = list(dict.fromkeys(one.verdict.prompt for one in true))
    seeds = len({one.verdict.source for some in found.values() for one in some})
    text = (
        f"{BEGIN}\n```console\n{command}\n```\n\n"
        f"{len(prompts)} prompts ({', '.join(prompts)}), {seeds} seed{'s' * (seeds > 1)} of each, one core, the "
        f"bundled prior. Numbers are medians over seeds, then means over prompts.{_waited(found, costs)}\n"
    )
    for budget in dict.fromkeys(budget for _, budget in found):
        what = "steps each" if budget.unit == "steps" else "seconds of training each"
        text += f"\n{budget.amount:g} {what}:\n\n{_head()}{_row('the true models', true, true, ())}"
        rows = {score: some for (score, of), some in found.items() if of == budget}
        text += "".join(_row(_label(score), some, true, costs.get(score, ())) for score, some in rows.items())
    note = f"\n{FORM_NOTE}\n" if any(score in FORM_ONLY for score, _ in found) else ""
    return f"{text}{note}{END}"


def _label(score: str) -> str:
    return f"`{score}`{' (form only)' if score in FORM_ONLY else ''}"


def _waited(found: Mapping[tuple[str, Budget], Sequence[Judged]], costs: Mapping[str, Sequence[Result]]) -> str:
    """Say how much of the core the runs had whose costs are shown: seconds are of processor time."""
    results = [one for some in costs.values() for one in some]
    results = results or [one.result for some in found.values() for one in some if one.result]
    share = statistics.median(one.seconds_per_step / one.wall_seconds_per_step for one in results)
    idle = "" if share > IDLE else ", so other processes ran beside them, and steps would be somewhat faster alone"
    return f" Seconds are processor time; the runs had {100 * share:.0f} % of the core{idle}."


def _head() -> str:
    return f"| score | {' | '.join(COLUMNS)} |\n|---|{'---:|' * len(COLUMNS)}\n"


def _row(label: str, some: Sequence[Judged], true: Sequence[Judged], costs: Sequence[Result]) -> str:
    """Return a row of a table; what is not known of it is left empty."""
    results = [one.result for one in some if one.result]
    cells = ["", "", ""]
    if results:
        costs = costs or results
        peaks = [one.peak_mb for one in costs if one.peak_mb is not None]
        cells = [
            f"{statistics.median(one.steps for one in results):.0f}",
            f"{statistics.median(one.seconds_per_step for one in costs):.2f}",
            f"{statistics.median(peaks):.0f}" if peaks else "",
        ]
    known = [one for one in some if one.verdict.photos]
    top1, top5 = (_mean(known, lambda one, key=key: getattr(one.verdict.photos, key)) for key in ("top1", "top5"))
    cells += [f"{sum(one.verdict.named for one in some)} of {len(some)}", f"{100 * top1:.0f} / {100 * top5:.0f}"]
    near = [_mean(some, lambda one: one.verdict.psnr_db), _mean(some, lambda one: one.verdict.overlap)]
    cells += [f"{near[0]:.1f}", f"{near[1]:.2f}"] if results else ["", ""]
    fronts = second_fronts([one.verdict for one in [*true, *some]])
    cells += [f"{_mean(some, lambda one: one.saturation):.2f}", f"{sum(fronts)} of {len(fronts)}" if fronts else ""]
    return f"| {label} | {' | '.join(cells)} |\n"


def _mean(some: Sequence[Judged], value: Callable[[Judged], float]) -> float:
    """Return the mean over prompts of the median over seeds; 0 of nothing."""
    of: dict[str, list[float]] = {}
    for one in some:
        of.setdefault(one.verdict.prompt, []).append(value(one))
    return statistics.mean(map(statistics.median, of.values())) if of else 0.0


def between_markers(page: str, table: str) -> str:
    """Replace what is between the markers of a page, which must have them. Raises ValueError if it has not."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no lines {BEGIN} and {END}: put them where the table belongs")
    return before + table + after


def write_sheets(cases: Cases, subjects: Sequence[Subject], out: Path, folder: Path) -> None:
    """Write a sheet of each score: one row per prompt, four sides of the first seed with the first budget."""
    folder.mkdir(parents=True, exist_ok=True)
    first = next(iter(cases))[1]
    for (score, budget), some in cases.items():
        if budget == first:
            pictures = {(case.prompt, "run"): views(case, out) for case in some if case.seed == some[0].seed}
            save_small(folder / f"{score}.png", sheet(subjects, ["run"], pictures))


def save_small(path: Path, image: Float[Tensor, "H W 3"]) -> None:
    """Write an image in [0, 1] as a PNG with a palette."""
    palette = Image.fromarray(pixels_of(image)).quantize(COLORS, dither=Image.Dither.NONE)
    written = BytesIO()
    palette.save(written, "PNG", optimize=True)
    write_atomically(path, lambda temporary: temporary.write_bytes(written.getvalue()))
