"""Settings of each choice that a composed score makes. Does not import torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

from bozzetto.fields import Range, Share, Step, check_fields
from bozzetto.math.schedules import Schedule
from bozzetto.recipe import Decay, Seed

Scale = Annotated[Schedule, Range(least=0.0, most=1e4)]
Fraction = Annotated[Schedule, Range(least=0.0, most=1.0)]
Coefficient = Annotated[Schedule, Range(least=-1e4, most=1e4)]
CHECKED_RATIOS = 64
"""Number of steps at which schedules are compared before a run."""


@dataclass(frozen=True)
class TimestepsConfig:
    """Choice of the timestep of each view; fractions are of the model's training timesteps."""

    type: Literal["window", "point", "dreamtime"] = "window"
    """`window`: uniform between `min` and `max`; `point`: `at`, without chance; `dreamtime`: from noisy to clean, as
    long at each timestep as a density says (DreamTime, Huang et al. 2023), without chance."""
    shared: bool | Literal["group"] = False
    """Window: one timestep for all views of a step; `group`: one for each group of `views_per_group`."""
    min: Fraction = Schedule.constant(0.02)
    """Window: lower bound."""
    max: Fraction = Schedule.constant(0.98)
    """Window: upper bound; annealing it sharpens detail."""
    at: Fraction = Schedule.constant(0.5)
    """Point: the timestep, usually a schedule; `curve: sqrt` is HiFA's."""
    until_step: Step = 10000
    """Dreamtime: step at which the cleanest timestep is reached; the length of the training."""
    density: Literal["plateau", "noise-to-signal"] = "plateau"
    """Dreamtime: `plateau`: 1 on a plateau, with Gaussian tails (the paper's first version); `noise-to-signal`: the
    ratio of noise to signal times a Gaussian (its version at ICLR 2024)."""
    plateau: tuple[Share, Share] = (0.5, 0.8)
    """Dreamtime, plateau: bounds of the fractions with the highest density."""
    tails: tuple[Annotated[float, Range(above=0.0, most=10.0)], Annotated[float, Range(above=0.0, most=10.0)]] = (
        0.1,
        0.3,
    )
    """Dreamtime, plateau: deviation of the density below and above the plateau."""
    centre: Share = 0.5
    """Dreamtime, noise-to-signal: mean of the Gaussian, as a fraction of the timesteps."""
    width: Annotated[float, Range(above=0.0, most=10.0)] = 0.125
    """Dreamtime, noise-to-signal: deviation of the Gaussian, as a fraction of the timesteps."""

    def __post_init__(self) -> None:
        check_fields(self)
        require_own(self, {"window": ("shared", "min", "max"), "point": ("at",), "dreamtime": DREAMTIME})
        for step in steps_of([self.min, self.max]):
            if self.min.at(step) > self.max.at(step):
                raise ValueError(
                    f"min: must not exceed max, got {self.min.at(step):g} and {self.max.at(step):g} at step {step}"
                )
        other = ("centre", "width") if self.density == "plateau" else ("plateau", "tails")
        for item in fields(self):
            if item.name in other and getattr(self, item.name) != item.default:
                raise ValueError(f"{item.name}: is of another density than {self.density!r}. Remove it")
        if self.plateau[0] > self.plateau[1]:
            raise ValueError(f"plateau: the lower bound comes first, got {list(self.plateau)}")
        if self.type == "dreamtime" and self.until_step < 1:
            raise ValueError("until_step: must be at least 1, got 0")


DREAMTIME = ("until_step", "density", "plateau", "tails", "centre", "width")


@dataclass(frozen=True)
class NoiseConfig:
    """Choice of what is added to the latents."""

    type: Literal["random", "inverted", "own-prediction", "consistent"] = "random"
    """`random`: unit noise; `inverted`: the noise that the model finds, by DDIM steps from clean to noisy latents;
    `own-prediction`: what the model, given the prompt, predicts of latents with random noise: an inversion in one step
    (RFDS-Rev, Yang et al. 2024); `consistent`: unit noise that moves with the object, a window on a map over azimuth
    and elevation (Flow Score Distillation, Yan et al. 2024)."""
    scale: Annotated[float, Range(least=-1e4, most=1e4)] = 0.0
    """Inverted: guidance scale of its predictions; 0: without the prompt."""
    base: Literal["empty", "uncond"] = "empty"
    """Inverted: what its predictions are guided away from: the empty prompt, or the negative prompt."""
    spacing: Annotated[float, Range(above=0.0, most=1.0)] = 0.2
    """Inverted: length of a DDIM step, as a fraction of the training timesteps; shorter is exacter and costs more."""
    eta: Share = 0.0
    """Inverted: share of fresh noise in each DDIM step."""
    overshoot: bool = False
    """Inverted: end up to one `spacing` beyond the timestep, by chance, as the implementation of SDI does."""
    refresh_steps: Step = 0
    """Consistent: steps in which the noise becomes another, gradually; 0: never, 1: each step has its own."""
    window_deg: Annotated[float, Range(least=10.0, most=360.0)] = 180.0
    """Consistent: angle that a view spans on the map, whatever its field of view; at 180 the noise moves about as the
    front of an object that fills the view does, at smaller angles faster."""
    background_opacity: Share = 0.5
    """Consistent: where the rendered opacity is lower, the noise stays as the camera moves; 0: it moves all over."""
    seed: Seed = 0
    """Consistent: another noise for each number; so has each seed of the run."""

    def __post_init__(self) -> None:
        check_fields(self)
        inverted = ("scale", "base", "spacing", "eta", "overshoot")
        consistent = ("refresh_steps", "window_deg", "background_opacity", "seed")
        require_own(self, {"random": (), "own-prediction": (), "inverted": inverted, "consistent": consistent})


