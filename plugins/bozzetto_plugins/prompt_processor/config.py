"""Settings of the prompt processors. Does not import torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import Annotated, ClassVar, Literal

from bozzetto.errors import ModelError
from bozzetto.fields import FilePath, Range, check_fields
from bozzetto.model_files import read_settings
from bozzetto.weights.folder import LANGUAGE_PARTS, parts_in

Coefficient = Annotated[float, Range(least=-100.0, most=100.0)]
Decay = tuple[Coefficient, Coefficient, Coefficient]
VIEWS = ("front", "side", "back", "overhead")
"""`bozzetto.math.view_directions.DIRECTIONS`, repeated because configs do not import torch."""


@dataclass(frozen=True)
class ViewDependentConfig:
    """Settings of view-dependent prompts (DreamFusion, sec. 3.2) with optional Perp-Neg negatives."""

    front_deg: Annotated[float, Range(above=0.0, most=180.0)] = 90.0
    """Width of the front and back sectors, degrees: |azimuth| below front_deg / 2 or above 180 - front_deg / 2."""
    overhead_deg: Annotated[float, Range(least=0.0, most=90.0)] = 60.0
    """Elevation above which a view is `overhead`, degrees."""
    mode: Literal["auto", "hard", "interpolate"] = "auto"
    """`hard`: the embedding of one direction; `interpolate`: a blend by azimuth from front over side to back, with
    `overhead` still a switch; `auto`: `interpolate` with `negatives`, as Perp-Neg requires, else `hard`."""
    distinguish_sides: bool = False
    """Use `left side` and `right side` instead of `side`, for priors that know them; left is the object's own left."""
    template: str = "{prompt}, {view} view"
    """Template that joins prompt and view word; must contain {prompt}. Without {view} all views have the same text."""
    prompt_front: str | None = None
    """Full prompt of front views; replaces the template."""
    prompt_side: str | None = None
    """Full prompt of side views; replaces the template."""
    prompt_left_side: str | None = None
    """Full prompt of left side views; replaces the template and requires `distinguish_sides`."""
    prompt_right_side: str | None = None
    """Full prompt of right side views; replaces the template and requires `distinguish_sides`."""
    prompt_back: str | None = None
    """Full prompt of back views; replaces the template."""
    prompt_overhead: str | None = None
    """Full prompt of overhead views; replaces the template."""
    negatives: bool = False
    """Provide the front and side prompts as negatives weighted by azimuth, for the `perp-neg` guider."""
    perp_neg: Literal["threestudio", "stable-dreamfusion"] = "threestudio"
    """Weights of the negatives: continuous in azimuth, set by the decays below (`threestudio`), or switched on and off
    a fifth before the borders of front, side and back, and decaying faster (`stable-dreamfusion`)."""
    perp_neg_front_side: Decay = (4.0, 0.5, -2.426)
    """(a, b, c) of the weight a exp(-b r) + c of negative `front` in front-to-side views; r is 1 at the front."""
    perp_neg_side_front: Decay = (4.0, 0.5, -2.426)
    """(a, b, c) of the weight of negative `side` in front-to-side views; r is 1 at the side."""
    perp_neg_side_back: Decay = (1.0, 0.5, -0.606)
    """(a, b, c) of the weight of negative `side` in side-to-back views; r is 1 at the side."""
    perp_neg_front_side_back: Decay = (1.0, 0.5, 0.967)
    """(a, b, c) of the weight of negative `front` in side-to-back views; r is 1 at the side."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.negatives and self.mode == "hard":
            raise ValueError(
                "mode: negatives are weighed against a prompt blended by azimuth (Perp-Neg, sec. 3.2); "
                "set mode to interpolate or leave it out, got 'hard'"
            )
        self._check_template()
        for direction in (*VIEWS, "left_side", "right_side"):
            text = getattr(self, f"prompt_{direction}")
            if text is not None and not text.strip():
                raise ValueError(f"prompt_{direction}: must not be empty; leave it out to use the template")
            if text is not None and direction in ("left_side", "right_side") and not self.distinguish_sides:
                raise ValueError(f"prompt_{direction}: is used only with distinguish_sides: true")
        for name in ("front_side", "side_front", "side_back", "front_side_back"):
            self._check_decay(f"perp_neg_{name}")
        if self.perp_neg != "threestudio" and not self.negatives:
            raise ValueError("perp_neg: weighs negatives, and there are none. Set negatives to true or leave it out")

    @property
    def blends(self) -> bool:
        """True if a view's prompt is a blend of two directions."""
        return self.mode == "interpolate" or (self.mode == "auto" and self.negatives)

    @property
    def text_branches(self) -> frozenset[str]:
        """Branches of a prior whose texts the processor gives."""
        return frozenset({"cond", "uncond", "empty", "plain", *(["negatives"] if self.negatives else [])})

    def _check_template(self) -> None:
        try:
            fields = {field for _, field, _, _ in Formatter().parse(self.template) if field is not None}
        except ValueError as error:
            raise ValueError(f"template: {error} in {self.template!r}") from None
        if "prompt" not in fields or not fields <= {"prompt", "view"}:
            raise ValueError(f"template: must contain {{prompt}}, may contain {{view}}, no more: {self.template!r}")

    def _check_decay(self, name: str) -> None:
        a, b, c = value = getattr(self, name)
        if self.perp_neg == "stable-dreamfusion" and value != type(self).__dataclass_fields__[name].default:
            raise ValueError(f"{name}: has no effect with perp_neg 'stable-dreamfusion', whose weights are fixed")
        lowest = min(a + c, a * math.exp(-b) + c)
        if not lowest >= -1e-3:
            raise ValueError(f"{name}: a exp(-b r) + c must not be negative for r in [0, 1], got {lowest:.3g}")


