"""Settings of the scores. Does not import torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from bozzetto.fields import Range, check_fields
from bozzetto.math.schedules import Schedule
from bozzetto.recipe import Component, Stage, Task
from bozzetto_plugins.score.axes import GuiderConfig, NoiseConfig, ReferenceConfig, TimestepsConfig

Clip = Annotated[Schedule, Range(least=1e-8, most=1e8)]
Count = Annotated[int, Range(least=0, most=1000)]


@dataclass(frozen=True)
class DistillationConfig:
    """Settings of a composed score: `w(t) (guider - reference)` at noisy latents, the gradient of each view's latents.

    The defaults are SDS (DreamFusion, Poole et al. 2022). A text stands for a type: `guider: nfsd`.
    """

    timesteps: TimestepsConfig = TimestepsConfig()
    """Timestep of each view."""
    noise: NoiseConfig = NoiseConfig()
    """What is added to the latents."""
    guider: GuiderConfig = GuiderConfig()
    """How predictions are combined."""
    reference: ReferenceConfig = ReferenceConfig()
    """What is subtracted."""
    weighting: Literal["one-minus-alpha-bar", "uniform", "fantasia3d", "sigma-over-alpha", "velocity"] = (
        "one-minus-alpha-bar"
    )
    """Weighting w(t): 1 - alpha_bar (DreamFusion), 1, sqrt(alpha_bar) (1 - alpha_bar) (Fantasia3D),
    sqrt((1 - alpha_bar) / alpha_bar), which makes the loss half the squared distance to the denoised latents, or
    `velocity`, which makes the gradient the difference of a flow's velocities (RFDS)."""
    target_steps: Annotated[int, Range(least=1, most=1000)] = 1
    """Deterministic DDIM steps of the prediction, from the timestep to clean latents; each costs a prediction."""
    image_term: Annotated[Schedule, Range(least=0.0, most=1e6)] = Schedule.constant(0.0)
    """Weight of the difference between rendered and denoised images (HiFA), which decodes in each step; 0: none."""
    normalise: bool = False
    """Divide each view's gradient by its L2 norm (CSD's first stage)."""
    form: Literal["target", "function", "dot", "backward"] = "target"
    """Implementation of the gradient in autograd; all four give the same gradient, see `bozzetto.math.score`."""
    grad_clip: Clip | None = None
    """Maximum gradient in latents, per view, before averaging over views; null: no clipping."""
    grad_clip_by: Literal["value", "norm"] = "value"
    """Clip each value (`value`) or the L2 norm of each view's gradient (`norm`)."""
    debug: bool = True
    """Provide debug images (reconstructed, noisy, denoised); free until `trainer.debug_every` draws them."""
    debug_steps: Count = 20
    """Denoising steps of the fully denoised debug image; each costs a prediction. 0: no such image."""

    def __post_init__(self) -> None:
        check_fields(self)
        noise_is_predicted = self.guider.predicts_noise
        if self.reference.type == "interval" and self.noise.type != "inverted":
            raise ValueError("reference: 'interval' is a prediction of the inversion; set noise to inverted")
        if self.reference.type == "interval" and (self.noise.overshoot or self.target_steps > 1):
            raise ValueError("reference: 'interval' ends at the timestep itself, without overshoot or target_steps")
        if self.reference.type == "none" and noise_is_predicted:
            raise ValueError(
                f"reference: must not be none with guider {self.guider.type!r}, whose weights sum to 1: the gradient "
                "would be noise. Choose noise, or a guider such as mix"
            )
        if self.reference.type != "none" and not noise_is_predicted:
            raise ValueError(
                f"reference: must be none with guider {self.guider.type!r}: its weights do not sum to 1, so it "
                f"predicts no noise that {self.reference.type!r} could be compared with"
            )
        if not noise_is_predicted and (self.target_steps > 1 or self._has_image_term):
            field = "target_steps" if self.target_steps > 1 else "image_term"
            raise ValueError(f"{field}: needs denoised latents, and guider {self.guider.type!r} predicts none")
        if self.needs_adapter and self.target_steps > 1:
            raise ValueError("target_steps: must be 1 with reference 'adapter', whose prediction is of one step")
        if self.noise.eta > 0.0 and self.timesteps.type == "window" and self.timesteps.shared is not True:
            raise ValueError(
                "noise: eta draws noise in every step of the inversion, whose number depends on the timestep; views "
                "must share it. Set timesteps to point, or timesteps.shared=true"
            )
        if self.noise.overshoot and self.timesteps.shared == "group":
            raise ValueError(
                "noise: overshoot ends each view at a timestep of its own, and timesteps.shared says one per group. "
                "Set overshoot to false"
            )
        if self._has_image_term and self.form == "backward":
            raise ValueError("image_term: is a loss of its own beside the latents'; choose another form than backward")

    @property
    def needs_adapter(self) -> bool:
        """True if the guidance must be a `bozzetto.kinds.score.HasAdapter`."""
        return self.reference.type == "adapter"

    @property
    def _has_image_term(self) -> bool:
        return max(self.image_term.start, self.image_term.end) > 0.0

    @property
    def branches(self) -> frozenset[str]:
        """Branches of the prior that are predicted at some step."""
        guider, noise = self.guider, self.noise
        uses_empty = max(abs(guider.empty.start), abs(guider.empty.end)) > 0.0
        of_guider = {
            "cfg": {"cond"} if guider.scale == Schedule.constant(1.0) else {"cond", "uncond"},
            "perp-neg": {"cond", "uncond", "negatives"},
            "mix": {"cond", "uncond", *(["empty"] if uses_empty else [])},
            "nfsd": {"cond", "uncond", "empty"},
            "three-way": {"cond", "image", "uncond"},
        }[guider.type]
        if self.needs_adapter:
            of_guider = of_guider | {"plain"}
        if noise.type in ("random", "consistent"):
            return frozenset(of_guider)
        if noise.type == "own-prediction":
            return frozenset(of_guider | {"cond"})
        return frozenset(of_guider | ({"cond"} if noise.scale != 0.0 else set()) | {noise.base})

    def check_neighbours(self, stage: Stage, task: Task | None) -> None:
        """Raise `ValueError` if a setting requires what the guidance or the prompt processor does not provide."""
        if task is None or task.guidance is None:
            return
        self._check_groups(task)
        guidance = task.guidance
        if self.needs_adapter and not getattr(guidance.config, "has_adapter", False):
            raise ValueError(
                f"reference: 'adapter' trains an adapter of the guidance's network, and {guidance.name!r} offers none. "
                "Choose another guidance, e.g. stable-diffusion, or another reference"
            )
        self._check_branches(stage, task, guidance)
        if self._has_image_term and getattr(guidance.config, "as_latent_until_step", 0) > 0:
            raise ValueError(
                "image_term: compares images, and in the warm-up of the guidance the latents are those of normals. Set "
                f"{guidance.where}.as_latent_until_step=0"
            )
        if self.noise.type == "inverted" and getattr(guidance.config, "encode", None) == "sample":
            raise ValueError(
                "noise: 'inverted' finds the noise of given latents, and the guidance adds noise of its own to them. "
                f"Set {guidance.where}.encode=mode"
            )
        if self.noise.type == "consistent" and getattr(guidance.config, "encode", None) == "sample":
            raise ValueError(
                "noise: 'consistent' is the same whenever a camera returns, and the guidance adds fresh noise to the "
                f"latents. Set {guidance.where}.encode=mode"
            )

    def _check_branches(self, stage: Stage, task: Task, guidance: Component) -> None:
        """Raise `ValueError` if the guidance does not predict a branch, or has no text of it."""
        if lacking := self.branches - frozenset(getattr(guidance.config, "prior_branches", self.branches)):
            raise ValueError(
                f"{self._reader_of(lacking)}: needs predictions of {', '.join(sorted(lacking))}, which guidance "
                f"{guidance.name!r} of task {task.name!r} cannot give{_giver_elsewhere(lacking, stage)}"
            )
        processor = stage.prompt_processor
        if "negatives" in self.branches and getattr(processor.config, "negatives", None) is False:
            raise ValueError(
                "guider: 'perp-neg' needs negative prompts, and the prompt processor gives none. Set "
                "system.prompt_processor.negatives=true, or guider=cfg"
            )
        if untold := self.branches - {"image"} - frozenset(getattr(processor.config, "text_branches", self.branches)):
            raise ValueError(
                f"{self._reader_of(untold)}: needs the text of {', '.join(sorted(untold))}, which prompt processor "
                f"{processor.name!r} does not give. Choose another, e.g. view-dependent"
            )

    def _reader_of(self, branches: frozenset[str]) -> str:
        """Return the field that reads these branches, as far as one can tell."""
        return "noise" if self.noise.type == "inverted" and branches == {self.noise.base} else "guider"

    def _check_groups(self, task: Task) -> None:
        """Raise `ValueError` if something is of groups of views, and the views have none."""
        if getattr(task.views.config, "views_per_group", 1) > 1:
            return
        for field, value in (("guider", self.guider.rescale_over), ("timesteps", self.timesteps.shared)):
            if value == "group":
                key = "rescale_over" if field == "guider" else "shared"
                raise ValueError(
                    f"{field}: {key} 'group' needs views in groups, and the views of this task, {task.views.name!r}, "
                    f"have none. Set {task.views.where}.views_per_group, e.g. to 4, or {field}.{key}="
                    f"{'view' if field == 'guider' else 'true'}"
                )


def _giver_elsewhere(branches: frozenset[str], stage: Stage) -> str:
    """Return a hint at the task of the stage whose guidance predicts these branches; empty if there is none."""
    for task in stage.tasks:
        if task.guidance and branches <= getattr(task.guidance.config, "prior_branches", frozenset()):
            return f"; {task.guidance.name!r} of task {task.name!r} gives them to that task alone"
    return ""
