"""Tests of debiased prompts: words dropped as a table of probabilities says, and a whole pass through a tiny BERT."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.plugins.prompt_processor.language_models import Table, tiny_bert

from bozzetto.errors import ConfigError, ModelError
from bozzetto.testing.fakes import FakeTextEncoder, cameras_around, tiny_stable_diffusion
from bozzetto.testing.prompt_processor import PromptProcessorContract
from bozzetto_plugins.prompt_processor.config import DebiasedConfig, ViewDependentConfig
from bozzetto_plugins.prompt_processor.debiased import Debiased
from bozzetto_plugins.prompt_processor.view_dependent import ViewDependent

EVEN = (0.25, 0.25, 0.25, 0.25)
PROMPT = "a smiling dog"
SMILING = {
    PROMPT: (0.70, 0.15, 0.05, 0.10),
    "smiling dog": (0.70, 0.15, 0.05, 0.10),  # "a" is indifferent
    "a dog": (0.30, 0.30, 0.30, 0.10),  # without "smiling" side and back are more probable
    "a smiling": (0.70, 0.16, 0.05, 0.09),  # "dog" lowers the side to 0.15 / 0.155 = 0.97, which is kept
}


def made(rows: dict[str, tuple[float, ...]], prompt: str = PROMPT, **values: object) -> tuple[Debiased, Table]:
    processor, table = Debiased(DebiasedConfig(**values), prompt, ""), Table(rows)
    processor.language_model = table
    return processor, table


def test_a_word_is_dropped_exactly_where_the_table_says() -> None:
    processor, _ = made(SMILING)
    assert processor.texts() == {
        "front": "a smiling dog, front view",
        "side": "a dog, side view",
        "back": "a dog, back view",
        "overhead": "a smiling dog, overhead view",
    }
    assert processor.notices == (
        "the prompt of side views is debiased: 'a dog'", "the prompt of back views is debiased: 'a dog'"
    )  # fmt: skip


def test_equal_probabilities_drop_nothing() -> None:
    processor, _ = made(dict.fromkeys(SMILING, EVEN))
    assert processor.texts() == ViewDependent(ViewDependentConfig(), PROMPT, "").texts()
    assert processor.notices == ()


def test_the_ratio_is_the_border() -> None:
    """A word that halves a probability has the ratio 1 / (0.5 + 0.5 * 2) = 2/3."""
    rows = {"a dog": (0.2, 0.4, 0.2, 0.2), "dog": (0.4, 0.2, 0.2, 0.2), "a": (0.2, 0.4, 0.2, 0.2)}
    assert made(rows, "a dog", keep_ratio=0.66)[0].texts()["front"] == "a dog, front view"
    assert made(rows, "a dog", keep_ratio=0.67)[0].texts()["front"] == "dog, front view"


def test_only_named_words_are_judged() -> None:
    processor, table = made({PROMPT: (0.7, 0.1, 0.1, 0.1), "a smiling": EVEN}, words=("dog",))
    assert processor.texts()["side"] == "a smiling, side view"
    assert [text.removeprefix(table.start) for text in table.asked] == [PROMPT, "a smiling"]


def test_both_sides_have_the_prompt_of_side_views() -> None:
    texts = made(SMILING, distinguish_sides=True, prompt_back="the back of a dog")[0].texts()
    assert texts["left side"] == "a dog, left side view" and texts["right side"] == "a dog, right side view"
    assert texts["back"] == "the back of a dog"


def test_the_condition_is_that_of_the_shorter_prompts() -> None:
    encoder, cameras = FakeTextEncoder(), cameras_around([0.0, 90.0, 180.0])
    found = made(SMILING)[0].encode(encoder, None).for_view(cameras)
    expected = encoder.encode_text(["a smiling dog, front view", "a dog, side view", "a dog, back view"])
    torch.testing.assert_close(found.text, expected)
    torch.testing.assert_close(found.plain, encoder.encode_text([PROMPT]).expand(3, -1, -1))


def test_judgements_are_cached(tmp_path: Path) -> None:
    first, asked = made(SMILING)
    first.encode(FakeTextEncoder(), tmp_path)
    again, idle = made({})
    again.encode(FakeTextEncoder(), tmp_path)
    assert asked.asked and not idle.asked and again.texts() == first.texts()


def test_nothing_left_is_an_error() -> None:
    rows = {"smiling dog": (0.7, 0.1, 0.1, 0.1), "dog": EVEN, "smiling": EVEN}
    with pytest.raises(ConfigError, match="every word of the prompt 'smiling dog' speaks against side views"):
        made(rows, "smiling dog")[0].texts()


@pytest.mark.parametrize(
    ("prompt", "values", "message"),
    [
        ("a dog", {"words": ("dogs",)}, "'dogs' is not a word of the prompt 'a dog'. Did you mean 'dog'"),
        ("a [MASK] dog", {}, r"must not contain \[MASK\]"),
    ],
)
def test_prompts_that_cannot_be_debiased(prompt: str, values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Debiased(DebiasedConfig(**values), prompt, "")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"keep_ratio": 1.5}, r"^keep_ratio: must lie in \[0, 1\]"),
        ({"keep_ratio": float("nan")}, "^keep_ratio: "),
        ({"sentence": "a view of {prompt}"}, r"^sentence: must contain \[MASK\] once"),
        ({"sentence": "a [MASK] view"}, "^sentence: must contain {prompt} once"),
        ({"words": ()}, "^words: must name words"),
        ({"model": " "}, "^model: must name a masked language model"),
        ({f"prompt_{view}": "x" for view in ("front", "side", "back", "overhead")}, "nothing is left to debias"),
    ],
)
def test_impossible_settings_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DebiasedConfig(**values)


def test_models_of_another_kind_are_refused(tmp_path: Path) -> None:
    bert = tiny_bert(tmp_path / "bert")
    DebiasedConfig().require_weights(bert)
    with pytest.raises(ModelError, match="is a diffusion model; give a masked language model"):
        DebiasedConfig().require_weights(tiny_stable_diffusion(tmp_path / "sd"))
    settings = bert / "config.json"
    settings.write_text(settings.read_text().replace("BertForMaskedLM", "BertForSequenceClassification"))
    with pytest.raises(ModelError, match="BertForSequenceClassification, which does not fill gaps"):
        DebiasedConfig().require_weights(bert)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("bert") / "tiny")


class TestDebiased(PromptProcessorContract):
    """The contract, with the decisions of a random language model."""

    @pytest.fixture(autouse=True)
    def _folder(self, bert: Path) -> None:
        self.folder = bert

    def make(self, prompt: str, negative_prompt: str) -> Debiased:
        processor = Debiased(DebiasedConfig(words=(prompt.split()[0],)), prompt, negative_prompt)
        processor.use_model(self.folder, torch.device("cpu"))
        return processor
