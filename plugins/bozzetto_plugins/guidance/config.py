"""Settings of the guidances. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from bozzetto.errors import ModelError
from bozzetto.fields import FilePath, Share, Step, check_fields
from bozzetto.math.schedules import Schedule
from bozzetto.model_files import ModelFacts, read_settings
from bozzetto.recipe import Stage, Task
from bozzetto.spec import installed
from bozzetto.weights.folder import LANGUAGE_PARTS, PARTS, parts_in
from bozzetto_plugins.guidance.control_config import ControlConfig, ControlJudge, check_controls, check_maps
from bozzetto_plugins.guidance.family_table import family_of, posed_family
from bozzetto_plugins.guidance.lora_config import LoraConfig
from bozzetto_plugins.guidance.lora_names import check_names
from bozzetto_plugins.guidance.model_families.known import PIPELINES, pipeline_of
from bozzetto_plugins.guidance.network_classes import check_classes
from bozzetto_plugins.guidance.network_memory import NetworkMemory
from bozzetto_plugins.score.axes import Fraction, GuiderConfig, Scale, TimestepsConfig, steps_of
from bozzetto_plugins.score.config import Clip, Count, DistillationConfig

OF_A_SCORE = (
    "weighting", "sds_form", "grad_clip", "grad_clip_by", "debug", "debug_steps", "cfg_scale", "min_step_fraction",
    "max_step_fraction",
)  # fmt: skip
"""Fields of all guidances that are of SDS, not of the model: a score in the task replaces them."""


@dataclass(frozen=True)
class LatentDiffusionConfig:
    """Settings shared by the guidances of latent diffusion models."""

    encoded_pixels: ClassVar[int] = 512 * 512
    """Pixels of a view as the image encoder of the usual model takes it."""

    weighting: Literal["one-minus-alpha-bar", "uniform", "fantasia3d"] = "one-minus-alpha-bar"
    """Weighting w(t): 1 - alpha_bar (DreamFusion), 1 (Magic3D), or sqrt(alpha_bar) (1 - alpha_bar) (Fantasia3D)."""
    sds_form: Literal["target", "function", "dot", "backward"] = "target"
    """Implementation of the SDS gradient in autograd; all four give the same gradient, see `bozzetto.math.score`."""
    grad_clip: Clip | None = None
    """Maximum gradient in latents, per view, before averaging over views; null: no clipping."""
    grad_clip_by: Literal["value", "norm"] = "value"
    """Clip each value (`value`) or the L2 norm of each view's gradient (`norm`)."""
    encode: Literal["sample", "mode"] = "sample"
    """Latents: a sample of the image encoder's distribution, or its mode."""
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    """Data type of the frozen weights; `auto`: float16 on an accelerator, else the CPU's fastest."""
    attention_slicing: bool = False
    """Compute attention in slices; on CUDA torch's own attention needs as little memory and is faster."""
    cpu_offload: Literal["none", "model", "sequential"] = "none"
    """Keep weights in main memory until used; `model` loads the whole denoiser, `sequential` one layer at a time."""
    channels_last: bool = False
    """Store convolution weights channels-last; faster on GPUs with tensor cores."""
    encode_views: Count = 0
    """Views that the image encoder takes at a time, recomputed in the backward pass, so that memory does not grow with
    the batch; costs a second encoding. 0: all at once."""
    compile_networks: bool = False
    """Compile denoiser and image encoder with torch.compile, which takes minutes at the first step."""
    debug: bool = True
    """Provide debug images (reconstructed, noisy, denoised); free until `trainer.debug_every` draws them."""
    debug_steps: Count = 20
    """Denoising steps of the fully denoised debug image; each costs a training step. 0: no such image."""

    def kept_bytes(self, views: int) -> int:
        """Return the bytes on a GPU that the image encoder keeps for the backward pass of a step."""
        return self._memory.kept_bytes(views)

    def passing_bytes(self, views: int) -> int:
        """Return the most bytes on a GPU that encoder or denoiser need for a while."""
        return self._memory.passing_bytes(views)

    @property
    def _memory(self) -> NetworkMemory:
        return NetworkMemory(self.encoded_pixels, self.encode_views, self.dtype == "float32")


