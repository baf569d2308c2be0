"""View-dependent prompts: the prompt with a word for the view direction."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.embedding_cache import encode_cached
from bozzetto.kinds.guidance import TextEncoder
from bozzetto.math.view_directions import (
    DIRECTIONS,
    NEGATIVES,
    SIDES,
    hard_weights,
    interpolation_weights,
    perp_neg_weights,
    split_sides,
    switched_perp_neg_weights,
)
from bozzetto.types import Cameras, ViewCondition
from bozzetto_plugins.prompt_processor.config import ViewDependentConfig


class ViewDependent:
    """Prompt processor that appends the view direction to the prompt (DreamFusion, sec. 3.2)."""

    def __init__(self, config: ViewDependentConfig, prompt: str, negative_prompt: str) -> None:
        self.config = config
        self.prompt = prompt
        self.negative_prompt = negative_prompt

    def texts(self) -> dict[str, str]:
        """Return the prompt of each view direction: front, side, back, overhead, then both sides if distinguished."""
        views = (*DIRECTIONS, *SIDES) if self.config.distinguish_sides else DIRECTIONS
        return {view: self._text(view) for view in views}

    def _text(self, view: str) -> str:
        return self._given(view) or self.config.template.format(prompt=self.prompt, view=view)

    def _given(self, view: str) -> str | None:
        """Return the full prompt that the settings give for a view, if any."""
        given: str | None = getattr(self.config, f"prompt_{view.replace(' ', '_')}")
        return given

    def encode(self, encoder: TextEncoder, cache: Path | None) -> ViewDependentCondition:
        """Encode the prompts of all directions and the negative prompt, using `cache` keyed by content hash."""
        texts = [*self.texts().values(), self.negative_prompt]
        embeddings = encode_cached(encoder, texts, cache)
        known = dict(zip(texts, embeddings, strict=True))
        more = [text for text in ("", self.prompt) if text not in known]
        if more:  # apart from the others, whose embeddings would depend on the size of the batch in their last bits
            known |= dict(zip(more, encode_cached(encoder, more, cache).to(embeddings.device), strict=True))
        return ViewDependentCondition(self.config, embeddings[:-1], embeddings[-1], known[""], known[self.prompt])


class ViewDependentCondition:
    """Per-direction embeddings, selected or blended for each camera.

    Args:
        text: one embedding per text, in the order of `ViewDependent.texts`.
        uncond: embedding of the negative prompt.
        empty: of the empty prompt.
        plain: of the prompt without a word for the view.
    """

    def __init__(
        self,
        config: ViewDependentConfig,
        text: Float[Tensor, "D N E"],
        uncond: Float[Tensor, "N E"],
        empty: Float[Tensor, "N E"],
        plain: Float[Tensor, "N E"],
    ) -> None:
        self.config = config
        self.text = text
        self.shared: tuple[Tensor, ...] = (uncond, empty, plain)

    def for_view(self, cameras: Cameras) -> ViewCondition:
        """Return the conditioning of each camera, on the cameras' device."""
        device = cameras.c2w.device
        self.text = self.text.to(device)  # cached embeddings are loaded on the CPU
        self.shared = tuple(embedding.to(device) for embedding in self.shared)
        uncond, empty, plain = (embedding.expand(len(cameras), -1, -1) for embedding in self.shared)
        weights = self._weights(cameras).to(self.text.dtype)
        negatives, negative_weights = self._negatives(cameras) if self.config.negatives else (None, None)
        return ViewCondition(
            text=torch.einsum("bd,dne->bne", weights, self.text),
            uncond=uncond,
            empty=empty,
            plain=plain,
            negatives=negatives,
            negative_weights=negative_weights,
        )

    def _weights(self, cameras: Cameras) -> Float[Tensor, "B D"]:
        config, azimuth_deg, elevation_deg = self.config, cameras.azimuth_deg, cameras.elevation_deg
        if config.blends:
            weights = interpolation_weights(azimuth_deg, elevation_deg, config.overhead_deg)
        else:
            weights = hard_weights(azimuth_deg, elevation_deg, config.front_deg, config.overhead_deg)
        return split_sides(weights, azimuth_deg) if config.distinguish_sides else weights

    def _negatives(self, cameras: Cameras) -> tuple[Float[Tensor, "B 2 N E"], Float[Tensor, "B 2"]]:
        config, azimuth_deg, elevation_deg = self.config, cameras.azimuth_deg, cameras.elevation_deg
        if config.perp_neg == "stable-dreamfusion":
            weights = switched_perp_neg_weights(azimuth_deg, elevation_deg, config.overhead_deg)
        else:
            weights = perp_neg_weights(
                azimuth_deg,
                elevation_deg,
                config.overhead_deg,
                front_side=config.perp_neg_front_side,
                side_front=config.perp_neg_side_front,
                side_back=config.perp_neg_side_back,
                front_side_back=config.perp_neg_front_side_back,
            )
        text = self.text[[DIRECTIONS.index(view) for view in NEGATIVES]]
        return text.expand(len(cameras), -1, -1, -1), weights
