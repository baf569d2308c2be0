"""Shading shared by the two diffuse materials: from albedo, normal and light direction to colour."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bozzetto.errors import ConfigError
from bozzetto.math.rows import rows_at
from bozzetto.math.shading import lambert, normal_color
from bozzetto.types import FieldOutput, Shading


def check_feature_count(material: str, feature_count: int) -> None:
    """Check that there are the three features from which the albedo is read.

    Raises:
        ConfigError: there are fewer than three.
    """
    if feature_count < 3:
        raise ConfigError(
            f"material {material} reads RGB from the geometry's features and needs at least 3, but the geometry "
            f"gives {feature_count}. Let the geometry give 3 features."
        )


def albedo(features: Float[Tensor, "S F"]) -> Float[Tensor, "S 3"]:
    """Return the albedo in (0, 1): the sigmoid of the first three features."""
    return torch.sigmoid(features[:, :3])


def color(
    material: str,
    field: FieldOutput,
    view: Int[Tensor, "S"],
    shading: Shading,
    toward_light: Callable[[], Float[Tensor, "S 3"]],
) -> Float[Tensor, "S 3"]:
    """Return the colour of each point in [0, 1] in the mode of `shading`; `toward_light` is called only if it is lit.

    Raises:
        ConfigError: the mode needs normals and the geometry provides none.
    """
    if shading.mode == "albedo":
        return albedo(field.features)
    if field.normal is None:
        raise ConfigError(
            f"material {material}: shading {shading.mode!r} needs normals, and the geometry gave none. Choose a "
            "geometry that provides 'normal', or an unlit material such as no-material."
        )
    if shading.mode == "normal":
        return normal_color(field.normal)
    light = lambert(field.normal, toward_light(), rows_at(shading.ambient, view), rows_at(shading.diffuse, view))
    return light if shading.mode == "textureless" else albedo(field.features) * light
