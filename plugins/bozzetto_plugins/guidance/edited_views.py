"""Pictures of fixed views: as the scene was, and as they have been edited."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from bozzetto.errors import ConfigError
from bozzetto.types import Cameras


class EditedViews(nn.Module):
    """What is kept of N views; saved with the run, which resumes with the same pictures bit by bit.

    Pictures have 8 bits per colour, as photos have.

    Args:
        cameras: the views.
        image_size: height and width of the pictures, pixels.
        latents: channels, height and width of their latents.
    """

    pictures: UInt8[Tensor, "N H W 3"]
    """Targets: the original picture until it is edited."""
    latents: Float[Tensor, "N C h w"]
    """Latents of the original pictures, not scaled, as the model was trained."""
    edits: Int[Tensor, "N"]
    """Number of edits of each view."""

    def __init__(self, cameras: Cameras, image_size: tuple[int, int], latents: tuple[int, int, int]) -> None:
        super().__init__()
        self.cameras, device, count = cameras, cameras.c2w.device, len(cameras)
        self.register_buffer("pictures", torch.zeros(count, *image_size, 3, dtype=torch.uint8, device=device))
        self.register_buffer("latents", torch.zeros(count, *latents, device=device))
        self.register_buffer("edits", torch.zeros(count, dtype=torch.int64, device=device))

    def numbers_of(self, cameras: Cameras) -> Int[Tensor, "B"]:
        """Return the number of each view.

        Raises:
            ConfigError: a camera is none of those kept.
        """
        same = (cameras.c2w[:, None] == self.cameras.c2w.to(cameras.c2w)).flatten(2).all(dim=2)
        if not bool(same.any(dim=1).all()):
            raise ConfigError(
                "guidance: keeps pictures of the task's fixed views, and a camera is none of them. The view source "
                "must not change while the stage trains."
            )
        return same.int().argmax(dim=1)

    def target(self, number: Int[Tensor, "B"]) -> Float[Tensor, "B 3 H W"]:
        """Return the pictures of some views, in [0, 1]."""
        return self.pictures[number].permute(0, 3, 1, 2).float() / 255.0

    def put(self, number: Int[Tensor, "B"], image: Float[Tensor, "B 3 H W"]) -> None:
        """Replace the pictures of some views by images in [0, 1]."""
        self.pictures[number] = (image.permute(0, 2, 3, 1).clamp(0.0, 1.0) * 255.0).round().to(torch.uint8)
