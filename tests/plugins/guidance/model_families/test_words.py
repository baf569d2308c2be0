"""Tests of encoded texts in one tensor: what is packed is unpacked, blended alike, and refused in another shape."""

from __future__ import annotations

import pytest
import torch

from bozzetto_plugins.guidance.model_families.words import Words, WordsLayout

LAYOUT = WordsLayout(length=5, width=3, pooled=4, masked=True)
WORDS = Words(torch.randn(2, 5, 3), torch.randn(2, 4), torch.tensor([[1, 1, 0, 0, 0], [1, 1, 1, 1, 0]]).bool())


def test_what_is_packed_is_unpacked() -> None:
    rows = LAYOUT.pack(WORDS)
    assert rows.shape == (2, LAYOUT.rows, 3) and LAYOUT.rows == 5 + 2 + 2 and rows.dtype == torch.float32
    found = LAYOUT.unpack(rows)
    assert torch.equal(found.tokens, WORDS.tokens)
    assert torch.equal(found.pooled, WORDS.pooled)
    assert torch.equal(found.mask, WORDS.mask)


def test_tokens_alone_are_themselves() -> None:
    layout = WordsLayout(5, 3)
    assert torch.equal(layout.pack(Words(WORDS.tokens)), WORDS.tokens)
    found = layout.unpack(WORDS.tokens)
    assert found.pooled is None and found.mask is None


def test_a_blend_has_the_tokens_of_both_texts() -> None:
    found = LAYOUT.unpack(LAYOUT.pack(WORDS).mean(dim=0, keepdim=True))
    torch.testing.assert_close(found.pooled, WORDS.pooled.mean(dim=0, keepdim=True))
    assert found.mask.tolist() == [[True, True, True, True, False]]


def test_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="the model expects"):
        LAYOUT.pack(Words(WORDS.tokens, WORDS.pooled))
    with pytest.raises(ValueError, match=r"shape \(5, 3\), the model expects \(9, 3\)"):
        LAYOUT.unpack(WORDS.tokens)
