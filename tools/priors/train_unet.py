"""Train the denoiser on latents of augmented views, after its text (`text_start.py`) and its draft (`draft_start.py`).
Under `torchrun`, several processes train it together.

v-prediction (Salimans and Ho 2022), weights that fade as noise does (after Hang et al. 2023, gamma 5), stratified
timesteps of a density that grows with the noise, moving averages. Latents come from a pool in memory that is renewed a
little in every step: encoding costs a third of a step, and a latent can be used again with other noise.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler
from diffusers.models.attention_processor import AttnProcessor
from safetensors.torch import load_file
from transformers import CLIPTextModel, CLIPTokenizer

import data
from bozzetto_plugins.guidance.draft_unet import DraftUNet
from cameras import OVERHEAD_DEG
from draft_start import fit_mix
from export import export_prior
from latent_pool import WHITE, Source, fresh_latents
from lessons import teach
from text import WIDTH, build_text_encoder, tokens_of, write_tokenizer
from training import (
    Average,
    Schedule,
    copy_first,
    draw_timesteps,
    join_others,
    keep_memory_mapped,
    load_checkpoint,
    mixed_precision,
    noise_weight,
    save_checkpoint,
    share,
)
from warm_start import follow_words, modulating, shallower, warm_start, widened

MOST_CAPTIONS = 16384
"""How many embedded captions are kept, of 8 kB each."""
TAUGHT = ("add_embedding.", "draft_text.", "draft.", "draft_mix")
"""Parts that lessons of their own teach, and that the denoiser's loss would unlearn."""


@dataclass(frozen=True)
class UnetSettings:
    """Sizes and rates of the denoiser's training."""

    channels: tuple[int, ...] = (64, 128)
    layers: int = 1
    heads: int = 4
    batch: int = 32
    pool: int = 40960
    """Latents in memory, all of them encoded before the first step: of 5000, as a pool had that grew while training,
    20 minutes lowered the loss by a sixth and the error of views held out not at all."""
    renewed: int = 16
    coloured_every: int = 4
    """Every so many renewals bring backgrounds that are not white."""
    coloured_until: float = 0.8
    """Share of the noise levels that those are trained at. No caption names the background: where noise hides it, it
    would be most of the error, and drown what little tells one view from another."""
    snr_gamma: float = 5.0
    from_noise: float = 1 / 32
    """Share of the samples that show nothing but noise. There the draft says nearly all, and it does not learn here."""
    from_above: float = 2.0
    """So many times as often as the renders show it, a thing is seen from overhead: they seldom do."""
    decay: float = 0.998
    schedule: Schedule = Schedule(peak=1e-3, floor=2e-5, warmup_steps=100)


def build_unet(settings: UnetSettings, latent_channels: int) -> DraftUNet:
    """An untrained denoiser of 16x16 latents. Text enters at the lower level, and pooled at the time embedding, with
    which every block scales and shifts (FiLM): what holds for the whole picture, as the view, is learned soonest there.
    """
    unet = DraftUNet(
        sample_size=16,
        in_channels=latent_channels,
        out_channels=latent_channels,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=settings.channels,
        layers_per_block=settings.layers,
        cross_attention_dim=WIDTH,
        attention_head_dim=settings.heads,
        norm_num_groups=16,
        addition_embed_type="text",
        addition_embed_type_num_heads=settings.heads,
        resnet_time_scale_shift="scale_shift",
    )
    for unknown in (unet.add_embedding.norm2, unet.draft_text.norm2, unet.draft[-1]):
        torch.nn.init.zeros_(unknown.weight)  # a denoiser that knew none of it goes on as it was
        torch.nn.init.zeros_(unknown.bias)
    unet.set_attn_processor(AttnProcessor())  # the fused attention's backward takes half the step on a CPU
    return unet


def build_scheduler() -> DDIMScheduler:
    """Stable Diffusion's noise schedule, v-prediction, down to nothing but noise (Lin et al. 2024, section 3).

    As it is, the last timestep keeps 7 % of the picture, and in training its large shapes are read from that; a sample
    begins without, so that its first noise, not its caption, decides the view.
    """
    return DDIMScheduler(
        num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
        prediction_type="v_prediction", clip_sample=False, set_alpha_to_one=False, steps_offset=1,
        rescale_betas_zero_snr=True, timestep_spacing="trailing",
    )  # fmt: skip


