"""Train the image-and-pose prior: what a piece looks like from elsewhere, given one view of it (Liu et al. 2023).

It starts from the text prior's denoiser, with input channels added for the latents of the reference, and attends to
one token made from the reference's embedding and the relative pose. First the image encoder is trained, then, with it
frozen, the denoiser. Latents come from a pool of scenes in memory that is renewed a little all the time: encoding is
dear, and any two views of a scene make a pair. Stop and start it at will: it goes on from the last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from bozzetto_plugins.guidance.draft_unet import unet_class
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor, nn
from train_unet import build_scheduler
from transformers import ResNetForImageClassification
from warm_start import modulating

from export_zero123 import card, export_zero123
from image_encoder import EncoderSettings, train_encoder
from pair_pool import Pairs, Pool, PoolSettings
from pairs import HELD_OUT, Pieces, load_pieces, rendered_keys
from token_start import TokenSettings, draw_turns, start_projection, teach_token
from training import (
    Average,
    Schedule,
    draw_timesteps,
    keep_memory_mapped,
    load_checkpoint,
    mixed_precision,
    noise_weight,
    save_checkpoint,
)


@dataclass(frozen=True)
class PairSettings:
    """Sizes and rates of the training."""

    batch: int = 32
    snr_gamma: float = 5.0
    drop_both: float = 0.10
    drop_one: float = 0.05
    decay: float = 0.999
    schedule: Schedule = Schedule(peak=8e-4, floor=2e-5, warmup_steps=200)


def widen(folder: Path) -> UNet2DConditionModel:
    """A prior's denoiser for images and poses: as many input channels again, and the token added to the time embedding
    too, as attention to one token is the same everywhere and sits at the lower level alone. What is new adds nothing
    at first; what an earlier image-and-pose prior has of it is kept."""
    found = unet_class(folder).from_pretrained(folder, torch_dtype=torch.float32)
    config, weights = dict(found.config), found.state_dict()
    if config["class_embed_type"] is None:  # a text prior: what it read beside the noisy latents was its draft
        first = weights["conv_in.weight"][:, : config["out_channels"]]
        weights["conv_in.weight"] = torch.cat([first, torch.zeros_like(first)], dim=1)
    wider = {"in_channels": 2 * config["out_channels"], "resnet_time_scale_shift": "scale_shift"}
    wider["addition_embed_type"] = None  # the text prior's pooled words; the token takes their place
    token = {"class_embed_type": "projection", "projection_class_embeddings_input_dim": config["cross_attention_dim"]}
    unet = UNet2DConditionModel.from_config({**config, **token, **wider})
    if config["class_embed_type"] is None:
        nn.init.normal_(unet.class_embedding.linear_1.weight, std=0.2)  # into the bend of its activation
        nn.init.zeros_(unet.class_embedding.linear_2.weight)
        nn.init.zeros_(unet.class_embedding.linear_2.bias)
    own = unet.state_dict()
    kept = {name: value for name, value in weights.items() if name in own}
    unet.load_state_dict({**own, **modulating(kept, own)})
    unet.set_attn_processor(AttnProcessor())  # the fused attention's backward takes half the step on a CPU
    return unet


@dataclass
class Denoising:
    """Everything one training step needs."""

    unet: UNet2DConditionModel
    projection: nn.Linear
    alphas_cumprod: Tensor
    settings: PairSettings

    def loss(self, pairs: Pairs) -> Tensor:
        """Weighted error of v; the reference's latents, its token, or both are sometimes left out (zero)."""
        count, settings = len(pairs.target), self.settings
        timesteps = draw_timesteps(count, len(self.alphas_cumprod), 1 / 3)  # where the view is decided, noise is strong
        abar = self.alphas_cumprod[timesteps].view(-1, 1, 1, 1)
        noise = torch.randn_like(pairs.target)
        noisy = abar.sqrt() * pairs.target + (1 - abar).sqrt() * noise
        wanted = abar.sqrt() * noise - (1 - abar).sqrt() * pairs.target
        dice, both, one = torch.rand(count), settings.drop_both, settings.drop_one
        keep_latents = (dice >= both + one).float()
        keep_token = ((dice >= both) & (dice < both + one) | (dice >= both + 2 * one)).float()
        token = self.projection(torch.cat([pairs.embedding, pairs.pose], dim=1)) * keep_token[:, None]
        reference = pairs.reference * keep_latents.view(-1, 1, 1, 1)
        with mixed_precision():
            inputs = torch.cat([noisy, reference], dim=1)
            predicted = self.unet(inputs, timesteps, token[:, None], class_labels=token).sample
        weight = noise_weight(abar.flatten(), settings.snr_gamma)
        error = (predicted.float() - wanted).pow(2).mean((1, 2, 3))
        return (weight * error).mean() / weight.mean()


