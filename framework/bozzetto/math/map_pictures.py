"""Pictures of rendered maps for people, right where a pixel is only partly covered.

Maps are weighted by opacity, as `bozzetto.types.Rendered` has them: sums of weight times value along the ray.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

__all__ = ["SMALLEST", "normal_picture", "surface_depth"]

SMALLEST = 1e-3
"""Opacity below which a pixel has no depth of its own."""


def normal_picture(normal: Float[Tensor, "*B H W 3"], opacity: Float[Tensor, "*B H W 1"]) -> Float[Tensor, "*B H W 3"]:
    """Return world normals as colours on white: x red, y green, z blue.

    A unit normal n has the colour (n + 1) / 2, which is linear in n: of weighted normals N and opacity o, the colour
    over white is (N + o) / 2 + 1 - o.
    """
    return 0.5 * (normal + opacity) + (1.0 - opacity)


def surface_depth(depth: Float[Tensor, "*B H W 1"], opacity: Float[Tensor, "*B H W 1"]) -> Float[Tensor, "*B H W 1"]:
    """Return the mean distance of what a ray hits, also at an outline; next to 0 where it hits next to nothing."""
    return depth / opacity.clamp(min=SMALLEST)
