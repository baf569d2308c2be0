"""What the text prior's denoiser is told of captions before it is trained: views, names and colours."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

import captions
import text_start
from objects import THINGS
from text import build_text_encoder, write_tokenizer
from train_unet import UnetSettings, build_unet


@pytest.mark.parametrize("view", captions.VIEWS)
def test_the_view_is_read_from_the_caption(view: str) -> None:
    assert text_start.view_of(captions.caption("hot dog", "red", view)) == view
    assert text_start.view_of(captions.caption("hot dog", "red")) is None


def test_sides_are_opposite_and_side_alone_is_between_them() -> None:
    facts = {view: torch.tensor(row) for view, row in text_start.VIEW_FACTS.items()}
    torch.testing.assert_close(facts["side"], (facts["left side"] + facts["right side"]) / 2)
    assert facts["left side"][:2].tolist() == [0.0, 1.0], "the object's left is at azimuth 90"
    torch.testing.assert_close(facts["left side"][:2], -facts["right side"][:2])
    torch.testing.assert_close(facts["front"][:2], -facts["back"][:2])
    assert set(facts) == set(captions.VIEWS)


def test_a_lesson_says_what_its_captions_say() -> None:
    lesson = text_start.draw_lesson(200, random.Random(0))
    words = list(captions.COLORS)
    for text, view, name, color in zip(lesson.captions, lesson.view, lesson.name, lesson.color, strict=True):
        said = text_start.view_of(text)
        assert view.tolist() == list(text_start.VIEW_FACTS[said] if said else (0.0,) * 4)
        if not text:
            assert name == color == text_start.NOTHING
            continue
        thing = THINGS[int(name)].name
        assert any(word in text for word in [thing, *(w for w, known in captions.SYNONYMS.items() if known == thing)])
        assert color == text_start.NOTHING or words[int(color)] in text
    assert {text_start.view_of(text) for text in lesson.captions} == {*captions.VIEWS, None}


def test_pooled_text_is_taught_to_tell_views(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tokenizer = write_tokenizer(tmp_path)
    unet, encoder = build_unet(UnetSettings(channels=(16, 32)), 4), build_text_encoder(tokenizer).eval()
    encoder.requires_grad_(False)
    assert text_start.says_nothing(unet.add_embedding, encoder, tokenizer)
    before = [weight.clone() for weight in encoder.parameters()]
    errors = text_start.teach_text(
        unet.add_embedding, encoder, tokenizer, text_start.LessonSettings(steps=60, batch=48)
    )
    assert sum(errors[-5:]) < 0.5 * sum(errors[:5])
    assert not text_start.says_nothing(unet.add_embedding, encoder, tokenizer)
    front, back, plain = text_start.pooled(
        unet.add_embedding, encoder, tokenizer, ["a chair, front view", "a chair, back view", "a chair"]
    )
    assert (front - back).norm() > 2.0, "as long as the lesson's gain asks: it stands beside the time embedding"
    assert (front - plain).norm() < (front - back).norm()
    assert all(torch.equal(old, new) for old, new in zip(before, encoder.parameters(), strict=True))


def test_an_untrained_text_encoder_is_taught_too(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tokenizer = write_tokenizer(tmp_path)
    unet, encoder = build_unet(UnetSettings(channels=(16, 32)), 4), build_text_encoder(tokenizer)
    weights = [weight.clone() for weight in encoder.parameters()]
    text_start.teach_text(unet.add_embedding, encoder, tokenizer, text_start.LessonSettings(steps=2, batch=8))
    assert not all(torch.equal(old, new) for old, new in zip(weights, encoder.parameters(), strict=True))
