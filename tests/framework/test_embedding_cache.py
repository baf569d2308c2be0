"""Tests of the text embedding cache: faults give a notice, and the run continues."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from bozzetto import embedding_cache
from bozzetto.embedding_cache import KEY, encode_cached, path_of
from bozzetto.testing.fakes import FakeTextEncoder

TEXTS = ["a ball", "a box", ""]


def expected() -> torch.Tensor:
    return encode_cached(FakeTextEncoder(), TEXTS, None)


def a_file_in_the_way(cache: Path) -> None:
    cache.write_text("")


def a_link_to_itself(cache: Path) -> None:
    cache.symlink_to(cache)


def a_file_above(cache: Path) -> None:
    cache.parent.rmdir()
    cache.parent.write_text("")


@pytest.mark.parametrize("spoil", [a_file_in_the_way, a_link_to_itself, a_file_above])
def test_a_cache_that_cannot_be_used_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture, spoil) -> None:
    cache = tmp_path / "above" / "cache"
    cache.parent.mkdir()
    spoil(cache)
    for _ in range(2):
        assert torch.equal(encode_cached(FakeTextEncoder(), TEXTS, cache), expected())
    (notice,) = [text for text in caplog.messages if "cannot be kept" in text]
    assert str(cache) in notice and "encodes them again" in notice


def test_a_full_disk_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(tensors: object, path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(embedding_cache, "save_file", full)
    for _ in range(2):
        assert torch.equal(encode_cached(FakeTextEncoder(), TEXTS, tmp_path / "cache"), expected())
    (notice,) = caplog.messages
    assert "No space left" in notice and not list((tmp_path / "cache").iterdir())


@pytest.mark.parametrize(
    "stored",
    [
        torch.zeros(3), torch.zeros(4, 8, dtype=torch.long), torch.full((4, 8), float("nan")), torch.zeros(2, 8),
        torch.zeros(4, 9),
    ],
)  # fmt: skip
@pytest.mark.parametrize("spoilt", [TEXTS[:1], TEXTS])
def test_numbers_that_are_no_embedding_are_made_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, stored: torch.Tensor, spoilt: list[str]
) -> None:
    encode_cached(FakeTextEncoder(), TEXTS, tmp_path)
    for text in spoilt:
        save_file({KEY: stored}, path_of(tmp_path, "fake", text))
    texts = [*TEXTS, "new"]  # one text encoded again shows the expected shape
    assert torch.equal(encode_cached(FakeTextEncoder(), texts, tmp_path), encode_cached(FakeTextEncoder(), texts, None))
    assert "encoded again" in caplog.text
    idle = FakeTextEncoder()
    assert torch.equal(encode_cached(idle, TEXTS, tmp_path), expected()) and idle.encoded == []
