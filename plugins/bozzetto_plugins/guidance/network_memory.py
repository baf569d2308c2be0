"""Estimate of the GPU memory that the networks of a latent diffusion model need in a step. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["NetworkMemory"]

ENCODER_BYTES = 6700
"""Bytes per pixel that the image encoder of Stable Diffusion keeps for its backward pass in half precision, counted
with torch's FakeTensorMode: 1.6 GiB at 512 x 512."""
DENOISER_BYTES = 1200
"""Bytes per pixel and prompt that its denoiser needs at a time in half precision, without gradients."""


@dataclass(frozen=True)
class NetworkMemory:
    """What the memory of a step depends on."""

    pixels: int
    """Of a view as the image encoder takes it."""
    encode_views: int
    """Views that are encoded at a time, and again in the backward pass; 0: all, once."""
    full: bool
    """Whether the networks compute in float32."""

    def kept_bytes(self, views: int) -> int:
        """Return the bytes that the image encoder keeps for the backward pass of a step."""
        encoded_twice = 0 < self.encode_views < views
        return 0 if encoded_twice else views * self._encoder_bytes()

    def passing_bytes(self, views: int) -> int:
        """Return the most bytes that encoder or denoiser, with two prompts for each view, need for a while."""
        at_once = self.encode_views if self.encode_views < views else 0
        return max(at_once * self._encoder_bytes(), 2 * views * self._scale * self.pixels * DENOISER_BYTES)

    @property
    def _scale(self) -> int:
        return 2 if self.full else 1

    def _encoder_bytes(self) -> int:
        return self._scale * self.pixels * ENCODER_BYTES