@dataclass(frozen=True)
class StableDiffusionConfig(LatentDiffusionConfig):
    """Settings of score distillation from a diffusers latent diffusion model: Stable Diffusion 1.x, 2.x and similar."""

    estimates_elevation: ClassVar[bool] = False
    """False: the guidance is not a `bozzetto.kinds.guidance.ElevationEstimator`."""
    prior_branches: ClassVar[frozenset[str]] = frozenset({"cond", "uncond", "empty", "plain", "negatives"})
    """Branches that the guidance predicts for scores, as far as the prompt processor gives their texts."""
    has_adapter: ClassVar[bool] = True
    """True: the guidance is a `bozzetto.kinds.score.HasAdapter`."""
    replaced_by_score: ClassVar[frozenset[str]] = frozenset({*OF_A_SCORE, "guider", "cfg_rescale"})
    """Fields without effect in a task with a score."""

    model: Annotated[str, FilePath(or_name=True)] = "sd-1.5"
    """Model weights: an alias such as `bozzetto-mini` or `sd-1.5`, a hub repository `owner/name`, a folder, or a single
    file of Stable Diffusion 1.x or 2.x."""
    loras: tuple[LoraConfig, ...] = ()
    """LoRAs merged into the denoiser and the text encoder; several add up. `[{file: style.safetensors, scale: 0.8}]`"""
    controls: tuple[ControlConfig, ...] = ()
    """ControlNets, whose maps are rendered with each view; they add up. `[{model: controlnet-normal, map: normal}]`"""
    cfg_scale: Scale = Schedule.constant(100.0)
    """Guidance scale of `uncond + scale * (cond - uncond)`; 1 is the plain conditional prediction."""
    min_step_fraction: Fraction = Schedule.constant(0.02)
    """Lower bound of the sampled timestep, as a fraction of the model's training timesteps."""
    max_step_fraction: Fraction = Schedule.constant(0.98)
    """Upper bound of the sampled timestep, as a fraction of the training timesteps; annealing it sharpens detail."""
    guider: Literal["cfg", "perp-neg"] = "cfg"
    """Guider: classifier-free guidance, or `perp-neg`, which requires `negatives: true` in the prompt processor."""
    cfg_rescale: Share = 0.0
    """Blend in [0, 1] towards the standard deviation of the conditional prediction; reduces over-exposure."""
    as_latent_until_step: Step = 0
    """Before this step the latents are the rendered normals and opacity, not the encoded image; 0: never."""

    def __post_init__(self) -> None:
        _check(self)

    def require_weights(self, folder: Path) -> None:
        """Raise `ModelError` if the model in `folder` is of another kind, or a required package is not installed."""
        _check_weights(self, folder, posed=False)
        for lora in self.loras:
            check_names(Path(lora.file).expanduser())

    @property
    def further_models(self) -> tuple[str, ...]:
        """Names of the weights of the ControlNets."""
        return tuple(dict.fromkeys(control.model for control in self.controls))

    def further_judge(self, base: Path | None) -> ControlJudge:
        """Return what judges the ControlNets before they are downloaded, for the model in `base` if that is here."""
        return ControlJudge(base)

    def require_further_weights(self, folder: Path, further: Mapping[str, Path]) -> None:
        """Raise `ModelError` if a ControlNet is for another denoiser than that of the model in `folder`."""
        check_controls(folder, [*further.values()])

    def family_of(self, facts: ModelFacts) -> str:
        """Return the name of a model's family; raises `ModelError` with the reason if it cannot guide."""
        return family_of(facts).name

    def write_model_folder(self, file: Path, tensors: Mapping[str, Any], folder: Path) -> None:
        """Write the model of a single file as a folder; imports torch. Raises `ModelError`."""
        from bozzetto_plugins.guidance.single_file import write_model_folder

        write_model_folder(file, tensors, folder)

    def require_scene(self, folder: Path, stage: Stage) -> None:
        """Raise `ModelError` if the scene is rendered in another number of latent channels than the model has."""
        if getattr(stage.material.config, "space", None) != "latent":
            return
        has = read_settings(folder / "vae" / "config.json").get("latent_channels")
        count = getattr(stage.geometry.config, "feature_count", has)
        if isinstance(has, int) and count != has:
            raise ModelError(
                f"model: {self.model} has {has} latent channels, and the scene is rendered in {count}. Set "
                f"{stage.geometry.where}.feature_count={has}, or choose another model."
            )

    def as_score(self) -> DistillationConfig:
        """Return the guidance's own method, SDS, as a composed score."""
        return _as_score(self, GuiderConfig(self.guider, self.cfg_scale, self.cfg_rescale))

    def check_neighbours(self, stage: Stage, task: Task | None) -> None:
        """Raise `ValueError` if a setting requires what the other components of the stage do not provide."""
        if self.guider == "perp-neg" and getattr(stage.prompt_processor.config, "negatives", None) is False:
            raise ValueError(
                "guider: 'perp-neg' needs negative prompts, and the prompt processor gives none. Set "
                "system.prompt_processor.negatives=true, or guider=cfg"
            )
        provided = stage.geometry.entry.spec.provides | stage.renderer.entry.spec.provides
        if self.as_latent_until_step > 0 and "normal" not in provided:
            raise ValueError(
                "as_latent_until_step: the warm-up reads rendered normals, which neither the geometry nor the renderer "
                "gives. Set it to 0"
            )
        check_maps(self.controls, stage)
        score = None if task is None else task.score
        if score is not None and getattr(score.config, "needs_adapter", False):
            self._check_adapter(score.where)

    def _check_adapter(self, where: str) -> None:
        """Raise `ValueError` if the network cannot have the adapter that the score at `where` needs."""
        if not installed("peft"):
            raise ValueError(
                f"model: {where}.reference 'adapter' needs the package peft. Run: pip install 'bozzetto[vsd]', or "
                "choose another reference"
            )
        if self.cpu_offload == "sequential":
            raise ValueError(
                f"cpu_offload: 'sequential' drops each layer after its use, and {where}.reference 'adapter' trains "
                "through all of them. Set it to model or none"
            )


