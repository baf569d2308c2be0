"""The classifier, what evaluates a prior with it, and the table of the default recipe's results. Untrained networks."""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

import pytest
import quality
import torch

import cameras
import captions
import classifier
import data
import evaluate
import judge
import objects


@pytest.mark.parametrize(
    ("azimuth", "elevation", "expected"),
    [(0, 0, "front"), (90, 10, "left side"), (-90, 10, "right side"), (180, 0, "back"), (30, 75, "overhead")],
)
def test_views_are_classed_as_the_captions_say(azimuth: float, elevation: float, expected: str) -> None:
    assert judge.VIEWS[classifier.view_class(azimuth, elevation)] == expected


@pytest.mark.parametrize(
    ("azimuth", "elevation", "near"),
    [
        (0, 0, False),
        (36, 0, True),
        (-44, 20, True),
        (54, 0, True),
        (56, 0, False),
        (135, 0, True),
        (0, 55, True),
        (45, 80, False),
    ],
)
def test_views_between_two_words(azimuth: float, elevation: float, near: bool) -> None:
    assert cameras.near_border(azimuth, elevation) is near


def small_views(count: int) -> data.Views:
    """Random pictures of the first things."""
    generator = torch.Generator().manual_seed(0)

    def pixels(channels: int) -> torch.Tensor:
        return torch.randint(0, 256, (count, channels, 64, 64), dtype=torch.uint8, generator=generator)

    camera = torch.stack([torch.linspace(-180, 170, count), torch.zeros(count), torch.full((count,), 3.2)], 1)
    return data.Views(
        pixels(3), pixels(3), pixels(1), camera, torch.randn(count, 3, generator=generator), torch.full((count,), 0.5),
        torch.arange(count) % 3, torch.ones(count),
    )  # fmt: skip


@torch.no_grad()
def test_views_are_read_by_the_thing_that_is_seen() -> None:
    torch.manual_seed(0)
    network, images = judge.Classifier(4, 10, 5).eval(), torch.rand(3, 3, 64, 64)
    views = network(images)[2]
    assert views.shape == (3, 4, 5)
    name, _, view = judge.answer(network, images)
    likeliest = views.softmax(-1)[torch.arange(3), name].argmax(1)
    network.view.bias.view(4, 5)[int(name[0]), (int(view[0]) + 1) % 5] += 100.0
    assert int(judge.answer(network, images)[2][0]) == (int(likeliest[0]) + 1) % 5
    network.view.bias.view(4, 5)[(int(name[0]) + 1) % 4] += torch.randn(5) * 100.0
    assert int(judge.answer(network, images)[2][0]) == (int(likeliest[0]) + 1) % 5, "other things have no say"


def test_pictures_are_shown_larger_and_aside_as_asked() -> None:
    image = torch.zeros(1, 1, 64, 64)
    image[:, :, 24:40, 24:40] = 1.0
    still = judge.show(image, torch.ones(1), torch.zeros(1, 2))
    torch.testing.assert_close(still, image)
    larger = judge.show(image, torch.full((1,), 1.5), torch.zeros(1, 2))
    assert float(larger.sum()) == pytest.approx(1.5**2 * float(image.sum()), rel=0.05)
    aside = judge.show(image, torch.ones(1), torch.tensor([[0.25, -0.5]]))  # 8 px right, 16 px up
    torch.testing.assert_close(aside, image.roll((-16, 8), (2, 3)), atol=1e-4, rtol=0.0)
    turned = judge.show(aside, torch.ones(1), torch.zeros(1, 2), torch.full((1,), torch.pi / 2))
    torch.testing.assert_close(turned, aside.rot90(-1, (2, 3)), atol=1e-4, rtol=0.0)
    soft = judge.blur(image)
    assert (
        float(soft.sum()) == pytest.approx(float(image.sum())) and 0.0 < soft[0, 0, 23, 23] < soft[0, 0, 24, 24] < 1.0
    )


def test_answers_average_over_glances() -> None:
    class Fickle(torch.nn.Module):
        """Sure of 1 at the picture as it is, and a little in favour of 0 at any other glance."""

        def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            same = (images == still[: len(images)]).flatten(1).all(1)
            names = torch.where(same[:, None], torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0]))
            return names, names, names[:, None].expand(-1, 2, 2)

    still = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    name, color, view = judge.answer(Fickle(), still)
    assert name.tolist() == color.tolist() == view.tolist() == [0, 0]