@dataclass(frozen=True)
class GuiderConfig:
    """Choice of how predictions are combined."""

    type: Literal["cfg", "perp-neg", "mix", "nfsd", "three-way"] = "cfg"
    """`cfg`: `uncond + scale * (cond - uncond)`; `perp-neg`: with negative view prompts; `mix`: a sum with the weights
    below; `nfsd`: `scale * (cond - empty)` and a correction towards images (Katzir et al. 2023); `three-way`: `uncond +
    image_scale * (image - uncond) + scale * (cond - image)`, of models that edit images (Brooks et al. 2023)."""
    scale: Scale = Schedule.constant(100.0)
    """All but mix: guidance scale; 1 is the plain conditional prediction."""
    rescale: Share = 0.0
    """Cfg and perp-neg: blend towards the standard deviation of the conditional prediction; reduces over-exposure."""
    rescale_space: Literal["output", "epsilon", "x0"] = "output"
    """Cfg and perp-neg: what is rescaled: the network's output, the noise, or the clean latents (MVDream)."""
    rescale_over: Literal["view", "group"] = "view"
    """Cfg and perp-neg: what has one standard deviation: a view, or a group of `views_per_group` (MVDream)."""
    image_scale: Scale = Schedule.constant(1.5)
    """Three-way: guidance scale of the image that is edited; the prompt's is `scale`."""
    cond: Coefficient = Schedule.constant(1.0)
    """Mix: weight of the prompt."""
    uncond: Coefficient = Schedule.constant(-1.0)
    """Mix: weight of the negative prompt."""
    empty: Coefficient = Schedule.constant(0.0)
    """Mix: weight of the empty prompt."""
    switch: Share = 0.2
    """Nfsd: fraction of the timesteps below which the correction is the whole prediction for the empty prompt."""

    def __post_init__(self) -> None:
        check_fields(self)
        own = ("scale", "rescale", "rescale_space", "rescale_over")
        mix = ("cond", "uncond", "empty")
        three = ("scale", "image_scale")
        require_own(self, {"cfg": own, "perp-neg": own, "mix": mix, "nfsd": ("scale", "switch"), "three-way": three})
        if self.rescale == 0.0 and self.rescale_over != "view":
            raise ValueError(f"rescale_over: has no effect with rescale 0, got {self.rescale_over!r}. Remove it")

    @property
    def predicts_noise(self) -> bool:
        """True if the result estimates the noise: if its weights sum to 1 at every step."""
        parts = (self.cond, self.uncond, self.empty)
        sums = [sum(part.at(step) for part in parts) for step in steps_of(parts)]
        return self.type in ("cfg", "perp-neg", "three-way") or (
            self.type == "mix" and all(abs(s - 1.0) < 1e-6 for s in sums)
        )


@dataclass(frozen=True)
class ReferenceConfig:
    """Choice of what is subtracted from the guided prediction."""

    type: Literal["noise", "interval", "adapter", "none"] = "noise"
    """`noise`: the noise that was added (SDS); `interval`: the prediction of the inversion at a cleaner timestep (ISM);
    `adapter`: the prediction of the network with an adapter, which is trained on the views themselves (VSD,
    ProlificDreamer); `none`: nothing, for a guider whose weights sum to 0."""
    gap: Fraction = Schedule.constant(0.08)
    """Interval: how much cleaner, as a fraction of the training timesteps."""
    rank: Annotated[int, Range(least=1, most=256)] = 4
    """Adapter: rank of its matrices."""
    lr: Annotated[float, Range(least=0.0, most=1.0)] = 1e-4
    """Adapter: learning rate of its AdamW, after the warm-up."""
    warm_up_steps: Step = 500
    """Adapter: steps in which the learning rate rises to `lr`, linearly."""
    betas: tuple[Decay, Decay] = (0.9, 0.99)
    """Adapter: decay rates of the running first and second moments."""
    weight_decay: Annotated[float, Range(least=0.0, most=1e3)] = 0.01
    """Adapter: decoupled weight decay."""
    steps: Annotated[int, Range(least=1, most=100)] = 1
    """Adapter: its training steps after each step of the scene, K."""
    camera_dropout: Share = 0.1
    """Adapter: probability that it is trained on a view without being told the camera."""

    def __post_init__(self) -> None:
        check_fields(self)
        adapter = ("rank", "lr", "warm_up_steps", "betas", "weight_decay", "steps", "camera_dropout")
        require_own(self, {"noise": (), "interval": ("gap",), "adapter": adapter, "none": ()})

    @property
    def learning_rate(self) -> Schedule:
        """Learning rate of the adapter by step: not 0 at the first."""
        last = max(self.warm_up_steps - 1, 0)
        return Schedule(self.lr / max(self.warm_up_steps, 1), self.lr, 0, last)


def require_own(config: Any, own: Mapping[str, Iterable[str]]) -> None:
    """Raise `ValueError` if a field that another `type` reads is not at its default.

    Args:
        own: names of the fields that each type reads.
    """
    for item in fields(config):
        readers = [kind for kind, names in own.items() if item.name in names]
        if readers and config.type not in readers and getattr(config, item.name) != item.default:
            raise ValueError(
                f"{item.name}: is of type {' and '.join(readers)} only, and this is {config.type!r}. Remove it"
            )


def steps_of(schedules: Iterable[Schedule]) -> list[int]:
    """Return steps that tell whether a relation of schedules holds at every step: all corners, and many between."""
    corners = {step for item in schedules for step in (item.start_step, item.until_step)}
    last = max(corners)
    return sorted(corners | {last * index // CHECKED_RATIOS for index in range(CHECKED_RATIOS)})