@dataclass
class Denoising:
    """Everything one training step needs."""

    unet: DraftUNet
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer
    alphas_cumprod: torch.Tensor
    settings: UnetSettings
    told: dict[str, torch.Tensor] = field(default_factory=dict)
    """What captions were embedded as, kept: the text encoder is frozen."""

    @torch.no_grad()
    def embed(self, captions: list[str]) -> torch.Tensor:
        """Text "B N E" of `captions`."""
        if len(self.told) > MOST_CAPTIONS:
            self.told.clear()
        new = [text for text in dict.fromkeys(captions) if text not in self.told]
        if new:
            said = self.text_encoder(tokens_of(self.tokenizer, new)).last_hidden_state
            self.told.update(zip(new, said.to(torch.bfloat16), strict=True))
        return torch.stack([self.told[text] for text in captions]).float()

    def weight(self, abar: torch.Tensor) -> torch.Tensor:
        """Of each sample's error."""
        return noise_weight(abar, self.settings.snr_gamma)

    def loss(self, latents: torch.Tensor, captions: list[str], white: torch.Tensor) -> torch.Tensor:
        """Weighted error of v on "B C 16 16" latents, of backgrounds that are `white` or not."""
        count, last = len(captions), len(self.alphas_cumprod) - 1
        timesteps = draw_timesteps(count, last + 1, 1 / 2)  # the noisier, the more is decided
        timesteps[: round(self.settings.from_noise * count)] = last
        timesteps = torch.where(white, timesteps, (self.settings.coloured_until * timesteps).long())
        abar = self.alphas_cumprod[timesteps].view(-1, 1, 1, 1)
        noise = torch.randn_like(latents)
        noisy = abar.sqrt() * latents + (1 - abar).sqrt() * noise
        target = abar.sqrt() * noise - (1 - abar).sqrt() * latents
        embedded = self.embed(captions)
        with mixed_precision():
            predicted = self.unet(noisy, timesteps, embedded).sample
        weight = self.weight(abar.flatten())
        error = (predicted.float() - target).pow(2).mean((1, 2, 3))
        return (weight * error).mean() / weight.mean()


