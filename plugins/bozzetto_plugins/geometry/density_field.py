"""What density fields have in common: from an encoding and its networks to density, features and normals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.kernels.api import SlopedField
from bozzetto.math.density import activate_density, blob_dreamfusion, blob_magic3d
from bozzetto.math.normals import finite_difference_normal, safe_normalize, with_analytic_normal
from bozzetto.types import FieldOutput
from bozzetto_plugins.geometry.config import FieldConfig


@dataclass(frozen=True)
class DensityField:
    """A density field put together from its parts: an encoding of points, and networks that read it."""

    config: FieldConfig
    encode: Callable[[Tensor], Tensor]
    """From points "S 3", world units, to "S E"."""
    density_network: Callable[[Tensor], Tensor]
    """From "S E" to "S 1", unbounded."""
    feature_network: Callable[[Tensor], Tensor]
    """From "S E" to "S F"."""
    normal_network: Callable[[Tensor], Tensor] | None
    """From "S E" to "S 3"; needed if normals are predicted."""
    sloped: Callable[[Tensor], SlopedField] | None = None
    """From points "S 3" to the density network's output with its slope, where there is a faster way than autograd."""

    def density(self, points: Float[Tensor, "S 3"]) -> Float[Tensor, "S"]:
        """Density alone: runs neither the feature nor the normal network."""
        raw, _ = self._raw_density(points)
        return self._activated(points, raw)

    def output(self, points: Float[Tensor, "S 3"], normal: bool) -> FieldOutput:
        """Density, features, and the normal if asked, from one encoding of the points unless differences need more.

        Normals come from the raw density, as in multinerf (google-research, models.py): it does not underflow, and
        neither the activation nor the cut at the cube's faces turns a normal inside.
        """
        config = self.config
        method = config.normal if normal else None
        direction = None
        if method == "analytic" and self.sloped is not None:
            raw, encoded, direction = self._sloped_density(self.sloped(points), points)
        elif method == "analytic":
            raw, encoded, direction = with_analytic_normal(self._raw_density, points)
        else:
            raw, encoded = self._raw_density(points)
        if method == "finite-difference":
            eps, samples = config.finite_difference_eps, config.finite_difference_samples
            direction = finite_difference_normal(lambda at: self._raw_density(at)[0], points, eps, samples)
        elif method == "predicted" and self.normal_network is not None:
            direction = safe_normalize(self.normal_network(encoded))
        return FieldOutput(self.feature_network(encoded), density=self._activated(points, raw), normal=direction)

    def _raw_density(self, points: Float[Tensor, "S 3"]) -> tuple[Float[Tensor, "S"], Float[Tensor, "S E"]]:
        """Density before its activation, and the encoding it was read from."""
        encoded = self.encode(points)
        raw = self.density_network(encoded)[:, 0]
        return (raw if self._bias is None else raw + self._bias(points)), encoded

    def _sloped_density(
        self, field: SlopedField, points: Float[Tensor, "S 3"]
    ) -> tuple[Float[Tensor, "S"], Float[Tensor, "S E"], Float[Tensor, "S 3"]]:
        """Raw density, encoding and normal: `field` and the bias added up."""
        raw, slope = field.value, field.slope
        if self._bias is not None:
            with torch.inference_mode(False), torch.enable_grad():
                at = points.detach().clone().requires_grad_()
                bias = self._bias(at)
                (bias_slope,) = torch.autograd.grad(bias.sum(), at)
            raw, slope = raw + bias.detach(), slope + bias_slope
        return raw, field.encoded, safe_normalize(-slope)

    @property
    def _bias(self) -> Callable[[Tensor], Tensor] | None:
        """What is added to the raw density, from points "S 3" to "S"."""
        config = self.config
        if config.density_bias == "none":
            return None
        blob = blob_dreamfusion if config.density_bias == "blob-dreamfusion" else blob_magic3d
        return lambda points: blob(points, config.blob_scale, config.blob_std)

    def _activated(self, points: Float[Tensor, "S 3"], raw: Float[Tensor, "S"]) -> Float[Tensor, "S"]:
        inside = points.detach().abs().amax(dim=-1) <= self.config.radius
        return torch.where(inside, activate_density(raw, self.config.density_activation), 0.0)