@dataclass
class Training:
    """The state of a training: what a checkpoint holds, and what makes the steps."""

    vae: AutoencoderKL
    encoder: ResNetForImageClassification
    denoising: Denoising
    average: Average
    optimiser: torch.optim.Optimizer
    step: int = 0
    used_s: float = 0.0

    def save(self, path: Path) -> None:
        """Write everything a restart needs."""
        parts = {"unet": self.denoising.unet.state_dict(), "projection": self.denoising.projection.state_dict()}
        state = {"optimiser": self.optimiser.state_dict(), "average": self.average.mean}
        save_checkpoint(path, {**parts, **state, "step": self.step, "used": self.used_s})

    def restore(self, path: Path) -> None:
        """Continue from a checkpoint, if there is one."""
        state = load_checkpoint(path)
        if state is None:
            return
        self.denoising.unet.load_state_dict(state["unet"])
        self.denoising.projection.load_state_dict(state["projection"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average.mean, self.step, self.used_s = state["average"], state["step"], state["used"]

    def export(self, folder: Path, keys: tuple[str, ...], held_out: tuple[str, ...]) -> None:
        """Write the averaged weights as a prior."""
        self.average.swap()
        parts, facts = self.denoising, card(keys, held_out, self.step)
        export_zero123(folder, self.vae, parts.unet, self.encoder, parts.projection, build_scheduler(), facts)
        self.average.swap()

    def advance(self, pairs: Pairs, rate: float) -> float:
        """One optimiser step at learning rate `rate`; the loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        loss = self.denoising.loss(pairs)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.average.live, 1.0)
        self.optimiser.step()
        self.average.update(self.denoising.settings.decay, self.step)
        self.step += 1
        return float(loss.detach())


def prepare(args: argparse.Namespace, settings: PairSettings, pieces: Pieces) -> Training:
    """Build the parts, from the text prior and a checkpoint where there is one; train the encoder first."""
    encoder = train_encoder(pieces, args.out / "encoder.pt", args.encoder_minutes, EncoderSettings())
    vae = AutoencoderKL.from_pretrained(args.init_from / "vae", torch_dtype=torch.float32).eval().requires_grad_(False)
    unet = widen(args.init_from / "unet")
    width = encoder.config.projection_dim
    if width != unet.config.cross_attention_dim:
        raise SystemExit(f"the embedding is {width} wide, the token {unet.config.cross_attention_dim}")
    projection = start_projection(args.init_from, width)
    learned = [weights for name, weights in unet.named_parameters() if not name.startswith("class_embedding.")]
    optimiser = torch.optim.AdamW(learned, lr=1e-3, betas=(0.9, 0.99), weight_decay=1e-3, fused=True)
    denoising = Denoising(unet, projection, build_scheduler().alphas_cumprod, settings)
    training = Training(vae.to(memory_format=torch.channels_last), encoder, denoising, Average(learned), optimiser)
    training.restore(args.out / "zero123.pt")
    if not unet.class_embedding.linear_2.weight.any():  # the token says nothing yet
        lesson = TokenSettings()
        turns = draw_turns(pieces, encoder, lesson, random.Random(0))
        errors = teach_token(unet, projection, turns, len(pieces), lesson)
        print(json.dumps({"token_error": [round(error, 3) for error in errors[:: len(errors) // 5]]}), flush=True)
    for taught in (projection, unet.class_embedding):
        taught.requires_grad_(False)  # a denoiser's loss would unlearn what it was told
    return training


def train(args: argparse.Namespace, settings: PairSettings) -> None:
    """Run until `args.minutes` of processor time are used, over all restarts together; export now and then."""
    keys = rendered_keys(args.renders)
    held_out = tuple(key for key in keys if key in args.hold_out)
    pieces = load_pieces(args.renders, tuple(key for key in keys if key not in held_out))
    print(json.dumps({"pieces": len(pieces), "held_out": held_out}), flush=True)
    torch.manual_seed(0)
    training = prepare(args, settings, pieces)
    rng = random.Random(training.step)
    torch.manual_seed(training.step)
    kept = PoolSettings()
    pool = Pool(kept, training.vae.config.latent_channels, training.encoder.config.projection_dim)
    pool.restore(args.out / "pool.pt")
    while pool.filled < kept.first_fill:
        pool.renew(pieces, training.vae, training.encoder, 16, rng)
    losses, last_log, last_save = [], time.monotonic(), time.monotonic()
    while training.used_s < args.minutes * 60:
        start = time.thread_time()  # time on the processor: waiting for one is no training
        if training.step % kept.renew_every == 0:
            pool.renew(pieces, training.vae, training.encoder, kept.renewed, rng)
        rate = settings.schedule.rate(training.used_s / (args.minutes * 60), training.step)
        losses.append(training.advance(pool.draw(settings.batch), rate))
        now = time.monotonic()
        training.used_s += time.thread_time() - start
        if now - last_log > 30:
            speed = settings.batch * len(losses) / (now - last_log)
            row = {"step": training.step, "used_s": round(training.used_s), "loss": round(sum(losses) / len(losses), 4)}
            print(json.dumps({**row, "images_per_s": round(speed, 1)}), flush=True)
            losses, last_log = [], now
        if now - last_save > args.save_minutes * 60 or training.used_s >= args.minutes * 60:
            training.save(args.out / "zero123.pt")
            pool.save(args.out / "pool.pt")
            training.export(args.export, pieces.keys, held_out)
            print(json.dumps({"step": training.step, "exported": str(args.export)}), flush=True)
            last_save = time.monotonic()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--renders", type=Path, required=True)
    parser.add_argument("--init-from", type=Path, required=True, help="the exported prior to start from: text or photo")
    parser.add_argument("--out", type=Path, required=True, help="folder of the training state")
    parser.add_argument("--export", type=Path, required=True, help="the prior's folder, written now and then")
    parser.add_argument("--hold-out", nargs="*", default=HELD_OUT, help="pieces `catalogue/model` that are not trained")
    parser.add_argument("--encoder-minutes", type=float, default=12.0, help="processor time of the image encoder")
    parser.add_argument("--minutes", type=float, default=120.0, help="processor time of the denoiser")
    parser.add_argument("--save-minutes", type=float, default=5.0)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    keep_memory_mapped()
    torch.set_num_threads(args.threads)
    train(args, PairSettings())


if __name__ == "__main__":
    main()
