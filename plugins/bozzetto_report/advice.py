"""What to try next, from the facts of a run: each advice gives its reason, and a command where one would do it."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bozzetto.errors import ModelError
from bozzetto.vocabulary import Vocabulary
from bozzetto_report.curves import means
from bozzetto_report.differences import Parent, stage_steps
from bozzetto_report.facts import RunFacts, StageFacts, at, mapping, number

EMPTY_OPACITY, FULL_OPACITY = 0.02, 0.85
"""Mean opacity of the training views below which the scene is nearly empty, and above which it fills the picture."""
STILL_MOVING = 0.1
"""Relative change of the opacity between the last fifths of a stage from which it has not settled."""
LEAST_OVERLAP = 0.9
"""Silhouette overlap of a mesh with the trained scene below which something was lost; in docs/quality.md the lowest is
0.92."""
LEAST_PSNR_DB = 16.0
"""PSNR of the object alone below which the mesh looks different from the trained scene."""
DEFAULT_RESOLUTION, MOST_RESOLUTION = 128, 1024
"""Marching cubes resolution if the recipe gives none, and the largest."""


@dataclass(frozen=True)
class Tip:
    """Advice for the next run."""

    text: str
    command: str = ""


def advice(run: RunFacts, parent: Parent | None) -> list[Tip]:
    """Return what to try next, the most urgent first."""
    rules: tuple[Callable[[], Iterator[Tip]], ...] = (
        lambda: _ended_early(run),
        lambda: _unknown_words(run),
        lambda: _opacity(run),
        lambda: _length(run, parent),
        lambda: _mesh(run),
        lambda: _anew(run, parent),
    )
    return [tip for rule in rules for tip in rule()]


def _ended_early(run: RunFacts) -> Iterator[Tip]:
    resume = f"bozzetto run --resume {_quoted(run.path.absolute())}"
    if run.state in ("stopped", "broken off"):
        stage = next((stage for stage in run.stages if not stage.finished), None)
        where = f" in stage {stage.name}, after step {stage.steps}" if stage and stage.steps else ""
        yield Tip(f"The run ended early{where}. It goes on from its last checkpoint, as if it had not stopped:", resume)
    if run.state != "failed":
        return
    reason = run.reason
    if reason.startswith("NonFiniteError"):
        text = (
            "A number was not finite. Limit the gradient's norm, or lower the learning rate, and go on from the last "
        )
        yield _resumed(run, f"{text}checkpoint:", "system.optimizer.clip_norm", "1.0")
    elif "memory" in reason.lower():
        text = "Memory ran out. Render fewer views at a time, or smaller ones:"
        tasks = list(mapping(at(run.recipe, "system", "tasks")))[:1]
        keys = [f"system.tasks.{task}.views.batch_size" for task in tasks]
        yield _resumed(run, text, keys[0], "1") if keys else Tip(text, resume)
    elif reason.startswith("ExportError"):
        yield Tip("The training is done, only an export failed. After the change that the message names, export again:",
                  f"bozzetto export {_quoted(run.path.absolute())}")  # fmt: skip
    else:
        yield Tip("After the change that the message names, go on from the last checkpoint:", resume)


def _resumed(run: RunFacts, text: str, key: str, value: str) -> Tip:
    """Advise to resume with another value of a field.

    An override of one that was changed while the run trained is refused; it is changed again on a page.
    """
    resume = f"bozzetto run --resume {_quoted(run.path.absolute())}"
    if any(change.key == key for change in run.changes):
        return Tip(
            f"{text} {key} was changed while it trained, and can be changed again on the page:", f"{resume} --view"
        )
    return Tip(text, f"{resume} {key}={value}")


def _unknown_words(run: RunFacts) -> Iterator[Tip]:
    """Name the words of the prompt that a model with a closed vocabulary does not know."""
    for facts in mapping(run.manifest.get("weights")).values():
        folder = mapping(facts).get("folder")
        if not isinstance(folder, str):
            continue
        try:
            vocabulary = Vocabulary.read(Path(folder))
        except (ModelError, OSError):
            continue
        unknown = vocabulary.unknown(str(run.recipe.get("prompt") or "")) if vocabulary else ()
        if vocabulary is not None and unknown:
            told = vocabulary.notice(unknown, Path(folder))
            yield Tip(f"{told[:1].upper()}{told[1:]}.")


def _opacity(run: RunFacts) -> Iterator[Tip]:
    for stage in run.stages[-1:]:
        for name, values in stage.metrics.columns.items():
            last = means(values, 5)[-1] if len(values) >= 5 else math.nan
            if not name.endswith("/opacity"):
                continue
            if last < EMPTY_OPACITY:
                yield Tip(
                    f"The scene is nearly empty: {name} is {last:.3f} at the end. Give an opposing loss less weight "
                    "(sparsity, opaque), or the guidance more, or start from a denser blob "
                    "(system.geometry.blob_scale)."
                )
            elif last > FULL_OPACITY:
                yield Tip(
                    f"The scene fills the picture: {name} is {last:.3f} at the end, which is often fog in front of the "
                    "cameras. Give sparsity more weight, or start from a smaller blob (system.geometry.blob_std)."
                )


def _length(run: RunFacts, parent: Parent | None) -> Iterator[Tip]:
    """Advise more steps where the recipe had more, or where the last stage has not settled."""
    if run.state != "finished":
        return
    stage = run.stages[-1]
    usual = stage_steps(parent.values, stage.name) if parent else None
    key = "trainer.steps" if len(run.stages) == 1 else f"stages.{stage.name}.trainer.steps"
    if parent and usual and stage.wanted and stage.wanted < usual:
        text = f"It trained {stage.wanted} steps; {parent.name} has {usual}. Train on:"
        yield Tip(text, f"bozzetto run --resume {_quoted(run.path.absolute())} {key}={usual}")
    elif stage.wanted and (moved := _still_moving(stage)):
        text = f"The shape has not settled: {moved} over the last fifths of its steps. Train on:"
        yield Tip(text, f"bozzetto run --resume {_quoted(run.path.absolute())} {key}={2 * stage.wanted}")


def _still_moving(stage: StageFacts) -> str:
    """Return how the opacity still changes at the end of a stage; empty if it does not, or too little is known."""
    for name, values in stage.metrics.columns.items():
        if name.endswith("/opacity") and len(values) >= 20:
            before, after = means(values, 5)[-2:]
            if before > 0.0 and abs(after - before) > STILL_MOVING * before:
                return f"{name} went from {before:.3f} to {after:.3f}"
    return ""


def _mesh(run: RunFacts) -> Iterator[Tip]:
    for exporter, entry in run.exports.items():
        verified = [mapping(facts) for facts in mapping(entry.get("verified")).values()]
        overlap, psnr_db = _least(verified, "silhouette_overlap"), _least(verified, "object_psnr_db")
        given = at(run.recipe, "export", exporter, "resolution")
        resolution = given if isinstance(given, int) else DEFAULT_RESOLUTION
        if overlap < LEAST_OVERLAP and 2 * resolution <= MOST_RESOLUTION:
            yield Tip(
                f"The mesh lost parts of the scene: the silhouettes overlap by {overlap:.3f}. Cut it more finely:",
                f"bozzetto export {_quoted(run.path.absolute())} export.{exporter}.resolution={2 * resolution}",
            )
        elif psnr_db < LEAST_PSNR_DB:
            yield Tip(
                f"The mesh looks different from the scene: PSNR {psnr_db:.1f} dB of the object alone. A soft, foggy "
                "field makes no sharp mesh: train longer, or refine it as a mesh (recipe magic3d)."
            )
        if entry.get("watertight") is False:
            yield Tip("The mesh is not watertight: close its holes before you print it.")


def _least(facts: Iterable[Mapping[str, Any]], name: str) -> float:
    """Return the least of the measured numbers of a name; infinity if there is none."""
    return min((value for one in facts if (value := number(one.get(name))) is not None), default=math.inf)


def _anew(run: RunFacts, parent: Parent | None) -> Iterator[Tip]:
    if run.state == "running" or not run.recipe_text:
        return
    seed = run.recipe.get("seed", 0)
    seed = seed + 1 if isinstance(seed, int) else 1
    changed = {change.key: change.override for change in run.changes}  # of several of one field the last
    command = [f"bozzetto run --config {_quoted(run.path.absolute() / 'recipe.yaml')}"]
    command += [*map(_quoted, changed.values()), f"seed={seed}"]
    text = "The same recipe makes another object of the same words with another seed, and of other words with prompt="
    text += "; what was changed while this run trained then acts from the first step on" if changed else ""
    yield Tip(f"{text}:", " ".join(command))
    bundled = any(mapping(facts).get("source") == "bundled" for facts in mapping(run.manifest.get("weights")).values())
    if bundled and parent and run.recipe.get("prompt") and not run.recipe.get("image"):
        yield Tip(
            "It was made with a bundled prior, a small memory of its training objects. Where CUDA is, the profile cuda "
            "takes Stable Diffusion:",
            f"bozzetto run --config {_quoted(parent.name)} --profile cuda prompt={_quoted(run.subject)}",
        )


def _quoted(text: object) -> str:
    return shlex.quote(str(text))