@dataclass(frozen=True)
class Zero123Config(LatentDiffusionConfig):
    """Settings of score distillation from a model conditioned on a photo and a relative pose: Zero123 and similar."""

    encoded_pixels: ClassVar[int] = 256 * 256
    estimates_elevation: ClassVar[bool] = True
    """True: the guidance estimates photo elevations, as `bozzetto.kinds.guidance.ElevationEstimator`."""
    prior_branches: ClassVar[frozenset[str]] = frozenset({"cond", "uncond"})
    """Branches that the guidance predicts for scores."""
    replaced_by_score: ClassVar[frozenset[str]] = frozenset(OF_A_SCORE)
    """Fields without effect in a task with a score."""

    model: Annotated[str, FilePath(or_name=True)] = "zero123-xl"
    """Model weights: an alias such as `bozzetto-mini-zero123` or `zero123-xl`, a hub repository, or a folder."""
    pose_convention: Literal["auto", "zero123", "stable-zero123"] = "auto"
    """Fourth number of a pose: difference of distances (`zero123`) or the photo's polar angle (`stable-zero123`).
    `auto`: the latter if the model's name contains `stable`."""
    cfg_scale: Scale = Schedule.constant(3.0)
    """Guidance scale of `uncond + scale * (cond - uncond)`; the unconditional branch sees no photo."""
    min_step_fraction: Fraction = Schedule.constant(0.2)
    """Lower bound of the sampled timestep, as a fraction of the model's training timesteps."""
    max_step_fraction: Fraction = Schedule.constant(0.6)
    """Upper bound of the sampled timestep, as a fraction of the training timesteps; annealing it sharpens detail."""
    angle_scale: bool = False
    """Scale each view's gradient with its angle to the nearest photo, 0 at the photo (stable-dreamfusion)."""

    def __post_init__(self) -> None:
        _check(self)

    def require_weights(self, folder: Path) -> None:
        """Raise `ModelError` if the model in `folder` is of another kind, or a required package is not installed."""
        _check_weights(self, folder, posed=True)

    def family_of(self, facts: ModelFacts) -> str:
        """Return the name of a model's family; raises `ModelError` with the reason if it is given no photo and pose."""
        return posed_family(facts)

    def as_score(self) -> DistillationConfig:
        """Return the guidance's own method, SDS, as a composed score."""
        return _as_score(self, GuiderConfig("cfg", self.cfg_scale))

    def pose_convention_of(self, folder: str) -> Literal["zero123", "stable-zero123"]:
        """Return the pose convention of weights in a folder of that name."""
        if self.pose_convention != "auto":
            return self.pose_convention
        return "stable-zero123" if "stable" in f"{self.model} {folder}".lower() else "zero123"