@dataclass
class Training:
    """The state of a training: what a checkpoint holds, and what makes the steps."""

    vae: AutoencoderKL
    denoising: Denoising
    average: Average
    optimiser: torch.optim.Optimizer
    step: int = 0
    used_s: float = 0.0

    def save(self, path: Path) -> None:
        """Write everything a restart needs."""
        parts = {"unet": self.denoising.unet.state_dict(), "text_encoder": self.denoising.text_encoder.state_dict()}
        state = {"optimiser": self.optimiser.state_dict(), "average": self.average.mean}
        save_checkpoint(path, {**parts, **state, "step": self.step, "used": self.used_s})

    def restore(self, path: Path) -> None:
        """Continue from a checkpoint, if there is one."""
        state = load_checkpoint(path)
        if state is None:
            return
        self.denoising.unet.load_state_dict(state["unet"])
        self.denoising.text_encoder.load_state_dict(state["text_encoder"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average.mean, self.step, self.used_s = state["average"], state["step"], state["used"]

    def export(self, folder: Path) -> None:
        """Write the averaged weights as a prior."""
        self.average.swap()
        parts = self.denoising
        export_prior(folder, self.vae, parts.unet, parts.text_encoder, parts.tokenizer, build_scheduler(), self.step)
        self.average.swap()

    def advance(self, latents: torch.Tensor, captions: list[str], white: torch.Tensor, rate: float) -> float:
        """One optimiser step at learning rate `rate`; the loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        loss = self.denoising.loss(latents, captions, white)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        share([p.grad for p in self.average.live if p.grad is not None])
        torch.nn.utils.clip_grad_norm_(self.average.live, 1.0)
        self.optimiser.step()
        self.average.update(self.denoising.settings.decay, self.step)
        self.step += 1
        return float(loss.detach())


def prepare(args: argparse.Namespace, settings: UnetSettings, views: data.Views) -> Training:
    """Build the parts, from exported weights and a checkpoint where there are any; teach what they have not been."""
    vae = AutoencoderKL.from_pretrained(args.vae).eval().requires_grad_(False)
    tokenizer = write_tokenizer(args.out / "tokenizer")
    unet = build_unet(settings, vae.config.latent_channels)
    text_encoder = build_text_encoder(tokenizer)
    if args.init_from:
        found = load_file(args.init_from / "unet" / "diffusion_pytorch_model.safetensors")
        own = unet.state_dict()
        warm_start(unet, widened(modulating(shallower(found, settings.layers), own), own))
        earlier = CLIPTokenizer.from_pretrained(args.init_from / "tokenizer")
        text_weights = load_file(args.init_from / "text_encoder" / "model.safetensors")
        warm_start(text_encoder, follow_words(text_weights, earlier.get_vocab(), text_encoder, tokenizer.get_vocab()))
        text_encoder.requires_grad_(False)
    learned = [value for name, value in unet.named_parameters() if not name.startswith(TAUGHT)]
    optimiser = torch.optim.AdamW(learned, lr=1e-3, betas=(0.9, 0.99), weight_decay=1e-3, fused=True)
    denoising = Denoising(unet, text_encoder, tokenizer, build_scheduler().alphas_cumprod, settings)
    training = Training(vae.to(memory_format=torch.channels_last), denoising, Average(learned), optimiser)
    training.restore(args.out / "unet.pt")
    teach(unet, text_encoder, tokenizer, training.vae, views)
    if args.init_from and not unet.draft_mix[1].any():  # of what an untrained denoiser says, nothing would be left
        latents, captions = fresh_latents(training.vae, views, 96, random.Random(1), WHITE)
        fit_mix(unet, denoising.embed(captions), latents, denoising.alphas_cumprod)
        print(json.dumps({"mix": [[round(w, 2) for w in row] for row in unet.draft_mix[:, ::5].tolist()]}), flush=True)
    copy_first([*unet.parameters(), *text_encoder.parameters()])  # each process was taught by itself
    for taught in (unet.add_embedding, unet.draft_text, unet.draft, unet.draft_mix, text_encoder):
        taught.requires_grad_(False)  # the denoiser's loss would unlearn what they were told
    return training


def train(args: argparse.Namespace, settings: UnetSettings) -> None:
    """Run until `args.minutes` of training time are used, over all restarts together; export now and then."""
    process, processes = join_others()
    views = data.more_from_above(data.load_views(args.renders), OVERHEAD_DEG, settings.from_above)
    training = prepare(args, settings, views)
    torch.manual_seed(training.step + process)
    source = Source(training.vae, views, random.Random(training.step + process), settings.coloured_every)
    pool = source.fill(args.out / f"pool{process}.pt", settings.pool)
    losses, last_log, last_save = [], time.monotonic(), time.monotonic()
    used = torch.tensor(training.used_s)
    while training.used_s < args.minutes * 60:
        start = time.monotonic()
        source.renew(pool, training.step, settings.renewed)
        rate = settings.schedule.rate(training.used_s / (args.minutes * 60), training.step)
        losses.append(training.advance(*pool.draw(settings.batch), rate))
        now = time.monotonic()
        used += min(now - start, 10.0)  # a pause of the whole process is not training
        share([used])
        training.used_s = float(used)
        if now - last_log > 30 and process == 0:
            speed = processes * settings.batch * len(losses) / (now - last_log)
            row = {"step": training.step, "used_s": round(training.used_s), "loss": round(sum(losses) / len(losses), 4)}
            print(json.dumps({**row, "images_per_s": round(speed, 1)}), flush=True)
            losses, last_log = [], now
        due = now - last_save > args.save_minutes * 60 or training.used_s >= args.minutes * 60
        if due and process == 0:
            training.save(args.out / "unet.pt")
            training.export(args.export)
            print(json.dumps({"step": training.step, "exported": str(args.export)}), flush=True)
            last_save = time.monotonic()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--renders", type=Path, required=True)
    parser.add_argument("--vae", type=Path, required=True, help="the trained and normalised autoencoder")
    parser.add_argument("--out", type=Path, required=True, help="folder of the training state")
    parser.add_argument("--export", type=Path, required=True, help="the prior's folder, written now and then")
    parser.add_argument("--init-from", type=Path, help="an exported prior to start from")
    parser.add_argument("--minutes", type=float, default=70.0)
    parser.add_argument("--save-minutes", type=float, default=8.0)
    parser.add_argument("--rate", type=float, default=UnetSettings.schedule.peak, help="highest learning rate")
    parser.add_argument("--batch", type=int, default=UnetSettings.batch)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    keep_memory_mapped()
    torch.set_num_threads(args.threads)
    schedule = replace(UnetSettings.schedule, peak=args.rate)
    train(args, replace(UnetSettings(), batch=args.batch, schedule=schedule))


if __name__ == "__main__":
    main()
