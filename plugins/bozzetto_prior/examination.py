"""Loads a model and examines it: levels of noise, its text encoder, one prediction, and the contract of priors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bozzetto.errors import NonFiniteError
from bozzetto.kinds.guidance import TextEncoder
from bozzetto.kinds.kept_views import KeepsViews
from bozzetto.kinds.scene import Scene
from bozzetto.kinds.score import Prior, PriorSource
from bozzetto.math.levels import add_noise_at
from bozzetto.model_files import read_settings, whole_part
from bozzetto.testing.fakes import a_photo
from bozzetto.testing.prior import PriorContract
from bozzetto.types import Cameras, Rendered

LEVELS = (20, 80, 200, 300, 500, 700, 800, 900, 980)
"""Timesteps of the table, of 1000."""
TEXTS = ("a photo of a cat", "a DSLR photo of a hamburger, front view")
UNGUIDED = {"do_classifier_free_guidance": False}
ENCODED: Mapping[str, Mapping[str, Any]] = {
    "StableDiffusionXLPipeline": UNGUIDED,
    "StableDiffusion3Pipeline": {"prompt_2": None, "prompt_3": None, **UNGUIDED},
    "Flux2KleinPipeline": {},
    "ZImagePipeline": UNGUIDED,
    "IFPipeline": UNGUIDED,
}
"""Arguments of `encode_prompt` of the pipelines whose texts are compared with theirs."""
TEXT_TOLERANCE = 1e-4
"""Largest difference of float32 embeddings, as the two implementations add up in another order."""
LEAST_LIKENESS = 0.3
"""Correlation of output and target at half of the timesteps, below which the settings are doubted."""


def examine(guidance: Any, config: Any, folder: Path) -> int:
    """Print the examination of a guidance's model; return 0 if the contract holds, else 1."""
    source = guidance(config, folder, torch.device("cpu"))
    contract = _contract_of(source)
    prior = contract.prior
    print(
        f"memory      {_bytes(source) / 1e9:.2f} GB of weights in float32 between text and step; half of it in float16"
    )
    print("\n".join(level_table(prior)))
    if isinstance(source, TextEncoder):
        print(f"text        {text_equality(source, folder)}")
    print(f"output      {target_likeness(contract)}")
    failed = 0
    for name, test in contract.each():
        try:
            test()
        except (AssertionError, NonFiniteError) as error:
            failed += 1
            print(
                f"FAILED      {name.removeprefix('test_').replace('_', ' ')}: {next(iter(str(error).splitlines()), '')}"
            )
    total = sum(1 for _ in contract.each())
    print(f"contract    {total - failed} of {total} tests passed{'' if failed else ': it can guide'}")
    return 1 if failed else 0


class _Contract(PriorContract):
    """Contract on one model, whose texts are encoded once. Its views are one group, and there is a photo, for all."""

    source: PriorSource

    def cameras(self) -> Cameras:
        return replace(super().cameras(), views_per_group=2)

    def make(self) -> PriorSource:
        return self.source

    @property
    def prior(self) -> Prior:
        return self._prior()

    def example(self) -> tuple[Prior, Tensor, Tensor, Tensor]:
        """Return the prior, latents of two pictures, noise, and timesteps: half of all."""
        prior = self._prior()
        latents = prior.latents(self.rendered(self.cameras()), torch.Generator().manual_seed(0)).detach()
        timestep = torch.full((len(latents),), prior.train_steps // 2, device=latents.device)
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(1)).to(latents)
        return prior, latents, noise, timestep


class _Shown(Scene):
    """Scene that shows the contract's picture of each view, to a guidance that keeps what it was."""

    def __init__(self, contract: PriorContract) -> None:
        """Hold no parts."""
        rendered, views = contract.rendered(contract.cameras()), contract.cameras().c2w
        self.pictures = views, rendered

    def render(self, cameras: Cameras, normal: bool = False) -> Rendered:
        """Return the pictures of some views."""
        views, rendered = self.pictures
        at = (cameras.c2w[:, None] == views).flatten(2).all(dim=2).int().argmax(dim=1)
        return Rendered(rendered.image[at].detach(), rendered.opacity[at], rendered.depth[at])


def _contract_of(source: PriorSource) -> _Contract:
    contract = _Contract()
    contract.source = source
    condition = replace(contract.condition(source), references=(a_photo(size=64),))
    if isinstance(source, KeepsViews):
        source.keep(contract.cameras())
        source.begin(_Shown(contract))
    contract.condition = lambda source: condition  # type: ignore[method-assign] # a text encoder is loaded for each call
    return contract


