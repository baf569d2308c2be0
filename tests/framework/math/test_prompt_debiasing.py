"""Tests of dropping words that contradict a view, with a table in place of a language model."""

from __future__ import annotations

import pytest
import torch

from bozzetto.math.prompt_debiasing import contradicting_words, debiased_prompts, view_probabilities, view_ratio

WORDS = ("a", "smiling", "cat")
FULL = torch.tensor([0.6, 0.3, 0.1])
WITHOUT = torch.tensor([[0.6, 0.3, 0.1], [0.4, 0.3, 0.3], [0.59, 0.31, 0.1]])


def test_a_word_is_dropped_where_the_table_says() -> None:
    dropped = contradicting_words(FULL, WITHOUT)
    assert dropped.nonzero().tolist() == [[1, 2]]
    assert debiased_prompts(WORDS, dropped) == ["a smiling cat", "a smiling cat", "a cat"]


def test_the_ratio_by_hand() -> None:
    torch.testing.assert_close(view_ratio(FULL, WITHOUT)[1], torch.tensor([1.2, 1.0, 0.5]))


def test_indifferent_words_stay() -> None:
    assert not contradicting_words(FULL, FULL.expand(3, 3)).any()


def test_probabilities_are_those_of_the_views_alone() -> None:
    logits = torch.tensor([2.0, 1.0, 0.0, -3.0, 5.0])
    among_all = logits.softmax(dim=0)[:3]
    torch.testing.assert_close(view_probabilities(logits[:3]), among_all / among_all.sum())


def test_words_and_decisions_belong_together() -> None:
    with pytest.raises(ValueError, match="2 words, but decisions for 3"):
        debiased_prompts(WORDS[:2], contradicting_words(FULL, WITHOUT))
