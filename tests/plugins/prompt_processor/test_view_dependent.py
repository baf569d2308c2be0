"""Tests of texts, blends, negatives and the cache of `view-dependent`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bozzetto.embedding_cache import path_of
from bozzetto.testing.fakes import FakeTextEncoder, cameras_around
from bozzetto.types import ViewCondition
from bozzetto_plugins.prompt_processor.config import ViewDependentConfig
from bozzetto_plugins.prompt_processor.view_dependent import ViewDependent


def see(config: ViewDependentConfig, azimuth: list[float], elevation: float = 0.0) -> ViewCondition:
    condition = ViewDependent(config, "a ball", "").encode(FakeTextEncoder(), None)
    return condition.for_view(cameras_around(azimuth, elevation))


def embedding(text: str) -> torch.Tensor:
    return FakeTextEncoder().encode_text([text])[0]


def test_texts_are_the_papers() -> None:
    assert ViewDependent(ViewDependentConfig(), "a ball", "").texts() == {
        "front": "a ball, front view",
        "side": "a ball, side view",
        "back": "a ball, back view",
        "overhead": "a ball, overhead view",
    }


def test_single_texts_can_be_replaced() -> None:
    config = ViewDependentConfig(template="{view} view of {prompt}", prompt_back="the back of a ball")
    texts = ViewDependent(config, "a {strange} ball", "").texts()
    assert texts["back"] == "the back of a ball"
    assert texts["front"] == "front view of a {strange} ball"


@pytest.mark.parametrize(
    ("azimuth", "elevation", "view"),
    [(10.0, 0.0, "front"), (-80.0, 30.0, "side"), (170.0, -10.0, "back"), (170.0, 70.0, "overhead")],
)
def test_a_hard_switch_by_angles(azimuth: float, elevation: float, view: str) -> None:
    condition = see(ViewDependentConfig(), [azimuth], elevation)
    torch.testing.assert_close(condition.text[0], embedding(f"a ball, {view} view"))
    assert condition.negatives is None


@pytest.mark.parametrize(("azimuth", "view"), [(90.0, "left side"), (-90.0, "right side"), (10.0, "front")])
def test_sides_can_be_told_apart(azimuth: float, view: str) -> None:
    condition = see(ViewDependentConfig(distinguish_sides=True), [azimuth])
    torch.testing.assert_close(condition.text[0], embedding(f"a ball, {view} view"))


def test_sides_told_apart_have_texts_of_their_own() -> None:
    config = ViewDependentConfig(distinguish_sides=True, prompt_left_side="a ball from its left")
    texts = ViewDependent(config, "a ball", "").texts()
    assert texts["left side"] == "a ball from its left"
    assert texts["right side"] == "a ball, right side view"


def test_negatives_go_with_sides_told_apart() -> None:
    condition = see(ViewDependentConfig(negatives=True, distinguish_sides=True), [0.0])
    expected = torch.stack([embedding("a ball, front view"), embedding("a ball, side view")])
    torch.testing.assert_close(condition.negatives[0], expected)


def test_thresholds_are_used() -> None:
    config = ViewDependentConfig(front_deg=60.0, overhead_deg=20.0)
    torch.testing.assert_close(see(config, [40.0]).text[0], embedding("a ball, side view"))
    torch.testing.assert_close(see(config, [0.0], 25.0).text[0], embedding("a ball, overhead view"))


def test_blends_by_azimuth() -> None:
    text = see(ViewDependentConfig(mode="interpolate"), [0.0, 30.0, -135.0]).text
    front, side, back = (embedding(f"a ball, {view} view") for view in ("front", "side", "back"))
    expected = torch.stack([front, (2 * front + side) / 3, (side + back) / 2])
    torch.testing.assert_close(text, expected, rtol=1e-4, atol=1e-5)


def test_with_negatives_the_prompt_is_blended() -> None:
    azimuth = [0.0, 30.0, 90.0, 150.0, -120.0]
    found = see(ViewDependentConfig(negatives=True), azimuth)
    expected = see(ViewDependentConfig(mode="interpolate"), azimuth)
    torch.testing.assert_close(found.text, expected.text)
    assert not torch.equal(found.text, see(ViewDependentConfig(), azimuth).text)


def test_negatives_are_front_and_side_with_weights_by_azimuth() -> None:
    condition = see(ViewDependentConfig(negatives=True), [0.0, 180.0])
    expected = torch.stack([embedding("a ball, front view"), embedding("a ball, side view")])
    torch.testing.assert_close(condition.negatives, expected.expand(2, -1, -1, -1))
    weights = torch.tensor([[0.0, -1.574], [-1.967, -0.394]])
    torch.testing.assert_close(condition.negative_weights, weights, rtol=0, atol=2e-4)


def test_negatives_are_weighed_as_the_settings_say() -> None:
    found = see(ViewDependentConfig(negatives=True, perp_neg="stable-dreamfusion"), [0.0, 45.0, 180.0])
    weights = torch.tensor([[0.0, -2.0], [-0.736, -0.0135], [-2.0, -1.0]])
    torch.testing.assert_close(found.negative_weights, weights, rtol=0, atol=3e-4)
    torch.testing.assert_close(found.text, see(ViewDependentConfig(mode="interpolate"), [0.0, 45.0, 180.0]).text)


def test_equal_texts_are_encoded_once() -> None:
    encoder = FakeTextEncoder()
    ViewDependent(ViewDependentConfig(template="{prompt}"), "a ball", "a ball").encode(encoder, None)
    assert encoder.encoded == ["a ball", ""]  # and the empty prompt, for scores


def test_only_what_is_missing_is_encoded(tmp_path: Path) -> None:
    processor, encoder = ViewDependent(ViewDependentConfig(), "a ball", ""), FakeTextEncoder()
    first = processor.encode(encoder, tmp_path)
    path_of(tmp_path, "fake", "a ball, side view").unlink()
    encoder.encoded.clear()
    again = processor.encode(encoder, tmp_path)
    assert encoder.encoded == ["a ball, side view"]
    torch.testing.assert_close(first.text, again.text)


@pytest.mark.parametrize("damage", [b"", b"not safetensors at all"])
def test_a_damaged_file_is_made_again(tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    processor = ViewDependent(ViewDependentConfig(), "a ball", "")
    first = processor.encode(FakeTextEncoder(), tmp_path)
    path = path_of(tmp_path, "fake", "a ball, back view")
    path.write_bytes(damage)
    again = processor.encode(FakeTextEncoder(), tmp_path)
    assert "damaged" in caplog.text
    torch.testing.assert_close(first.text, again.text)
    idle = FakeTextEncoder()
    processor.encode(idle, tmp_path)
    assert idle.encoded == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"front_deg": 0.0}, r"^front_deg: must lie in \(0, 180\], got 0.0$"),
        ({"front_deg": 270.0}, r"^front_deg: must lie in \(0, 180\], got 270.0$"),
        ({"overhead_deg": 91.0}, "^overhead_deg: must lie in"),
        ({"template": "{view} view"}, "^template: must contain {prompt}"),
        ({"template": "{prompt}, {angle}"}, "^template: must contain {prompt}"),
        ({"template": "{prompt}, {view"}, "^template: "),
        ({"prompt_left_side": "x"}, "^prompt_left_side: is used only with distinguish_sides"),
        ({"mode": "hard", "negatives": True}, "^mode: negatives are weighed against .* set mode to interpolate"),
        ({"prompt_side": " "}, "^prompt_side: must not be empty"),
        ({"perp_neg": "stable-dreamfusion"}, "^perp_neg: weighs negatives, and there are none"),
        (
            {"negatives": True, "perp_neg": "stable-dreamfusion", "perp_neg_side_back": (1.0, 0.5, 0.0)},
            "^perp_neg_side_back: has no effect with perp_neg 'stable-dreamfusion'",
        ),
        ({"perp_neg_side_back": (1.0, 0.5, -0.9)}, "^perp_neg_side_back: .* got -0.293"),
    ],
)
def test_impossible_settings_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ViewDependentConfig(**values)