def level_table(prior: Prior) -> list[str]:
    """Return lines: timestep, signal a, noise s, and s / a."""
    steps = sorted({min(prior.train_steps - 1, step * prior.train_steps // 1000) for step in LEVELS})
    level = prior.level(torch.tensor(steps))
    rows = zip(steps, level.signal.tolist(), level.noise.tolist(), strict=True)
    lines = [f"{step:>9d}  {a:8.5f}  {s:8.5f}  {s / a if a else float('inf'):10.5f}" for step, a, s in rows]
    return ["levels      t    signal     noise  noise/signal", *lines]


@torch.no_grad()
def text_equality(source: TextEncoder, folder: Path) -> str:
    """Compare the embeddings with those of diffusers' pipeline, or of the text encoder that it would use."""
    expected = pipeline_texts(folder) or clip_texts(folder)
    if expected is None:
        return "not compared: it has no CLIPTextModel"
    found = source.encode_text(list(TEXTS)).cpu()
    pairs = [(own[: len(theirs)], theirs.float()) for own, theirs in zip(found, expected, strict=True)]
    difference = max(float((own - theirs).abs().max()) for own, theirs in pairs)
    verdict = "as in diffusers' pipeline" if difference <= TEXT_TOLERANCE else "NOT as in diffusers' pipeline"
    return f"{verdict}: embeddings differ by {difference:.1e} at most (tolerance {TEXT_TOLERANCE:.0e})"


def pipeline_texts(folder: Path) -> list[Tensor] | None:
    """Return the tokens "N E" of each text by the pipeline of a family beyond Stable Diffusion; None: no such."""
    named = read_settings(folder / "model_index.json").get("_class_name")
    if named not in ENCODED:
        return None
    import diffusers

    absent: dict[str, Any] = {part: None for part in ("unet", "transformer", "vae") if (folder / part).is_dir()}
    pipeline: Any = getattr(diffusers, str(named)).from_pretrained(
        folder, torch_dtype=torch.float32, local_files_only=True, **absent
    )
    said = pipeline.encode_prompt(list(TEXTS), **{"device": torch.device("cpu"), **ENCODED[str(named)]})
    return list(said[0])


def clip_texts(folder: Path) -> list[Tensor] | None:
    """Return the tokens "N E" of each text by CLIP; None if the text encoder is another."""
    path = folder / "text_encoder"
    settings = read_settings(path / "config.json") if (path / "config.json").is_file() else {}
    if "CLIPTextModel" not in (settings.get("architectures") or ()) or not (folder / "tokenizer").is_dir():
        return None
    from transformers import CLIPTextModel, CLIPTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call] # transformers does not annotate it
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    with whole_part(path) as whole:
        encoder = CLIPTextModel.from_pretrained(whole, dtype=torch.float32, use_safetensors=True, local_files_only=True)
    length = min(tokenizer.model_max_length, encoder.config.max_position_embeddings)
    tokens = tokenizer(list(TEXTS), padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    mask = tokens.attention_mask if getattr(encoder.config, "use_attention_mask", False) else None
    return list(encoder(tokens.input_ids, attention_mask=mask)[0])


def target_likeness(contract: _Contract) -> str:
    """Return how much the output is like what it should be: a wrong prediction type or schedule shows here.

    Both are compared as noise, less the noise of an output of zeros: conversions are affine in the output, and the
    noise of a velocity is for the most part the noisy latents themselves, so that any network's would be like it.
    """
    prior, latents, noise, timestep = contract.example()
    noisy = add_noise_at(latents, noise, prior.level(timestep))
    output = prior.predict(noisy, timestep, ["cond"])["cond"]
    of_zeros = prior.epsilon(torch.zeros_like(output), noisy, timestep)
    found, target = prior.epsilon(output, noisy, timestep) - of_zeros, noise - of_zeros
    likeness = float(torch.nn.functional.cosine_similarity(found.flatten(), target.flatten(), dim=0))
    doubt = "" if likeness >= LEAST_LIKENESS else "; the network is untrained, or prediction type or schedule are wrong"
    return f"output and its target correlate by {likeness:.3f} at t = {int(timestep[0])}{doubt}"


def _bytes(source: object) -> int:
    """Return the bytes of the networks that a guidance holds, directly or in one of its parts."""
    held = [part for one in vars(source).values() for part in (one, *getattr(one, "__dict__", {}).values())]
    modules = {id(part): part for part in held if isinstance(part, torch.nn.Module)}
    held_once = {id(value): value for one in modules.values() for value in (*one.parameters(), *one.buffers())}
    return sum(value.numel() * value.element_size() for value in held_once.values())
