"""Verdicts of judges on finished runs, and the page and contact sheets that present them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.math.silhouettes import SOLID, overlap
from bozzetto_priors.judges.ground_truth import over_white, psnr
from bozzetto_priors.judges.own_encoder_judge import OwnJudge, Seen
from bozzetto_priors.judges.photograph_judge import KNOWN, PhotoJudge

SIDES = 8
BACK = SIDES // 2
TILE = 96
"""Side of a tile on the contact sheets, pixels."""
SHOWN = slice(0, SIDES, 2)
"""Indices of the sides shown: front, left, back, right."""


@dataclass(frozen=True)
class Subject:
    """Requested object of a prompt."""

    prompt: str
    name: str
    """Name in `thing_table.THINGS`."""
    phrase: str
    """Phrase of the requested piece."""
    color: str | None = None


@dataclass(frozen=True)
class Photos:
    """Shares of the sides whose top-1 and top-5 ImageNet classes are correct."""

    top1: float
    top5: float


@dataclass(frozen=True)
class Verdict:
    """Verdict on one run, one sample of the prior, or the ground truth, from eight sides."""

    prompt: str
    source: str
    """`truth`, `sample`, `seed N` or `mesh`."""
    seen: str
    """Name that the own judge assigns to most sides; `votes` is the number of these sides."""
    votes: int
    named: bool
    front_at_front: bool
    front_at_back: bool
    photos: Photos | None
    """Shares of the photograph judge; None if it has no class for this name."""
    psnr_db: float
    """PSNR over white against the ground truth, dB."""
    overlap: float
    """Silhouette IoU against the ground truth, mean over the sides."""


@dataclass(frozen=True)
class Judges:
    """Both judges, loaded."""

    own: OwnJudge
    photo: PhotoJudge

    def judge(
        self, subject: Subject, source: str, picture: Float[Tensor, "8 4 S S"], truth: Float[Tensor, "8 4 S S"]
    ) -> Verdict:
        """Judge eight images of the object, RGB multiplied by opacity, followed by opacity."""
        shown, opacity = over_white(picture).clamp(0.0, 1.0), picture[:, 3:].clamp(0.0, 1.0)
        seen: list[Seen] = self.own.look(shown, opacity)
        name, votes = Counter(each.name for each in seen).most_common(1)[0]
        photos = None
        if subject.name in KNOWN:
            first, five = self.photo.look(shown, subject.name)
            photos = Photos(float(first.float().mean()), float(five.float().mean()))
        shapes = zip(picture[:, 3] > SOLID, truth[:, 3] > SOLID, strict=True)
        return Verdict(
            subject.prompt, source, name, votes, name == subject.name, seen[0].is_front, seen[BACK].is_front, photos,
            psnr(shown, over_white(truth)), sum(overlap(*pair) for pair in shapes) / SIDES,
        )  # fmt: skip


def second_fronts(verdicts: Sequence[Verdict]) -> list[bool]:
    """Return for each run whether its back is taken for a front, for things whose true sides are distinguished."""
    apart = {v.prompt for v in verdicts if v.source == "truth" and v.front_at_front and not v.front_at_back}
    return [v.front_at_back for v in verdicts if is_run(v) and v.prompt in apart]


def is_run(verdict: Verdict) -> bool:
    """Return whether the verdict is on a run."""
    return verdict.source.startswith("seed")


def photo_shares(verdicts: Sequence[Verdict]) -> dict[str, Photos]:
    """Return mean shares of the photograph judge over the prompts it knows: `truth`, `sample`, `runs`, `mesh`."""
    groups: dict[str, list[Photos]] = {"truth": [], "sample": [], "runs": [], "mesh": []}
    for verdict in verdicts:
        if verdict.photos is not None:
            groups["runs" if is_run(verdict) else verdict.source].append(verdict.photos)
    return {
        name: Photos(*(sum(getattr(one, key) for one in some) / len(some) for key in ("top1", "top5")))
        for name, some in groups.items()
        if some
    }


def percent(flags: Sequence[bool]) -> str:
    """Format the share of true flags, and their number."""
    return f"{100 * sum(flags) / len(flags):.0f} % of {len(flags)}" if flags else "none yet"


def _photo_lines(verdicts: Sequence[Verdict]) -> str:
    shares = photo_shares(verdicts)
    if "truth" not in shares or "runs" not in shares:
        return "- photograph judge: nothing that it knows has finished\n"
    truth, runs = shares["truth"], shares["runs"]
    sampled, mesh = (shares.get(name, Photos(0.0, 0.0)) for name in ("sample", "mesh"))
    lines = ""
    for label, of_runs, of_truth, of_sample, of_mesh in (
        ("first class right", runs.top1, truth.top1, sampled.top1, mesh.top1),
        ("one of the first five classes right", runs.top5, truth.top5, sampled.top5, mesh.top5),
    ):
        lines += (
            f"- photograph judge, {label}: **{100 * of_runs:.0f} %** of the sides of the runs, "
            f"{100 * of_truth:.0f} % of the truth, {100 * of_sample:.0f} % of the prior's samples, "
            f"{100 * of_mesh:.0f} % of the meshes; runs relative to the truth **{of_runs / max(of_truth, 1e-6):.2f}**\n"
        )
    return lines


def _row(subject: Subject, verdicts: Sequence[Verdict]) -> str:
    of = {v.source: v for v in verdicts if v.prompt == subject.prompt}
    runs = [v for v in of.values() if is_run(v)]
    named = " ".join(f"{v.seen} ({v.votes}/{SIDES}){'' if v.named else ' **wrong**'};" for v in runs).rstrip(";")

    def photos(some: Sequence[Verdict]) -> str:
        known = [v.photos for v in some if v.photos is not None]
        return ", ".join(f"{100 * p.top1:.0f}/{100 * p.top5:.0f}" for p in known) or "unknown"

    truth = [of["truth"]] if "truth" in of else []
    near = ", ".join(f"{v.psnr_db:.1f}" for v in runs)
    shape = ", ".join(f"{v.overlap:.2f}" for v in runs)
    return f"| {subject.prompt} | {named} | {photos(truth)} | {photos(runs)} | {near} | {shape} |\n"


def page(subjects: Sequence[Subject], verdicts: Sequence[Verdict]) -> str:
    """Return the content of `docs/quality.md`."""
    runs = [v for v in verdicts if is_run(v)]
    wrong = sorted({f"{v.prompt} ({v.source}: {v.seen})" for v in runs if not v.named})
    unseen = sorted({v.prompt for v in runs if v.photos is not None and v.photos.top5 == 0.0})
    meshes = [v for v in verdicts if v.source == "mesh"]
    bad = [
        f"Classified wrongly by the own judge: {', '.join(wrong) or 'nothing'}.",
        f"Prompts with a run of which no side is right among the photograph judge's first five: "
        f"{', '.join(unseen) or 'none'}.",
    ]
    if meshes:
        worst = min(meshes, key=lambda v: v.overlap)
        bad.append(f"Lowest silhouette overlap of a mesh: {worst.overlap:.2f} ({worst.prompt}).")
    return (
        "# What the default recipe makes\n\n"
        f"`python tools/quality.py` ran the README's recipe with the bundled prior on a CPU: {len(subjects)} prompts, "
        f"{len(runs)} runs. The prior is a memory of its training objects, not a model of the world: a name reproduces "
        "one 3D model that was memorised, and the results are compared with that model (the truth).\n\n"
        f"Two classifiers judge every result from {SIDES} sides at 192 pixels. The *photograph judge* is an ImageNet "
        "classifier that others trained on photographs. It is strict with renders, so its accuracy on renders of the "
        "true models is given for comparison. The *own judge* is the image encoder of the photo prior, which was "
        "trained on renders of these models and is lenient.\n\n"
        f"{_photo_lines(verdicts)}"
        f"- own judge, right for most sides: **{percent([v.named for v in runs])}**\n"
        f"- a second front at the back (Janus problem): **{percent(second_fronts(verdicts))}**, among objects whose "
        "true front and back the own judge distinguishes\n\n"
        f"Faults: {' '.join(bad)}\n\n"
        "![plain prompts](quality/plain.png)\n\n![coloured prompts](quality/coloured.png)\n\n"
        "Rows: prompts in the order of the table. Columns: front, left, back and right of the truth, of a sample of "
        "the prior, of the run of each seed, and of the unlit GLB of the first seed.\n\n"
        "| prompt | own judge: class and number of sides, per seed | photograph judge, truth: first/five, % | "
        "runs | PSNR to the truth, dB | silhouette overlap |\n|---|---|---|---|---|---|\n"
        + "".join(_row(subject, verdicts) for subject in subjects)
    )


def sheet(
    subjects: Sequence[Subject], sources: Sequence[str], pictures: Mapping[tuple[str, str], Tensor]
) -> Float[Tensor, "H W 3"]:
    """Return a contact sheet in [0, 1]: one row per prompt, four sides of each source, white for missing ones."""
    missing, rows = torch.ones(SIDES, 3, TILE, TILE), []
    for subject in subjects:
        found = [pictures.get((subject.prompt, source)) for source in sources]
        tiles = [missing if one is None else _tiles(one) for one in found]
        rows.append(torch.cat(list(torch.cat([some[SHOWN] for some in tiles])), dim=2))
    return torch.cat(rows, dim=1).permute(1, 2, 0)


def _tiles(picture: Float[Tensor, "8 4 S S"]) -> Float[Tensor, "8 3 T T"]:
    shown = over_white(picture)
    return torch.nn.functional.interpolate(shown, (TILE, TILE), mode="bilinear", antialias=True).clamp(0.0, 1.0)
