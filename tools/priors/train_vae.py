"""Train the image autoencoder (64 px, factor 4, 8 latent channels) on augmented views."""

from __future__ import annotations

import argparse
import json
import random
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from diffusers import AutoencoderKL

import data
from training import Average, Schedule, keep_memory_mapped, load_checkpoint, mixed_precision, save_checkpoint


@dataclass(frozen=True)
class VaeSettings:
    """Sizes and weights of the autoencoder's training."""

    channels: tuple[int, ...] = (32, 32, 96)
    layers: int = 1
    latent_channels: int = 8
    batch: int = 8
    kl_weight: float = 1e-6
    latent_noise: float = 0.05
    edge_weight: float = 0.25
    colour_weight: float = 2.0
    foreground_weight: float = 2.0
    anchor_weight: float = 0.3
    anchored: tuple[int, int] = (4, 7)
    decay: float = 0.998
    schedule: Schedule = Schedule(peak=1e-3, floor=1e-5, warmup_steps=50)


def build_vae(settings: VaeSettings, scaling_factor: float = 1.0) -> AutoencoderKL:
    """An untrained AutoencoderKL for [B, 3, 64, 64] images in [-1, 1]."""
    levels = len(settings.channels)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=settings.channels,
        layers_per_block=settings.layers,
        latent_channels=settings.latent_channels,
        norm_num_groups=8,
        sample_size=64,
        scaling_factor=scaling_factor,
        force_upcast=False,
        mid_block_add_attention=False,
    )
    with (
        torch.no_grad()
    ):  # start almost deterministic: at the default variance of 1 noise drowns the first latents for good
        vae.quant_conv.weight[settings.latent_channels :] = 0
        vae.quant_conv.bias[settings.latent_channels :] = -5
    return vae


def grow_latents(vae: AutoencoderKL, old: AutoencoderKL) -> None:
    """Copy `old`, which may have fewer latent channels, into `vae`; the added channels start small."""
    few, many = old.config.latent_channels, vae.config.latent_channels
    rows = torch.cat([torch.arange(few), many + torch.arange(few)])
    edges = {"encoder.conv_out", "quant_conv", "post_quant_conv", "decoder.conv_in"}
    known = {k: v for k, v in old.state_dict().items() if k.rsplit(".", 1)[0] not in edges}
    vae.load_state_dict(known, strict=False)
    with torch.no_grad():
        vae.encoder.conv_out.weight[rows] = old.encoder.conv_out.weight
        vae.encoder.conv_out.bias[rows] = old.encoder.conv_out.bias
        vae.quant_conv.weight[:many] = torch.eye(many, 2 * many)[:, :, None, None]
        vae.quant_conv.weight[:few, :] = 0
        vae.quant_conv.weight[:few, rows] = old.quant_conv.weight[:few]
        vae.quant_conv.bias[:many] = 0
        vae.quant_conv.bias[:few] = old.quant_conv.bias[:few]
        vae.post_quant_conv.weight.copy_(torch.eye(many)[:, :, None, None])
        vae.post_quant_conv.weight[:few] = 0
        vae.post_quant_conv.weight[:few, :few] = old.post_quant_conv.weight
        vae.post_quant_conv.bias.zero_()
        vae.post_quant_conv.bias[:few] = old.post_quant_conv.bias
        vae.decoder.conv_in.weight[:, :few] = old.decoder.conv_in.weight
        vae.decoder.conv_in.bias.copy_(old.decoder.conv_in.bias)


def reconstruction_loss(
    output: torch.Tensor, target: torch.Tensor, alpha: torch.Tensor, settings: VaeSettings
) -> torch.Tensor:
    """L1, L1 of image gradients, and L1 of 4x4 block means; the object and its rim weigh more.

    Without the block means the few latent channels are spent on edges and a colour axis is lost.
    """
    rim = torch.nn.functional.max_pool2d(alpha, 5, 1, 2)
    weight = 1 + settings.foreground_weight * rim
    weight = weight / weight.mean()
    error = output - target
    dx = (error[..., 1:] - error[..., :-1]).abs() * weight[..., 1:]
    dy = (error[..., 1:, :] - error[..., :-1, :]).abs() * weight[..., 1:, :]
    blocks = torch.nn.functional.avg_pool2d(error, 4).abs() * torch.nn.functional.avg_pool2d(weight, 4)
    edges = settings.edge_weight * (dx.mean() + dy.mean())
    return (error.abs() * weight).mean() + edges + settings.colour_weight * blocks.mean()


def colour_anchor(mean: torch.Tensor, target: torch.Tensor, settings: VaeSettings) -> torch.Tensor:
    """Three of the latent channels are to be the block's mean red, green and blue: colour then cannot be lost."""
    first, last = settings.anchored
    return (mean[:, first:last].float() - 2.5 * torch.nn.functional.avg_pool2d(target, 4)).abs().mean()


@torch.no_grad()
def measure(vae: AutoencoderKL, images: torch.Tensor) -> dict[str, float]:
    """PSNR in dB of reconstructions of `images`, and the latents' standard deviation."""
    latents = torch.cat([vae.encode(x).latent_dist.mean for x in images.split(64)])
    output = torch.cat([vae.decode(z).sample for z in latents.split(64)]).clamp(-1, 1)
    mse = ((output - images) / 2).pow(2).mean((1, 2, 3))
    return {"psnr": float((-10 * mse.log10()).mean()), "latent_std": float(latents.std())}