def _check(config: StableDiffusionConfig | Zero123Config) -> None:
    """Check the settings shared by all latent diffusion models. Raises `ValueError`."""
    check_fields(config)
    if not config.model.strip():
        raise ValueError("model: must name weights, e.g. bozzetto-mini, sd-1.5, owner/name or a folder")
    if config.compile_networks and config.cpu_offload != "none":
        raise ValueError(
            f"compile_networks: compiled networks cannot be moved in each step, and cpu_offload is "
            f"{config.cpu_offload!r}. Set one of them back"
        )
    _check_order(config.min_step_fraction, config.max_step_fraction)


def _as_score(config: StableDiffusionConfig | Zero123Config, guider: GuiderConfig) -> DistillationConfig:
    return DistillationConfig(
        timesteps=TimestepsConfig(min=config.min_step_fraction, max=config.max_step_fraction),
        guider=guider,
        weighting=config.weighting,
        form=config.sds_form,
        grad_clip=config.grad_clip,
        grad_clip_by=config.grad_clip_by,
        debug=config.debug,
        debug_steps=config.debug_steps,
    )


def _check_weights(config: StableDiffusionConfig | Zero123Config, folder: Path, posed: bool) -> None:
    if parts_in(folder) == LANGUAGE_PARTS:
        raise ModelError(f"model: {config.model} is a language model, not a diffusion model. Choose another model.")
    if (known := PIPELINES.get(pipeline_of(folder))) is not None:
        raise ModelError(
            f"model: {config.model} is {known.name}, for the guidance {known.guidance}. Choose that guidance, or "
            "another model."
        )
    if (parts_in(folder) != PARTS) != posed:
        kinds = ("stable-diffusion, which is given words", "zero123, which is given a photo and a pose")
        raise ModelError(
            f"model: {config.model} is a model for the guidance {kinds[not posed]}; this is {kinds[posed]}. Choose "
            f"another model, e.g. {'bozzetto-mini-zero123' if posed else 'bozzetto-mini'}."
        )
    check_classes(folder)
    if config.cpu_offload != "none" and not installed("accelerate"):
        raise ModelError(
            f"cpu_offload: {config.cpu_offload!r} needs the package accelerate. Run: pip install accelerate, or set "
            "cpu_offload=none."
        )


def _check_order(low: Schedule, high: Schedule) -> None:
    for step in steps_of((low, high)):
        if low.at(step) > high.at(step):
            raise ValueError(
                f"min_step_fraction: must not exceed max_step_fraction, got {low.at(step):g} and {high.at(step):g} "
                f"at step {step}"
            )
