"""View-dependent prompts without the words that contradict the view."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from bozzetto import embedding_cache
from bozzetto.errors import ConfigError, did_you_mean
from bozzetto.kinds.guidance import TextEncoder
from bozzetto.math.prompt_debiasing import contradicting_words, debiased_prompts
from bozzetto.math.view_directions import DIRECTIONS, SIDES
from bozzetto_plugins.prompt_processor.config import DebiasedConfig
from bozzetto_plugins.prompt_processor.masked_language_model import GAP, MaskedLanguageModel
from bozzetto_plugins.prompt_processor.view_dependent import ViewDependent, ViewDependentCondition


class FillsGaps(Protocol):
    """What the processor asks of a language model."""

    @property
    def model_id(self) -> str:
        """Hash of the model's content."""

    def probabilities(self, sentences: list[str], words: tuple[str, ...]) -> Float[Tensor, "S V"]:
        """Return how probable each word is at the gap of each sentence, of these words alone."""


class Debiased(ViewDependent):
    """Prompt debiasing (Hong et al. 2023, arXiv:2303.15413): each view's prompt lacks the words that speak against it.

    A masked language model says how probable `front`, `side`, `back` and `overhead` are as the view of the prompt, and
    of the prompt without each word. The probabilities are computed once and cached; the model is freed before training.
    """

    def __init__(self, config: DebiasedConfig, prompt: str, negative_prompt: str) -> None:
        super().__init__(config, prompt, negative_prompt)
        self.judged = _judged(config, prompt)
        """Positions of the words that may be dropped, in the prompt split at spaces."""
        self.keep_ratio, self.sentence = config.keep_ratio, config.sentence
        self.language_model: FillsGaps | None = None
        self._prompts: dict[str, str] | None = None

    def use_model(self, folder: Path, device: torch.device) -> None:
        """Take the folder of the masked language model."""
        self.language_model = MaskedLanguageModel(folder, device)

    def texts(self) -> dict[str, str]:
        """Return the prompt of each view direction; loads the language model at the first call."""
        self._prompts = self._prompts or self._debias(None)
        return super().texts()

    def encode(self, encoder: TextEncoder, cache: Path | None) -> ViewDependentCondition:
        """Encode the debiased prompts; probabilities of the language model are kept in `cache`, too."""
        self._prompts = self._prompts or self._debias(cache)
        return super().encode(encoder, cache)

    @property
    def notices(self) -> tuple[str, ...]:
        """The prompt of each view that lacks words; empty before the prompts are made."""
        changed = {view: text for view, text in (self._prompts or {}).items() if text != " ".join(self.prompt.split())}
        return tuple(f"the prompt of {view} views is debiased: {text!r}" for view, text in changed.items())

    def _text(self, view: str) -> str:
        direction = "side" if view in SIDES else view
        prompt = (self._prompts or {}).get(direction, self.prompt)
        return self._given(view) or self.config.template.format(prompt=prompt, view=view)

    def _debias(self, cache: Path | None) -> dict[str, str]:
        words = self.prompt.split()
        dropped = torch.zeros(len(words), len(DIRECTIONS), dtype=torch.bool)
        if self.judged:
            dropped[self.judged] = self._contradicting(words, cache)
        prompts = dict(zip(DIRECTIONS, debiased_prompts(words, dropped), strict=True))
        for view, text in prompts.items():
            if not text:
                raise ConfigError(
                    f"system.prompt_processor: every word of the prompt {self.prompt!r} speaks against {view} views. "
                    "Name the words that may be dropped in words, or lower keep_ratio."
                )
        return prompts

    def _contradicting(self, words: list[str], cache: Path | None) -> Bool[Tensor, "J V"]:
        """Return which of the judged words contradict which view."""
        if self.language_model is None:
            raise ConfigError("system.prompt_processor: debiasing needs its language model; call use_model first.")
        kept = [" ".join(words), *(" ".join(words[:at] + words[at + 1 :]) for at in self.judged)]
        sentences = [self.sentence.replace("{prompt}", text) for text in kept]
        key = "\0".join(("view probabilities", *DIRECTIONS, *sentences))
        table = embedding_cache.read(cache, self.language_model.model_id, key) if cache else None
        if table is None or table.shape != (len(sentences), len(DIRECTIONS)):
            table = self.language_model.probabilities(sentences, DIRECTIONS)
            if cache:
                embedding_cache.keep(cache, self.language_model.model_id, key, table)
        return contradicting_words(table[0], table[1:], self.keep_ratio)


def _judged(config: DebiasedConfig, prompt: str) -> list[int]:
    """Return the positions of the words that may be dropped.

    Raises:
        ConfigError: one of them is not in the prompt, or the prompt holds the gap's own word.
    """
    words = prompt.split()
    if GAP in prompt:
        raise ConfigError(f"prompt: must not contain {GAP}, which is the gap of system.prompt_processor.sentence.")
    for word in config.words or ():
        if word not in words:
            raise ConfigError(
                f"system.prompt_processor.words: {word!r} is not a word of the prompt {prompt!r}."
                f"{did_you_mean(word, words)} Words are separated by spaces."
            )
    return [at for at, word in enumerate(words) if config.words is None or word in config.words]