def held_out_images(renders: Path, count: int = 384) -> torch.Tensor:
    """A fixed set of augmented images of views the training never sees."""
    state = torch.random.get_rng_state()
    torch.manual_seed(1)
    views = data.load_views(renders, held_out=True)
    images, _, _ = data.draw_batch(views, count, random.Random(1), data.Augmentation())
    torch.random.set_rng_state(state)
    return images


@dataclass
class Training:
    """The state of a training: what a checkpoint holds, and what makes the steps."""

    vae: AutoencoderKL
    average: Average
    optimiser: torch.optim.Optimizer
    settings: VaeSettings
    step: int = 0
    used_s: float = 0.0

    def save(self, path: Path) -> None:
        """Write everything a restart needs."""
        parts = {"vae": self.vae.state_dict(), "optimiser": self.optimiser.state_dict(), "average": self.average.mean}
        save_checkpoint(path, {**parts, "step": self.step, "used": self.used_s})

    def restore(self, path: Path) -> None:
        """Continue from a checkpoint, if there is one."""
        state = load_checkpoint(path)
        if state is None:
            return
        self.vae.load_state_dict(state["vae"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average.mean, self.step, self.used_s = state["average"], state["step"], state["used"]

    def advance(self, images: torch.Tensor, alpha: torch.Tensor, rate: float) -> float:
        """One optimiser step on "B 3 64 64" images at learning rate `rate`; the loss.

        The variance stays as `build_vae` set it, small; a little noise teaches the decoder to bear some.
        """
        settings = self.settings
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        with mixed_precision():
            mean = self.vae.encode(images).latent_dist.mean
            output = self.vae.decode(mean + settings.latent_noise * torch.randn_like(mean)).sample
        loss = reconstruction_loss(output.float(), images, alpha, settings)
        loss = loss + settings.kl_weight * mean.float().pow(2).mean()
        loss = loss + settings.anchor_weight * colour_anchor(mean, images, settings)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(self.vae.parameters()), 1.0)
        self.optimiser.step()
        self.average.update(settings.decay, self.step)
        self.step += 1
        return float(loss.detach())

    def measure(self, images: torch.Tensor) -> dict[str, float]:
        """`measure` of the averaged weights."""
        self.average.swap()
        result = measure(self.vae, images)
        self.average.swap()
        return result


def prepare(args: argparse.Namespace, settings: VaeSettings) -> Training:
    """Build the parts, from exported weights and a checkpoint where there are any."""
    vae = build_vae(settings)
    if args.init_from:
        grow_latents(vae, AutoencoderKL.from_pretrained(args.init_from))
    parameters = list(vae.parameters())
    optimiser = torch.optim.AdamW(parameters, lr=1e-3, betas=(0.9, 0.99), weight_decay=1e-4)
    training = Training(vae, Average(parameters), optimiser, settings)
    training.restore(args.out / "vae.pt")
    return training


def train(args: argparse.Namespace, settings: VaeSettings) -> None:
    """Run until `args.minutes` of training time are used, over all restarts together; then write `vae/`."""
    training, views, held_out = prepare(args, settings), data.load_views(args.renders), held_out_images(args.renders)
    rng, limit = random.Random(training.step), args.minutes * 60
    losses, last_log, last_save = [], time.monotonic(), time.monotonic()
    while training.used_s < limit:
        start = time.monotonic()
        images, alpha, _ = data.draw_batch(views, settings.batch, rng, data.Augmentation())
        rate = settings.schedule.rate(training.used_s / limit, training.step)
        losses.append(training.advance(images, alpha, rate))
        now = time.monotonic()
        training.used_s += min(now - start, 10.0)  # a pause of the whole process is not training
        if now - last_log > 30:
            speed = settings.batch * len(losses) / (now - last_log)
            row = {"step": training.step, "used_s": round(training.used_s), "loss": round(sum(losses) / len(losses), 4)}
            print(json.dumps({**row, "images_per_s": round(speed, 1)}), flush=True)
            losses, last_log = [], now
        if now - last_save > args.save_minutes * 60 or training.used_s >= limit:
            print(json.dumps({"step": training.step, **training.measure(held_out)}), flush=True)
            training.save(args.out / "vae.pt")
            last_save = time.monotonic()
    training.average.swap()
    result = measure(training.vae, held_out)
    training.vae.register_to_config(scaling_factor=1.0 / result["latent_std"])
    training.vae.save_pretrained(args.out / "vae")
    report = {"steps": training.step, "seconds": round(training.used_s), **result}
    (args.out / "vae" / "measured.json").write_text(json.dumps(report))
    print(json.dumps(report))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--renders", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=22.0)
    parser.add_argument("--save-minutes", type=float, default=2.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--init-from", type=Path, help="an exported vae folder to start from")
    parser.add_argument("--rate", type=float, default=VaeSettings.schedule.peak, help="highest learning rate")
    parser.add_argument("--batch", type=int, default=VaeSettings.batch)
    parser.add_argument(
        "--free-colours",
        action="store_true",
        help="do not tie latent channels to colours: for going on from a normalised autoencoder, which knows them",
    )
    args = parser.parse_args()
    keep_memory_mapped()
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    settings = replace(VaeSettings(), batch=args.batch, schedule=replace(VaeSettings.schedule, peak=args.rate))
    train(args, replace(settings, anchor_weight=0.0) if args.free_colours else settings)


if __name__ == "__main__":
    main()
