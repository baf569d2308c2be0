"""Settings of the prompt processors. Does not import torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from string import Formatter
from typing import Annotated, Literal

from bozzetto.fields import Range, check_fields

Coefficient = Annotated[float, Range(least=-100.0, most=100.0)]
Decay = tuple[Coefficient, Coefficient, Coefficient]


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
        for direction in ("front", "side", "left_side", "right_side", "back", "overhead"):
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
