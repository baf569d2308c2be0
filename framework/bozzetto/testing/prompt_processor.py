"""Contract tests of a prompt processor: subclass `PromptProcessorContract`, define `make`, run with pytest."""

from __future__ import annotations

from pathlib import Path

import torch

from bozzetto.kinds.prompt_processor import PromptProcessor
from bozzetto.testing.checks import HALF, assert_devices_are_taken_from_inputs
from bozzetto.testing.fakes import FakeTextEncoder, cameras_around
from bozzetto.testing.scenes import view_alone
from bozzetto.types import Cameras

__all__ = ["PromptProcessorContract"]


class PromptProcessorContract:
    """Tests of `bozzetto.kinds.prompt_processor.PromptProcessor`.

    class TestMyPrompts(PromptProcessorContract):
        def make(self, prompt, negative_prompt) -> PromptProcessor:
            return MyPrompts(MyPromptsConfig(), prompt, negative_prompt)
    """

    def make(self, prompt: str, negative_prompt: str) -> PromptProcessor:
        """Return a new instance."""
        raise AssertionError(f"{type(self).__name__} must define make()")

    def cameras(self) -> Cameras:
        """Return front, side, back and overhead cameras."""
        return cameras_around([0.0, 90.0, 180.0, 30.0], [0.0, 10.0, 20.0, 85.0])

    def test_texts_hold_the_prompt(self) -> None:
        texts = self.make("a hamburger", "").texts()
        assert texts
        assert all("hamburger" in text for text in texts.values())

    def test_shapes(self) -> None:
        encoder = FakeTextEncoder(length=3, width=5)
        condition = self.make("a hamburger", "blurry").encode(encoder, None).for_view(self.cameras())
        assert condition.text.shape == (4, 3, 5)
        assert condition.uncond.shape == (4, 3, 5)
        assert (condition.negatives is None) == (condition.negative_weights is None)
        if condition.negatives is not None and condition.negative_weights is not None:
            assert condition.negatives.shape == (4, condition.negative_weights.shape[1], 3, 5)
            assert (condition.negative_weights <= 0).all()

    def test_the_negative_prompt_is_the_unconditional_one(self) -> None:
        encoder = FakeTextEncoder()
        condition = self.make("a hamburger", "blurry").encode(encoder, None).for_view(self.cameras())
        expected = encoder.encode_text(["blurry"]).expand(4, -1, -1)
        torch.testing.assert_close(condition.uncond, expected)

    def test_prompts_differ(self) -> None:
        first, other = (
            self.make(prompt, "").encode(FakeTextEncoder(), None).for_view(self.cameras()).text
            for prompt in ("a hamburger", "a pizza")
        )
        assert not torch.allclose(first, other)

    def test_each_camera_alone_as_in_a_batch(self) -> None:
        cameras, condition = self.cameras(), self.make("a hamburger", "").encode(FakeTextEncoder(), None)
        whole = condition.for_view(cameras)
        for index in range(len(cameras)):
            torch.testing.assert_close(condition.for_view(view_alone(cameras, index)).text[0], whole.text[index])

    def test_the_same_texts_and_conditions_every_time(self) -> None:
        first, again = self.make("a hamburger", ""), self.make("a hamburger", "")
        assert first.texts() == again.texts()
        one, two = (made.encode(FakeTextEncoder(), None).for_view(self.cameras()) for made in (first, again))
        assert torch.equal(one.text, two.text) and torch.equal(one.uncond, two.uncond)

    def test_devices_are_taken_from_the_cameras(self) -> None:
        cameras, condition = self.cameras(), self.make("a hamburger", "").encode(FakeTextEncoder(), None)
        assert_devices_are_taken_from_inputs(lambda: condition.for_view(cameras))

    def test_half_precision_embeddings_are_taken(self) -> None:
        encoder = FakeTextEncoder(dtype=HALF)
        condition = self.make("a hamburger", "").encode(encoder, None).for_view(self.cameras())
        assert condition.text.isfinite().all() and condition.uncond.isfinite().all()

    def test_the_cache_saves_the_encoder_work_and_changes_nothing(self, tmp_path: Path) -> None:
        fresh, idle = FakeTextEncoder(), FakeTextEncoder()
        first = self.make("a hamburger", "blurry").encode(fresh, tmp_path).for_view(self.cameras())
        again = self.make("a hamburger", "blurry").encode(idle, tmp_path).for_view(self.cameras())
        assert fresh.encoded
        assert idle.encoded == []
        torch.testing.assert_close(first.text, again.text, rtol=0.0, atol=0.0)
        torch.testing.assert_close(first.uncond, again.uncond, rtol=0.0, atol=0.0)

    def test_the_cache_knows_text_models_apart(self, tmp_path: Path) -> None:
        other = FakeTextEncoder("another model")
        self.make("a hamburger", "").encode(FakeTextEncoder(), tmp_path)
        self.make("a hamburger", "").encode(other, tmp_path)
        assert other.encoded

    def test_no_file_is_named_by_the_prompt(self, tmp_path: Path) -> None:
        prompt = "../a hamburger / " + "x" * 300
        self.make(prompt, "").encode(FakeTextEncoder(), tmp_path)
        assert not [path for path in tmp_path.rglob("*") if "hamburger" in path.name]
        assert list(tmp_path.iterdir())
