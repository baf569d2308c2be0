"""Accessors for the inputs of losses, with an error that names the cure if an input is missing."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from bozzetto.errors import ConfigError
from bozzetto.math.photos import resize_masked
from bozzetto.types import LossInputs, TriangleMesh, VolumeSamples


@dataclass(frozen=True)
class PhotoOfSize:
    """Reference photo resized to the rendered resolution, broadcast over views."""

    image: Float[Tensor, "1 H W 3"]
    mask: Float[Tensor, "1 H W 1"]
    depth: Float[Tensor, "1 H W 1"] | None
    normal: Float[Tensor, "1 H W 3"] | None
    """Normals in the photo's camera frame; not renormalised after resizing."""


def photo(inputs: LossInputs, loss: str) -> PhotoOfSize:
    """Return the task's reference photo at the rendered size.

    Raises:
        ConfigError: the task's view source has no photo.
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
    """Return the samples along the rays.

    Raises:
        ConfigError: the renderer is not a volume renderer.
    """
    if inputs.rendered.volume is None:
        raise ConfigError(
            f"loss {loss} reads samples along rays, and the renderer gave none. Use renderer volume, or drop the loss."
        )
    return inputs.rendered.volume


def sample_normals(seen: VolumeSamples, loss: str) -> Float[Tensor, "S 3"]:
    """Return the normal of each sample.

    Raises:
        ConfigError: no normals were rendered.
    """
    if seen.normal is None:
        raise ConfigError(f"loss {loss} reads normals, and none were rendered. Use a geometry that provides 'normal'.")
    return seen.normal


def normal_image(inputs: LossInputs, loss: str) -> Float[Tensor, "B H W 3"]:
    """Return the rendered normal image.

    Raises:
        ConfigError: no normals were rendered.
    """
    if inputs.rendered.normal is None:
        raise ConfigError(f"loss {loss} reads normals, and none were rendered. Use a geometry that provides 'normal'.")
    return inputs.rendered.normal


def mesh(inputs: LossInputs, loss: str) -> TriangleMesh:
    """Return the rendered mesh.

    Raises:
        ConfigError: the renderer is not a mesh renderer.
    """
    if inputs.rendered.mesh is None:
        raise ConfigError(
            f"loss {loss} reads the triangles of a surface, and the renderer gave none. Use renderer mesh with "
            "geometry dmtet, or drop the loss."
        )
    return inputs.rendered.mesh
