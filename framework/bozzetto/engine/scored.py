"""Guidance whose losses are made by a score."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.errors import ConfigError
from bozzetto.kinds.guidance import Guidance
from bozzetto.kinds.score import Attached, PriorSource, Score
from bozzetto.types import Cameras, Guided, Rendered, ViewCondition


def scored(guidance: Guidance, score: Score, seed: int) -> Scored:
    """Return the guidance with a score in place of its own method.

    Args:
        seed: of what the score asks the guidance to initialise.

    Raises:
        ConfigError: the guidance cannot be used by a score.
    """
    if not isinstance(guidance, PriorSource):
        raise ConfigError(f"score: the guidance {type(guidance).__name__} has no method 'prior'. Drop score.")
    if isinstance(score, Attached):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            score.attach(guidance)
    return Scored(guidance, guidance, score)


class Scored:
    """Guidance of a task with a score, which is held outside the module tree, as the guidance's weights are.

    Args:
        source: the same object as `guidance`.
    """

    def __init__(self, guidance: Guidance, source: PriorSource, score: Score) -> None:
        self.guidance, self.source, self.score = guidance, source, score
        self.text_model_id = guidance.text_model_id

    def encode_text(self, texts: Sequence[str]) -> Float[Tensor, "T N E"]:
        """Encode texts with the guidance."""
        return self.guidance.encode_text(texts)

    def unknown_words(self, text: str) -> Sequence[str]:
        """Return the words unknown to the guidance."""
        return self.guidance.unknown_words(text)

    def needs_normal(self, step: int) -> bool:
        """Return whether the guidance reads normals for its latents in this step."""
        return self.guidance.needs_normal(step)

    def __call__(
        self, rendered: Rendered, condition: ViewCondition, cameras: Cameras, step: int, generator: torch.Generator
    ) -> Guided:
        """Return the losses of the score on the prior of these views."""
        return self.score(self.source.prior(condition, cameras, step), rendered, step, generator)