@dataclass(frozen=True)
class DebiasedConfig(ViewDependentConfig):
    """Settings of view-dependent prompts without the words that contradict the view (Hong et al. 2023).

    The fields beside `model`, `words`, `keep_ratio` and `sentence` are those of `view-dependent`.
    """

    without_model: ClassVar[str] = "do without debiasing: system.prompt_processor.type=view-dependent"
    """What to do where the language model is not at hand."""

    model: Annotated[str, FilePath(or_name=True)] = "bert-base-uncased"
    """Masked language model in transformers' format: an alias, a hub repository `owner/name`, or a folder. It is loaded
    once per prompt, before training; its judgements are cached."""
    words: tuple[str, ...] | None = None
    """Words of the prompt that may be dropped, e.g. `[smiling]`; null: every word."""
    keep_ratio: Annotated[float, Range(least=0.0, most=1.0)] = 0.95
    """A word is dropped from the prompt of a view that is less probable with it than without, if the ratio of the
    probability with the word to the mean of both is below this."""
    sentence: str = "This image is depicting a [MASK] view of {prompt}"
    """Sentence whose gap [MASK] the language model fills with `front`, `side`, `back` or `overhead`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.model.strip():
            raise ValueError("model: must name a masked language model, e.g. bert-base-uncased, owner/name or a folder")
        for part in ("[MASK]", "{prompt}"):
            if self.sentence.count(part) != 1:
                raise ValueError(f"sentence: must contain {part} once, got {self.sentence!r}")
        if self.words is not None and not self.words:
            raise ValueError("words: must name words that may be dropped; leave it out to judge every word")
        if all(getattr(self, f"prompt_{view}") for view in VIEWS):
            raise ValueError("prompt_front: with full prompts of all views nothing is left to debias. Remove one")

    def require_weights(self, folder: Path) -> None:
        """Raise `ModelError` if the model in `folder` is not a language model that fills gaps."""
        if parts_in(folder) != LANGUAGE_PARTS:
            raise ModelError(f"model: {self.model} is a diffusion model; give a masked language model such as BERT.")
        named = read_settings(folder / "config.json").get("architectures")
        names = [str(name) for name in named] if isinstance(named, list) else []
        if names and not any(name.endswith("ForMaskedLM") for name in names):
            raise ModelError(
                f"model: {self.model} is of class {names[0]:.80}, which does not fill gaps; give one of a class that "
                "ends in ForMaskedLM, e.g. bert-base-uncased."
            )