def test_the_classifier_learns_from_labels_of_every_kind() -> None:
    torch.manual_seed(0)
    views = small_views(6)
    images, labels = classifier.draw(views, torch.arange(6), ["red", "blue"] * 3)
    assert images.shape == (6, 3, 64, 64)
    assert labels.name.tolist() == [0, 1, 2, 0, 1, 2]
    assert labels.color.tolist() == [0, 4] * 3
    network = judge.Classifier(4, 10, 5)
    before = classifier.loss_of(network, images, labels, 0.0)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(8):
        optimiser.zero_grad()
        loss = classifier.loss_of(network, images, labels, 0.0)
        loss.backward()
        optimiser.step()
    assert loss.detach() < 0.5 * before.detach()
    _, plain = classifier.draw(views, torch.arange(6), [None] * 6)
    assert (plain.color == -1).all()
    assert torch.isfinite(classifier.loss_of(network, images, plain, 0.1))


def test_only_pictures_from_above_are_turned() -> None:
    torch.manual_seed(0)
    striped = torch.linspace(-1, 1, 64).expand(8, 3, 64, 64).contiguous()  # dark at the left, light at the right
    moved = classifier.distort(striped, torch.arange(8) < 4)
    down = (moved.mean(1)[:, -16:].mean((1, 2)) - moved.mean(1)[:, :16].mean((1, 2))).abs()
    assert (down[4:] < 0.1).all() and (down[:4] > 0.3).any()


def test_views_from_above_are_drawn_three_times_as_often() -> None:
    views = small_views(4)
    views.camera[1, 1] = 70.0
    torch.testing.assert_close(classifier.chances(views), torch.tensor([1.0, 3.0, 1.0, 1.0]))


def test_half_the_pictures_are_tinted() -> None:
    colors = classifier.half_tinted(400, random.Random(0))
    assert 160 < sum(color is not None for color in colors) < 240
    assert {*colors} == {None, *captions.COLORS}


def test_grain_is_weak_differs_between_pictures_and_leaves_the_mean() -> None:
    torch.manual_seed(0)
    grain = classifier.grain(torch.zeros(64, 3, 64, 64))
    strength = grain.flatten(1).std(1)
    assert 0.0 < strength.min() < 0.02 and 0.05 < strength.max() < 0.15
    assert abs(float(grain.mean())) < 2e-3


def test_distorted_pictures_stay_in_range() -> None:
    torch.manual_seed(0)
    images = torch.rand(8, 3, 64, 64) * 2 - 1
    moved = classifier.distort(images, torch.arange(8) < 4)
    assert moved.shape == images.shape
    assert moved.abs().max() <= 1.0 + 1e-5


