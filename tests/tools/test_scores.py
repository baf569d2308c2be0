"""Tests of the tool that measures scores, and of its page. Nothing is trained or rendered."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from PIL import Image

import bozzetto
import score_report
import scores
from bozzetto.config.loading import load_recipe
from quality_report import Photos, Verdict
from score_report import Judged
from score_runs import Budget, Case, Result, own_steps, shipped_scores, shortened, steps_of

STEPS, SECONDS = Budget(100, "steps"), Budget(15.0, "seconds")


def judged(seed: int, dB: float, prompt: str = "a red chair", peak: float | None = None, named: bool = True) -> Judged:
    verdict = Verdict(prompt, f"seed {seed}", "chair", 7, named, True, False, Photos(0.5, 0.75), dB, 0.9)
    return Judged(verdict, 0.4, Result(100, 220, 0.2, 0.25, 20.0, peak))


TRUE = [Judged(Verdict("a red chair", "truth", "chair", 8, True, True, False, Photos(1.0, 1.0), 99.0, 1.0), 0.5)]


def test_every_recipe_with_a_score_on_the_bundled_prior_is_measured() -> None:
    found = shipped_scores(scores.RECIPES, report=print)
    assert found[:2] == ["dreamfusion-sd", "sds"]
    below = {path.stem for path in scores.RECIPES.glob("*.yaml") if "extends: sds" in path.read_text()}
    assert below <= set(found) and "zero123" not in found and "magic3d" not in found


@pytest.mark.parametrize("name", ["hifa", "magic3d"])
def test_schedules_end_as_much_earlier_as_the_steps_do(name: str, registry: object) -> None:
    """The recipe is accepted, half as long; every schedule is at each step where it was at twice the step."""
    plain = bozzetto.check(name, profile="cpu")
    changes = bozzetto.runs.interface.as_settings(shortened(plain, own_steps(plain) // 2))
    half = load_recipe(scores.RECIPES / f"{name}.yaml", registry, changes, "cpu")
    assert own_steps(half) == own_steps(plain) // 2
    for long, short in zip(plain.stages, half.stages, strict=True):
        assert short.optimizer.lr.until_step == round(long.optimizer.lr.until_step / 2)
        assert short.renderer.config == long.renderer.config  # periods stay
    if name == "hifa":
        at = half.stages[0].tasks[0].score.config.timesteps.at
        assert (at.until_step, at.end) == (110, 0.3) and half.stages[0].tasks[0].views.config.resolution_milestones == (
            20,
        )


def test_a_budget_of_seconds_takes_the_steps_that_were_measured(tmp_path: Path) -> None:
    measured = [Case("csd", prompt, 0, STEPS) for prompt in ("a", "b", "c")]
    timed = Case("csd", "a", 0, SECONDS)
    with pytest.raises(ValueError, match="csd: a budget of seconds needs runs with a budget of steps first"):
        steps_of(timed, tmp_path, measured)
    for case, seconds in zip(measured[:2], (0.2, 0.3), strict=True):
        case.folder(tmp_path).mkdir(parents=True)
        result = Result(100, 220, seconds, 0.5, 20.0, None)
        (case.folder(tmp_path) / "result.json").write_text(json.dumps(asdict(result)))
        assert case.result(tmp_path) == result
    assert steps_of(timed, tmp_path, measured) == 60 and steps_of(measured[2], tmp_path, []) == 100
    assert timed.folder(tmp_path) == tmp_path / "csd" / "a-0" / "15-seconds" and timed.result(tmp_path) is None


def test_the_table_has_medians_over_seeds_and_means_over_prompts() -> None:
    runs = [judged(0, 20.0, peak=400.0), judged(1, 22.0), judged(2, 30.0), judged(0, 24.0, "a cat", named=False)]
    text = score_report.section(TRUE, {("csd", STEPS): runs, ("csd", SECONDS): runs[:1]}, "tools/scores.py report")
    assert "| the true models |  |  |  | 1 of 1 | 100 / 100 |  |  | 0.50 |  |\n" in text
    assert "| `csd` | 100 | 0.20 | 400 | 3 of 4 | 50 / 75 | 23.0 | 0.90 | 0.40 | 0 of 3 |" in text
    assert "100 steps each:" in text and "15 seconds of training each:" in text and "3 seeds of each" in text
    assert "the runs had 80 % of the core, so other processes ran beside them" in text
    assert "orm only" not in text
    alone = {"csd": [Result(30, 220, 0.1, 0.1, 3.0, 300.0)]}
    text = score_report.section(TRUE, {("csd", STEPS): runs}, "", alone)
    assert "| `csd` | 100 | 0.10 | 300 | 3 of 4 |" in text and "the runs had 100 % of the core." in text
    page = score_report.between_markers(f"# Page\n\n{score_report.BEGIN}\nold\n{score_report.END}\n\nrest\n", text)
    assert page == f"# Page\n\n{text}\n\nrest\n" and score_report.between_markers(page, text) == page


def test_rows_of_methods_that_the_bundled_prior_cannot_show_are_marked() -> None:
    """Those whose recipes say so, in the report and on the page."""
    text = score_report.section(TRUE, {("perp-neg", STEPS): [judged(0, 20.0)], ("csd", STEPS): [judged(0, 20.0)]}, "")
    assert "| `perp-neg` (form only) | 100 |" in text and "| `csd` | 100 |" in text
    assert text.count(score_report.FORM_NOTE) == 1
    page = (scores.ROOT / "docs" / "scores.md").read_text(encoding="utf-8")
    assert score_report.FORM_NOTE in page
    for name in score_report.FORM_ONLY:
        assert f"| `{name}` |" not in page and page.count(f"| `{name}` (form only) |") == 2
        said = (scores.RECIPES / f"{name}.yaml").read_text(encoding="utf-8").partition("profiles:")[2]
        assert "ignores words for the view" in said
    with pytest.raises(ValueError, match="the page has no lines"):
        score_report.between_markers("# Page", text)


def test_the_page_has_the_markers_and_calls_nothing_the_best() -> None:
    page = (scores.ROOT / "docs" / "scores.md").read_text(encoding="utf-8")
    table = page[page.index(score_report.BEGIN) : page.index(score_report.END)]
    assert "best" not in table


def test_the_command_names_what_differs_from_the_default() -> None:
    plain = scores.parsed(["report", "--out", "x", "--data", "y"])
    assert (
        scores.command_of(plain).splitlines()[1] == "python tools/scores.py report --out RUN/scores --data RUN/debian"
    )
    other = scores.parsed(["report", "--out", "x", "--data", "y", "--prompts", "a cat", "--steps", "50"])
    assert scores.command_of(other).endswith("--data RUN/debian --prompts 'a cat' --steps 50")


def test_a_sheet_is_a_small_file(tmp_path: Path) -> None:
    noise = torch.rand(4 * 96, 4 * 96, 3, generator=torch.Generator().manual_seed(0))
    score_report.save_small(tmp_path / "sheet.png", noise)
    assert (tmp_path / "sheet.png").stat().st_size < 150_000
    assert Image.open(tmp_path / "sheet.png").size == (384, 384)
