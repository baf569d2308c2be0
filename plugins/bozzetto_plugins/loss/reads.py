"""What losses read from a rendering, with an error that names the cure where it is missing."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from bozzetto.errors import ConfigError
from bozzetto.math.photos import resize_masked
from bozzetto.types import LossInputs, Mesh, VolumeSamples


@dataclass(frozen=True)
class PhotoOfSize:
    """A photo at the size of a rendering, to be compared with each of its views."""

    image: Float[Tensor, "1 H W 3"]
    mask: Float[Tensor, "1 H W 1"]
    depth: Float[Tensor, "1 H W 1"] | None
    normal: Float[Tensor, "1 H W 3"] | None
    """Not normalised where it was resized."""


def photo(inputs: LossInputs, loss: str) -> PhotoOfSize:
    """The photo that the task looks at.

    Raises:
        ConfigError: the task's view source has none.
    """
    seen = inputs.reference
    if seen is None:
        raise ConfigError(f"loss {loss} reads a photo, and the task has none. Use view source single-image.")
    height, width = inputs.rendered.opacity.shape[1:3]
    image, mask = resize_masked(seen.image, seen.mask, (height, width))
    depth = None if seen.depth is None else resize_masked(seen.depth, seen.mask, (height, width))[0][None]
    normal = None if seen.normal is None else resize_masked(seen.normal, seen.mask, (height, width))[0][None]
    return PhotoOfSize(image[None], mask[None], depth, normal)


def volume(inputs: LossInputs, loss: str) -> VolumeSamples:
    """The samples along the rays.

    Raises:
        ConfigError: the renderer is not a volume renderer.
    """
    if inputs.rendered.volume is None:
        raise ConfigError(
            f"loss {loss} reads samples along rays, and the renderer gave none. Use renderer volume, or drop the loss."
        )
    return inputs.rendered.volume


def sample_normals(seen: VolumeSamples, loss: str) -> Float[Tensor, "S 3"]:
    """The normal of each sample.

    Raises:
        ConfigError: there are none.
    """
    if seen.normal is None:
        raise ConfigError(f"loss {loss} reads normals, and none were rendered. Use a geometry that provides 'normal'.")
    return seen.normal


def normal_image(inputs: LossInputs, loss: str) -> Float[Tensor, "B H W 3"]:
    """The picture of normals.

    Raises:
        ConfigError: there is none.
    """
    if inputs.rendered.normal is None:
        raise ConfigError(f"loss {loss} reads normals, and none were rendered. Use a geometry that provides 'normal'.")
    return inputs.rendered.normal


def mesh(inputs: LossInputs, loss: str) -> Mesh:
    """The surface that was drawn.

    Raises:
        ConfigError: the renderer is not a mesh renderer.
    """
    if inputs.rendered.mesh is None:
        raise ConfigError(
            f"loss {loss} reads the triangles of a surface, and the renderer gave none. Use renderer mesh with "
            "geometry dmtet, or drop the loss."
        )
    return inputs.rendered.mesh
