"""Torch reference of the interpolation of vertex attributes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor


def interpolate(
    attr: Float[Tensor, "A_B V A"],
    rast: Float[Tensor, "B H W 4"],
    tri: Int[Tensor, "T 3"],
    rast_db: Float[Tensor, "B H W 4"],
    diff_attrs: Sequence[int],
) -> tuple[Float[Tensor, "B H W A"], Float[Tensor, "B H W D2"]]:
    """Torch reference of `bozzetto.kernels.mesh.interpolate`; derivatives of the attributes in `diff_attrs`."""
    images, height, width, _ = rast.shape
    image, row, column = torch.nonzero(rast[..., 3] > 0, as_tuple=True)
    triangle = rast[image, row, column, 3].long() - 1
    source = image if len(attr) > 1 else torch.zeros_like(image)
    corner = attr[source[:, None], tri[triangle].long()]
    along_u, along_v = corner[:, 0] - corner[:, 2], corner[:, 1] - corner[:, 2]
    u, v = rast[image, row, column, :2].split(1, dim=-1)
    values = corner[:, 2] + u * along_u + v * along_v
    u_change, v_change = rast_db[image, row, column].split(2, dim=-1)
    chosen = list(diff_attrs)
    changes = along_u[:, chosen, None] * u_change[:, None] + along_v[:, chosen, None] * v_change[:, None]
    out = attr.new_zeros(images, height, width, attr.shape[-1]).index_put((image, row, column), values)
    out_da = attr.new_zeros(images, height, width, 2 * len(chosen))
    return out, out_da.index_put((image, row, column), changes.flatten(1))
