"""Settings of the prompt processors. Imports no torch."""

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
    """View words by azimuth and elevation (DreamFusion, sec. 3.2), Perp-Neg's negatives if wanted."""

    front_deg: Annotated[float, Range(above=0.0, most=180.0)] = 90.0
    """Width of the front and of the back: front where |azimuth| < front_deg / 2, back beyond 180 - front_deg / 2."""
    overhead_deg: Annotated[float, Range(least=0.0, most=90.0)] = 60.0
    """Elevation above which a view is `overhead`."""
    mode: Literal["auto", "hard", "interpolate"] = "auto"
    """One direction's embedding, or a blend by azimuth: front to side to back (`overhead` stays a switch). `auto`: a
    blend with `negatives`, as Perp-Neg is defined for, else one direction's."""
    distinguish_sides: bool = False
    """Say `left side` or `right side` instead of `side`; for priors that know them. Left is the object's own left."""
    template: str = "{prompt}, {view} view"
    """How prompt and view word are joined; must contain {prompt}. Without {view} every view has the same text."""
    prompt_front: str | None = None
    """Replaces the whole front prompt."""
    prompt_side: str | None = None
    """Replaces the whole side prompt."""
    prompt_left_side: str | None = None
    """Replaces the whole left side prompt; needs distinguish_sides."""
    prompt_right_side: str | None = None
    """Replaces the whole right side prompt; needs distinguish_sides."""
    prompt_back: str | None = None
    """Replaces the whole back prompt."""
    prompt_overhead: str | None = None
    """Replaces the whole overhead prompt."""
    negatives: bool = False
    """Give the front and side prompts as negatives with weights by azimuth, for the `perp-neg` guider."""
    perp_neg_front_side: Decay = (4.0, 0.5, -2.426)
    """(a, b, c) of a exp(-b r) + c: push of front-to-side views off `front`; r = 1 at the front."""
    perp_neg_side_front: Decay = (4.0, 0.5, -2.426)
    """The same: push of front-to-side views off `side`; r = 1 at the side."""
    perp_neg_side_back: Decay = (1.0, 0.5, -0.606)
    """The same: push of side-to-back views off `side`; r = 1 at the side."""
    perp_neg_front_side_back: Decay = (1.0, 0.5, 0.967)
    """The same: push of side-to-back views off `front`; r = 1 at the side."""

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

    @property
    def blends(self) -> bool:
        """Tell if a view's prompt is a blend of two directions."""
        return self.mode == "interpolate" or (self.mode == "auto" and self.negatives)

    def _check_template(self) -> None:
        try:
            fields = {field for _, field, _, _ in Formatter().parse(self.template) if field is not None}
        except ValueError as error:
            raise ValueError(f"template: {error} in {self.template!r}") from None
        if "prompt" not in fields or not fields <= {"prompt", "view"}:
            raise ValueError(f"template: must contain {{prompt}}, may contain {{view}}, no more: {self.template!r}")

    def _check_decay(self, name: str) -> None:
        a, b, c = getattr(self, name)
        lowest = min(a + c, a * math.exp(-b) + c)
        if not lowest >= -1e-3:
            raise ValueError(f"{name}: a exp(-b r) + c must not be negative for r in [0, 1], got {lowest:.3g}")
