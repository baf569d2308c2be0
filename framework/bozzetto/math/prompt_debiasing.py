"""Words of a prompt that contradict a view direction, by a masked language model's probabilities (Hong et al. 2023).

"Debiasing Scores and Prompts of 2D Diffusion for View-consistent Text-to-3D Generation", prompt debiasing. The model
fills the gap of a sentence such as "This image is depicting a [MASK] view of a smiling cat" with view words. The other
half of the paper, score debiasing, is `score.clip_gradient` by value with a limit that rises linearly.
"""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["KEEP_RATIO", "contradicting_words", "debiased_prompts", "view_probabilities", "view_ratio"]

KEEP_RATIO = 0.95
"""Ratio below which a word contradicts a view."""


def view_probabilities(logits: Float[Tensor, "*S V"]) -> Float[Tensor, "*S V"]:
    """Return probabilities of the view words alone, sum 1, from their logits at the gap."""
    return logits.softmax(dim=-1)


def view_ratio(full: Float[Tensor, "V"], without: Float[Tensor, "W V"]) -> Float[Tensor, "W V"]:
    """Compute how much each word supports each view: `p(v | all words) / p(v)`.

    The logarithm is the pointwise mutual information of word and view. p(v) takes the word as present half of the time:
    `(p(v | all words) + p(v | all but this)) / 2`. 1: indifferent; below 1: the word speaks against the view.

    Args:
        full: probabilities of V views given the prompt.
        without: the same given the prompt without each of W words.
    """
    return full / (0.5 * (without + full))


def contradicting_words(
    full: Float[Tensor, "V"], without: Float[Tensor, "W V"], keep_ratio: float = KEEP_RATIO
) -> Bool[Tensor, "W V"]:
    """Return which words are dropped from which view's prompt: `view_ratio` below `keep_ratio`."""
    return view_ratio(full, without) < keep_ratio


def debiased_prompts(words: Sequence[str], dropped: Bool[Tensor, "W V"]) -> list[str]:
    """Return the prompt of each of V views: the W words that are not dropped, joined by spaces.

    Raises:
        ValueError: the number of words is not that of `dropped`.
    """
    if len(words) != len(dropped):
        raise ValueError(f"{len(words)} words, but decisions for {len(dropped)}")
    return [
        " ".join(word for word, drop in zip(words, column, strict=True) if not drop) for column in dropped.t().tolist()
    ]