def test_a_judge_is_read_back_and_names_pictures(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = judge.Classifier(len(objects.THINGS), 10, 5).eval()
    classifier.write(tmp_path, network, {"name": 0.5}, ["chair"])
    told = judge.Judge.load(tmp_path)
    assert told.distinct == {"chair"}
    assert len(told.names) == len(objects.THINGS)
    images = torch.rand(3, 3, 64, 64) * 2 - 1
    expected = judge.answer(network, images)[0].tolist()
    assert [row[0] for row in told.look(images)] == [told.names[i] for i in expected]
    assert json.loads((tmp_path / "classifier.json").read_text())["held_out"] == {"name": 0.5}


def test_a_written_classifier_is_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    network, views = judge.Classifier(len(objects.THINGS), 10, 5).half().float(), small_views(6)  # as it is written
    measured, distinct = classifier.measure(network, views)
    classifier.write(tmp_path, network, measured, distinct)
    monkeypatch.setattr(data, "load_views", lambda folder, held_out: views if held_out else None)
    classifier.check(argparse.Namespace(out=tmp_path, renders=tmp_path))
    printed = json.loads(capsys.readouterr().out)
    assert printed.pop("distinct") == len(distinct)
    assert printed == {key: pytest.approx(value, abs=1e-4) for key, value in measured.items()}


def test_every_name_is_asked_in_every_view_and_in_colours() -> None:
    asked = evaluate.questions(["chair", "apple"], colors=2)
    assert len(asked) == 2 * 6 + 2 * 2
    assert asked[0].prompt == "a chair, front view"
    assert len({q.color for q in asked if q.color and q.name == "chair"}) == 2
    side = evaluate.Question("chair", None, "side")
    assert side.view_is("left side")
    assert side.view_is("right side")
    assert not side.view_is("front")
    assert not evaluate.Question("chair", None, "left side").view_is("right side")


def test_scores_count_views_only_where_they_can_be_told() -> None:
    asked = [
        evaluate.Question("chair", None, "front"),
        evaluate.Question("apple", None, "front"),
        evaluate.Question("chair", "red", "front"),
        evaluate.Question("apple", "blue", "front"),
    ]
    seen = [("chair", "red", "front"), ("apple", "red", "back"), ("chair", "red", "back"), ("chair", "red", "front")]
    result = evaluate.score(asked, seen, frozenset({"chair"}))
    assert (result["name"], result["name_in_colour"], result["color"], result["view"]) == (1.0, 0.5, 0.5, 1.0)
    assert result["missed"] == {"apple": 1}


def test_the_sheet_of_an_evaluation_has_a_row_per_name() -> None:
    picture = evaluate.sheet(torch.zeros(2 * 6 + 2, 3, 64, 64), names=2, colors=1)
    assert picture.size == (64 * 7, 64 * 2)


def test_the_prompts_of_the_quality_table_are_known() -> None:
    names = {thing.name for thing in objects.THINGS}
    assert len(quality.PROMPTS) == len(set(quality.PROMPTS)) == 24
    assert {name for name, _ in quality.PROMPTS} <= names
    assert len(quality.all_runs()) == 72
    assert quality.Run("armchair", "orange", 1).prompt == "an orange armchair"


class Seer:
    """A judge that has its answers ready."""

    distinct = frozenset({"chair"})

    def __init__(self, views: list[str]) -> None:
        self.views = views

    def look(self, images: torch.Tensor) -> list[tuple[str, str, str]]:
        """A red chair from most sides."""
        names = ["chair"] * 5 + ["table"] * 3
        return [(name, "red", view) for name, view in zip(names, self.views, strict=True)]


def test_a_second_front_is_one_seen_at_the_back() -> None:
    images, one = torch.zeros(8, 3, 64, 64), quality.Run("chair", "red", 0)
    views = ["front", "front", "left side", "back", "back", "back", "right side", "front"]
    verdict = quality.judge_run(one, images, Seer(views))
    assert (verdict.named, verdict.votes, verdict.coloured) == (True, 5, True)
    assert (verdict.front_at_front, verdict.second_front) == (True, False)
    views[4] = "front"
    assert quality.judge_run(one, images, Seer(views)).second_front
    even = quality.judge_run(quality.Run("apple", None, 0), images, Seer(views))
    assert (even.second_front, even.coloured, even.named) == (None, None, False)


def test_the_page_tells_shares_and_every_prompt() -> None:
    verdict = quality.judge_run(quality.Run("chair", "red", 0), torch.zeros(8, 3, 64, 64), Seer(["front"] * 8))
    text = quality.page([verdict], {"name": 0.981})
    assert "98.1 % of held-out views" in text
    assert "**100 % of 1**" in text
    assert "| a red chair | chair (5/8) | red | 1 of 1 |" in text
    assert text.count("\n| a") == 24
    assert quality.percent([]) == "none yet"


def test_the_sheet_is_white_where_runs_are_missing() -> None:
    run = quality.all_runs()[0]
    picture = quality.sheet({run: -torch.ones(8, 3, 64, 64)}, quality.PROMPTS[:2])
    assert picture.shape == (128, 64 * 12, 3)
    assert picture[:64, :256].max() == 0.0
    assert picture[64:].min() == 1.0


def test_batch_norms_are_measured_anew() -> None:
    torch.manual_seed(0)
    network = judge.Classifier(4, 10, 5)
    norm = network.stem[1]
    norm.running_mean.fill_(100.0)
    classifier.settle(network, small_views(4), random.Random(0))
    assert norm.running_mean.abs().max() < 10.0
    assert norm.momentum == 0.1


def test_views_are_told_apart_where_distorted_pictures_of_them_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of four things, one is always told from where it is seen, one in seven of eight drawings and one in half."""
    sides = [0.0, 180.0, 45.0]  # the last is near a border, and passed over
    camera = torch.tensor([[azimuth, 0.0, 3.2] for azimuth in sides * 4])
    grey, one = torch.full((12, 3, 64, 64), 128, dtype=torch.uint8), torch.ones(12)
    views = data.Views(grey, grey, grey[:, :1], camera, camera, one, torch.arange(4).repeat_interleave(3), one)
    truth, turn = torch.tensor([classifier.view_class(0.0, 0.0), classifier.view_class(180.0, 0.0)]), iter(range(99))

    def answers(network: judge.Classifier, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        seen, count = truth.repeat(4), next(turn)
        wrong = (seen + 1) % len(judge.VIEWS)
        missed = torch.tensor([False, count == 0, count % 2 == 0, True]).repeat_interleave(2)
        return seen, seen, torch.where(missed, wrong, seen)

    monkeypatch.setattr(classifier, "answer", answers)
    network = judge.Classifier(len(objects.THINGS), 10, len(judge.VIEWS), channels=(4, 4, 4, 4))
    assert classifier.told_apart(network, views)[:2] == [0, 1]
    assert 2 not in classifier.told_apart(network, views)
