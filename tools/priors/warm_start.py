"""Start a denoiser and a text encoder from exported ones, of another depth or with other words."""

from __future__ import annotations

import re

import torch
from transformers import CLIPTextModel

LAYER_OF_UP_BLOCK = re.compile(r"up_blocks\.\d+\.resnets\.(\d+)\.")


def shallower(found: dict[str, torch.Tensor], layers: int) -> dict[str, torch.Tensor]:
    """The weights of a denoiser with more layers a block, for one with `layers`.

    Going down, the first layers stay; going up, the first and the last one, which meets the skip of another width.
    """
    deepest = max(int(match[1]) for key in found if (match := LAYER_OF_UP_BLOCK.match(key)))
    kept = {}
    for key, value in found.items():
        parts = key.split(".")
        if parts[0] in ("down_blocks", "up_blocks") and parts[2] in ("resnets", "attentions"):
            layer = int(parts[3])
            if parts[0] == "up_blocks" and layer == deepest:
                layer = layers
            elif layer >= layers:
                continue
            parts[3] = str(layer)
        kept[".".join(parts)] = value
    return kept


def modulating(found: dict[str, torch.Tensor], own: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights of blocks that add to their features, for `own` blocks that scale them too (FiLM): by one at first.

    They add after their norm what they added before it, so the blocks are near what they were, not the same. Weights
    of blocks that scale already stay.
    """
    return {
        key: torch.cat([torch.zeros_like(value), value])
        if ".time_emb_proj." in key and len(own[key]) == 2 * len(value)
        else value
        for key, value in found.items()
    }


def widened(found: dict[str, torch.Tensor], own: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights of a denoiser that reads noisy latents alone, for one that reads more: nothing of it at first."""
    name = "conv_in.weight"
    missing = own[name].shape[1] - found[name].shape[1]
    return {**found, name: torch.cat([found[name], torch.zeros_like(found[name][:, :missing])], dim=1)}


def warm_start(module: torch.nn.Module, found: dict[str, torch.Tensor]) -> None:
    """Start from exported weights, parameter by parameter where shapes agree."""
    own = module.state_dict()
    alike = {name: value.float() for name, value in found.items() if name in own and own[name].shape == value.shape}
    module.load_state_dict(alike, strict=False)


def follow_words(
    found: dict[str, torch.Tensor], earlier: dict[str, int], text_encoder: CLIPTextModel, now: dict[str, int]
) -> dict[str, torch.Tensor]:
    """`found` with its token embeddings in the order of `now`; new tokens and new places keep their initial ones."""
    own = text_encoder.state_dict()
    tokens, places = (
        next(key for key in found if key.endswith(f"{part}_embedding.weight")) for part in ("token", "position")
    )
    rows = text_encoder.get_input_embeddings().weight.detach().clone()
    kept = [(now[token], row) for token, row in earlier.items() if token in now]
    rows[[row for row, _ in kept]] = found[tokens][[row for _, row in kept]].float()
    positions = own[places].clone()
    positions[: len(found[places])] = found[places].float()
    return {**found, tokens: rows, places: positions}
