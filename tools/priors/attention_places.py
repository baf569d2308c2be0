"""Teach cross attention to look at the patch of its own place, before the denoiser is trained on tokens that paint.

Of 77 tokens a query finds its own by chance only; left to the denoiser's loss, it looks at all of them alike, and
their mean says nothing about places. Told directly it takes two minutes: where it is, every feature knows from the
zeros that pad the borders.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from text import PATCHES, tokens_of


@dataclass(frozen=True)
class PlaceSettings:
    """Size and rate of the lesson."""

    steps: int = 400
    batch: int = 16
    rate: float = 2e-3
    heads: int = 2
    """Heads that look at their place; the others stay as free as they were."""


@dataclass(frozen=True)
class Scene:
    """What the denoiser sees in the lesson: noised latents of captions."""

    latents: Tensor
    """ "P C H W"."""
    captions: list[str]
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer
    alphas_cumprod: Tensor

    @torch.no_grad()
    def draw(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Noisy latents "B C H W", their timesteps "B", evenly drawn, and text "B N E"."""
        rows = torch.randint(0, len(self.captions), (count,))
        timesteps = torch.randint(0, len(self.alphas_cumprod), (count,))
        abar = self.alphas_cumprod[timesteps].view(-1, 1, 1, 1)
        clean = self.latents[rows].float()
        noisy = abar.sqrt() * clean + (1 - abar).sqrt() * torch.randn_like(clean)
        texts = [self.captions[int(row)] for row in rows]
        return noisy, timesteps, self.text_encoder(tokens_of(self.tokenizer, texts)).last_hidden_state


def cross_attentions(unet: UNet2DConditionModel) -> list[Attention]:
    """All layers that read the text."""
    return [part for name, part in unet.named_modules() if name.endswith(".attn2")]


def forget_values(unet: UNet2DConditionModel) -> None:
    """Let cross attention add nothing but its bias: what it read in other tokens means nothing in these."""
    for layer in cross_attentions(unet):
        nn.init.zeros_(layer.to_v.weight)


def place_error(layer: Attention, features: Tensor, text: Tensor, heads: int) -> Tensor:
    """Cross entropy of where the first `heads` of `layer` look: `features` "B P F" at their patch of `text` "B N E"."""
    query, key = (
        part.unflatten(-1, (layer.heads, -1))[:, :, :heads] for part in (layer.to_q(features), layer.to_k(text))
    )
    looked = torch.einsum("bphd,bnhd->bhpn", query, key) * layer.scale
    own = torch.arange(PATCHES) + text.shape[1] - PATCHES
    return nn.functional.cross_entropy(looked.flatten(0, 2), own.repeat(looked.shape[0] * heads))


class Looks:
    """Watches where cross attention looks whenever `unet` runs."""

    def __init__(self, unet: UNet2DConditionModel, heads: int):
        self.heads, self.seen = heads, dict[Attention, tuple[Tensor, Tensor]]()
        self.layers = cross_attentions(unet)
        self.hooks = [layer.register_forward_pre_hook(self._keep, with_kwargs=True) for layer in self.layers]

    def _keep(self, layer: nn.Module, inputs: tuple[Tensor], named: dict[str, Tensor]) -> None:
        self.seen[layer] = inputs[0].float(), named["encoder_hidden_states"].float()

    def error(self) -> Tensor:
        """The mean `place_error` of all layers in the last run, which is forgotten."""
        seen, self.seen = self.seen, {}
        return torch.stack([place_error(layer, *seen[layer], self.heads) for layer in self.layers]).mean()

    def stop(self) -> None:
        """Watch no more."""
        for hook in self.hooks:
            hook.remove()


def teach_places(unet: UNet2DConditionModel, scene: Scene, settings: PlaceSettings) -> list[float]:
    """Train the queries and keys of all cross attention, in place.

    Returns:
        The cross entropy of each step, the mean of the layers.
    """
    looks = Looks(unet, settings.heads)
    learned = [weight for layer in looks.layers for weight in (layer.to_q.weight, layer.to_k.weight)]
    optimiser = torch.optim.Adam(learned, lr=settings.rate)
    slower = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.steps)
    errors = []
    for _ in range(settings.steps):
        noisy, timesteps, text = scene.draw(settings.batch)
        with torch.no_grad():
            unet(noisy, timesteps, text)
        loss = looks.error()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        slower.step()
        errors.append(float(loss.detach()))
    looks.stop()
    return errors
