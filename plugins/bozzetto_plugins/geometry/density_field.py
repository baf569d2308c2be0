"""Code shared by the density fields: from an encoding and its networks to density, features and normals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from bozzetto.kernels.api import SlopedField
from bozzetto.math.density import activate_density, blob_dreamfusion, blob_magic3d
from bozzetto.math.normals import finite_difference_normal, safe_normalize, with_analytic_normal
from bozzetto.types import FieldOutput
from bozzetto_plugins.geometry.config import DensityFieldConfig


@dataclass(frozen=True)
class DensityField:
    """Density field composed of an encoding of points and of networks that decode it."""

    config: DensityFieldConfig
    encode: Callable[[Tensor], Tensor]
    """Encoding of points "S 3", world units, as "S E"."""
    density_network: Callable[[Tensor], Tensor]
    """Network from "S E" to the raw density "S 1", unbounded."""
    feature_network: Callable[[Tensor], Tensor]
    """Network from "S E" to the features "S F"."""
    normal_network: Callable[[Tensor], Tensor] | None
    """Network from "S E" to normals "S 3"; required if normals are predicted."""
    sloped: Callable[[Tensor], SlopedField] | None = None
    """Raw density and its gradient at points "S 3", where this is faster than autograd."""

    def density(self, points: Float[Tensor, "S 3"]) -> Float[Tensor, "S"]:
        """Return the density alone; runs neither the feature nor the normal network."""
        raw, _ = self._raw_density(points)
        return self._activated(points, raw)

    def output(self, points: Float[Tensor, "S 3"], normal: bool) -> FieldOutput:
        """Return density, features and, if `normal`, the normals; encodes once, plus once per finite-difference sample.

        Normals come from the raw density, as in multinerf (google-research, models.py): it does not underflow, and
        neither the activation nor the cut at the faces of the cube can flip a normal.
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
        """Return the density before its activation, and the encoding."""
        encoded = self.encode(points)
        raw = self.density_network(encoded)[:, 0]
        return (raw if self._bias is None else raw + self._bias(points)), encoded

    def _sloped_density(
        self, field: SlopedField, points: Float[Tensor, "S 3"]
    ) -> tuple[Float[Tensor, "S"], Float[Tensor, "S E"], Float[Tensor, "S 3"]]:
        """Return raw density, encoding and normal, with the bias added to `field`."""
        raw, slope = field.value, field.slope
        if self._bias is not None:
            # Within a part that is evaluated again in the backward pass, looking at saved tensors would do so at once.
            kept_as_they_are = saved_tensors_hooks(lambda tensor: tensor, lambda tensor: tensor)
            with torch.inference_mode(False), torch.enable_grad(), kept_as_they_are:
                at = points.detach().clone().requires_grad_()
                bias = self._bias(at)
                (bias_slope,) = torch.autograd.grad(bias.sum(), at)
            raw, slope = raw + bias.detach(), slope + bias_slope
        return raw, field.encoded, safe_normalize(-slope)

    @property
    def _bias(self) -> Callable[[Tensor], Tensor] | None:
        """Bias added to the raw density, a function from points "S 3" to "S", or None."""
        config = self.config
        if config.density_bias == "none":
            return None
        blob = blob_dreamfusion if config.density_bias == "blob-dreamfusion" else blob_magic3d
        return lambda points: blob(points, config.blob_scale, config.blob_std)

    def _activated(self, points: Float[Tensor, "S 3"], raw: Float[Tensor, "S"]) -> Float[Tensor, "S"]:
        inside = points.detach().abs().amax(dim=-1) <= self.config.radius
        return torch.where(inside, activate_density(raw, self.config.density_activation), 0.0)
