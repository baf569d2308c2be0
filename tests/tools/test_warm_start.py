"""Starting a prior's training from another prior's weights."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from transformers import CLIPTextConfig, CLIPTextModel

import warm_start
from text import WIDTH
from train_unet import UnetSettings, build_unet


def test_a_word_keeps_its_embedding_when_the_vocabulary_moves() -> None:
    encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=4, hidden_size=2, intermediate_size=2, num_hidden_layers=1, num_attention_heads=1,
            bos_token_id=0, eos_token_id=1, pad_token_id=1,
        )
    )  # fmt: skip
    initial = encoder.get_input_embeddings().weight.detach().clone()
    places = next(key for key in encoder.state_dict() if key.endswith("position_embedding.weight"))
    tokens = places.replace("position", "token")
    found = {
        tokens: torch.tensor([[1.0, 1], [2, 2], [3, 3]], dtype=torch.float16),
        places: torch.full((3, 2), 7.0, dtype=torch.float16),
    }
    earlier, now = {"red": 0, "chair": 1, "gone": 2}, {"chair": 0, "left": 1, "red": 3, "right": 2}
    start = encoder.state_dict()[places].clone()
    followed = warm_start.follow_words(found, earlier, encoder, now)
    rows, positions = followed[tokens], followed[places]
    torch.testing.assert_close(rows[[3, 0]], torch.tensor([[1.0, 1], [2, 2]]))
    torch.testing.assert_close(rows[[1, 2]], initial[[1, 2]])
    torch.testing.assert_close(positions[:3], torch.full((3, 2), 7.0))  # fewer places were known
    torch.testing.assert_close(positions[3:], start[3:])


@pytest.mark.parametrize("layers", [1, 2])
def test_a_shallower_denoiser_takes_every_weight_from_the_deeper_one(layers: int) -> None:
    deep, shallow = (build_unet(replace(UnetSettings(channels=(16, 32)), layers=count), 4) for count in (2, layers))
    kept = warm_start.shallower(deep.state_dict(), layers)
    shallow.load_state_dict(kept)
    last, other = (f"up_blocks.1.resnets.{layer}.conv1.weight" for layer in (2, layers))
    torch.testing.assert_close(shallow.state_dict()[other], deep.state_dict()[last])


def test_what_has_another_shape_keeps_its_start() -> None:
    layer = torch.nn.Linear(2, 3)
    before = layer.weight.detach().clone()
    warm_start.warm_start(layer, {"weight": torch.zeros(3, 4), "bias": torch.full((3,), 2.0)})
    torch.testing.assert_close(layer.weight.detach(), before)
    torch.testing.assert_close(layer.bias.detach(), torch.full((3,), 2.0))


def test_blocks_that_scale_take_the_weights_of_blocks_that_add() -> None:
    name = "mid_block.resnets.0.time_emb_proj.weight"
    added, other = torch.rand(3, 2), torch.rand(3, 2)
    scales = {name: torch.rand(6, 2), "conv.weight": other}
    started = warm_start.modulating({name: added, "conv.weight": other}, scales)
    torch.testing.assert_close(started[name], torch.cat([torch.zeros(3, 2), added]))
    torch.testing.assert_close(started["conv.weight"], other)
    torch.testing.assert_close(warm_start.modulating(scales, scales), scales)


def test_pooled_text_says_nothing_at_first_and_learns() -> None:
    torch.manual_seed(0)
    unet = build_unet(UnetSettings(channels=(16, 32)), 4)
    time = unet.add_embedding(torch.randn(2, 5, WIDTH))
    torch.testing.assert_close(time, time[:1].expand(2, -1))
    unet(torch.randn(2, 4, 16, 16), 500, torch.randn(2, 5, WIDTH)).sample.square().mean().backward()
    assert unet.add_embedding.norm2.weight.grad.abs().sum() > 0.0
