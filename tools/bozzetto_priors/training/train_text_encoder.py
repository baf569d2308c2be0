"""Train the text encoder: which thing of the memory a prompt means, and in which colour.

tools/priors train-text-encoder --out RUN/words --minutes 4

Writes tokenizer, text encoder and the two layers of `CameraUNet` that read its last token.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float, Int
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from bozzetto_priors.command_line import step_parser
from bozzetto_priors.objects.captions import COLORS, Caption, draw_caption, plain_captions
from bozzetto_priors.objects.thing_table import PIECES
from bozzetto_priors.training.memory_and_precision import keep_memory_mapped
from bozzetto_priors.training.tokenizer_and_encoder import WIDTH, build_text_encoder, tokens_of, write_tokenizer

BATCH = 128
RATE = 1e-3
WARMUP_STEPS = 100


class Words(nn.Module):
    """Text encoder with the heads that read its last token."""

    def __init__(self, encoder: CLIPTextModel) -> None:
        super().__init__()
        self.encoder = encoder
        self.thing = nn.Linear(WIDTH, len(PIECES) + 1)
        self.paint = nn.Linear(WIDTH, 4)

    def forward(self, tokens: Int[Tensor, "B N"]) -> tuple[Float[Tensor, "B T"], Float[Tensor, "B 4"]]:
        """Return logits of things, the first of which is none; and of RGB and whether a colour is named."""
        last = self.encoder(tokens.to(self.thing.weight.device)).last_hidden_state[:, -1]
        return self.thing(last), self.paint(last)


def targets_of(
    captions: list[Caption], device: torch.device
) -> tuple[Int[Tensor, "B"], Float[Tensor, "B 3"], Float[Tensor, "B"]]:
    """Return thing, paint, and whether a colour is named."""
    paint = torch.tensor([COLORS[one.color] if one.color else (0.5, 0.5, 0.5) for one in captions])
    painted = torch.tensor([float(one.color is not None) for one in captions])
    return torch.tensor([one.thing for one in captions], device=device), paint.to(device), painted.to(device)


def loss_of(words: Words, tokenizer: CLIPTokenizer, captions: list[Caption]) -> Tensor:
    """Return the cross entropies of thing and paint, plus the squared error of named colours."""
    thing, paint, painted = targets_of(captions, words.thing.weight.device)
    said, colour = words(tokens_of(tokenizer, [one.text for one in captions]))
    wrong = (torch.sigmoid(colour[:, :3]) - paint).square().mean(dim=1)
    put_on = nn.functional.binary_cross_entropy_with_logits(colour[:, 3], painted)
    return nn.functional.cross_entropy(said, thing) + put_on + 20.0 * (wrong * painted).mean()


@torch.no_grad()
def check(words: Words, tokenizer: CLIPTokenizer, captions: list[Caption]) -> dict[str, float]:
    """Return the shares of captions with correct thing and paint flag, and the largest colour error."""
    thing, paint, painted = targets_of(captions, words.thing.weight.device)
    answers = [
        words(tokens_of(tokenizer, [c.text for c in captions[i : i + 256]])) for i in range(0, len(captions), 256)
    ]
    said, colour = (torch.cat(each) for each in zip(*answers, strict=True))
    right = (said.argmax(dim=1) == thing).float().mean()
    put_on = ((colour[:, 3] > 0) == (painted > 0.5)).float().mean()
    error = ((torch.sigmoid(colour[:, :3]) - paint).abs().amax(dim=1) * painted).max()
    return {"thing": float(right), "painted": float(put_on), "worst_colour": float(error)}


def main(arguments: Sequence[str]) -> None:
    parser = step_parser("train-text-encoder", __doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--device", default="cpu", help="default: %(default)s")
    args = parser.parse_args(arguments)
    keep_memory_mapped()
    torch.manual_seed(0)
    rng = random.Random(0)
    tokenizer = write_tokenizer(args.out / "tokenizer")
    words = Words(build_text_encoder(tokenizer)).to(args.device)
    adam = torch.optim.AdamW(words.parameters(), RATE, weight_decay=0.01)
    start, step, done = time.monotonic(), 0, 0.0
    while done < 1.0:
        done = min(1.0, (time.monotonic() - start) / (60.0 * args.minutes))
        for group in adam.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / WARMUP_STEPS) * (1.0 - done)
        loss = loss_of(words, tokenizer, [draw_caption(rng) for _ in range(BATCH)])
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(words.parameters(), 1.0)
        adam.step()
        step += 1
        if step % 50 == 0:
            print(json.dumps({"step": step, "loss": round(loss.item(), 4)}), flush=True)
    words.cpu().eval()
    words.encoder.save_pretrained(args.out / "text_encoder")
    heads = {
        f"recall_{name}.{key}": value
        for name in ("thing", "paint")
        for key, value in getattr(words, name).state_dict().items()
    }
    save_file(heads, args.out / "heads.safetensors")
    strange = random.Random(1)
    print(json.dumps({"plain": check(words, tokenizer, plain_captions()),
                      "drawn": check(words, tokenizer, [draw_caption(strange) for _ in range(2000)])}))  # fmt: skip
