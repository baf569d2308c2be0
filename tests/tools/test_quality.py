"""Tests of the runs of the tool, and of its page. Nothing is trained or rendered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import quality
import quality_report
from bozzetto_priors.judges.own_encoder_judge import Seen
from quality_report import Judges, Photos, Subject, Verdict

CHAIR = Subject("a red chair", "chair", "chair", "red")
SNOWMAN = Subject("a snowman", "snowman", "snowman")


def verdict(
    source: str, prompt: str = "a red chair", named: bool = True, back: bool = False, top: float | None = 0.5
) -> Verdict:
    photos = None if top is None else Photos(top, min(1.0, 2.0 * top))
    return Verdict(prompt, source, "chair" if named else "stool", 7, named, True, back, photos, 25.0, 0.9)


def test_24_prompts_half_of_them_coloured_are_all_known() -> None:
    subjects = [quality.subject_of(prompt) for prompt in quality.PROMPTS]
    assert len(subjects) == 24 and sum(subject.color is not None for subject in subjects) == 12
    assert quality.subject_of("a red chair") == CHAIR
    assert quality.subject_of("an office chair").phrase == "office chair"
    assert quality.subject_of("a dark blue couch") == Subject("a dark blue couch", "sofa", "sofa", "dark blue")
    with pytest.raises(SystemExit, match="'a unicorn' is not"):
        quality.subject_of("a unicorn")


def test_a_run_is_found_where_it_was_started(tmp_path: Path) -> None:
    run = quality.Run("a red chair", 2, mesh=False)
    assert run.folder(tmp_path) is None
    home = tmp_path / "runs" / "a-red-chair-2" / "dreamfusion-sd" / "a-red-chair-1a2b3c"
    home.mkdir(parents=True)
    stages = {"main": {"finished": False}}
    (home / "recipe.yaml").write_text("summary: a run")
    (home / "manifest.json").write_text(json.dumps({"profile": "cpu", "stages": stages}))
    folder = run.folder(tmp_path)
    assert folder.path == home and not quality.is_finished(folder)


class Own:
    """Encoder that recognises a chair from all sides but the last two, and its front at 0 and 180 degrees."""

    def look(self, pictures: torch.Tensor, opacity: torch.Tensor) -> list[Seen]:
        assert pictures.shape[1:] == (3, 6, 6) and pictures.max() <= 1.0
        return [Seen("stool" if i > 5 else "chair", 0.0 if i in (0, 4) else 90.0) for i in range(len(pictures))]


class Photographs:
    """Classifier that recognises one side of eight with one guess, and two with five guesses."""

    def look(self, images: torch.Tensor, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.arange(len(images)) < 1, torch.arange(len(images)) < 2


def test_a_run_is_judged_from_eight_sides_and_held_beside_the_truth() -> None:
    truth = torch.zeros(8, 4, 6, 6)
    truth[:, :, 1:5, 1:5] = torch.tensor([0.5, 0.5, 0.5, 1.0]).view(4, 1, 1)
    picture = truth.clone()
    picture[:, :, 1:3] = 0.0
    found = Judges(Own(), Photographs()).judge(CHAIR, "seed 0", picture, truth)
    assert (found.seen, found.votes, found.named) == ("chair", 6, True)
    assert found.front_at_front and found.front_at_back
    assert found.photos == Photos(0.125, 0.25) and found.overlap == pytest.approx(0.5)
    assert found.psnr_db == pytest.approx(-10.0 * torch.log10(torch.tensor(0.25 * 8 / 36)).item(), abs=1e-4)
    assert Judges(Own(), Photographs()).judge(SNOWMAN, "seed 0", truth, truth).photos is None


def test_shares_are_means_over_what_the_photograph_judge_knows() -> None:
    verdicts = [verdict("truth"), verdict("sample", top=0.25), verdict("seed 0", top=0.5), verdict("seed 1", top=0.0)]
    verdicts += [verdict("truth", "a snowman", top=None), verdict("seed 0", "a snowman", top=None)]
    shares = quality_report.photo_shares(verdicts)
    assert shares == {"truth": Photos(0.5, 1.0), "sample": Photos(0.25, 0.5), "runs": Photos(0.25, 0.5)}


def test_backs_count_only_where_the_true_one_is_no_front() -> None:
    clear = [verdict("truth"), verdict("seed 0", back=True), verdict("seed 1")]
    round_ones = [verdict("truth", "a ball", back=True), verdict("seed 0", "a ball", back=True)]
    assert quality_report.second_fronts(clear + round_ones) == [True, False]


def test_the_page_says_what_is_bad() -> None:
    verdicts = [
        verdict("truth"),
        verdict("sample"),
        verdict("seed 0", top=0.0),
        verdict("seed 1", top=0.0, named=False),
    ]
    page = quality_report.page([CHAIR, SNOWMAN], verdicts)
    assert "right for most sides: **50 % of 2**" in page
    assert "Classified wrongly by the own judge: a red chair (seed 1: stool)." in page
    assert "first five: a red chair." in page and "relative to the truth **0.00**" in page
    assert "Lowest silhouette overlap of a mesh" not in page
    assert "overlap of a mesh: 0.90 (a red chair)." in quality_report.page([CHAIR], [*verdicts, verdict("mesh")])
    assert "| a red chair | chair (7/8); stool (7/8) **wrong** | 50/100 | 0/0, 0/0 | 25.0, 25.0 | 0.90, 0.90 |" in page
    assert "| a snowman |  | unknown | unknown |  |  |" in page
    assert "nothing that it knows has finished" in quality_report.page([SNOWMAN], [])


def test_a_sheet_has_four_sides_of_each_source_and_white_where_one_is_missing() -> None:
    black = torch.zeros(8, 4, 192, 192)
    black[:, 3] = 1.0
    sheet = quality_report.sheet([CHAIR, SNOWMAN], ["truth", "seed 0"], {("a red chair", "truth"): black})
    side = quality_report.TILE
    assert sheet.shape == (2 * side, 8 * side, 3)
    assert not sheet[:side, : 4 * side].any() and sheet[:side, 4 * side :].eq(1.0).all() and sheet[side:].eq(1.0).all()
