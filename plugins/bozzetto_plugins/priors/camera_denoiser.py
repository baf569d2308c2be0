"""Camera-conditioned denoiser with a memory of solids."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor, nn

from bozzetto.kernels.grid_spec import GridSpec
from bozzetto.math.cameras import look_at_origin, spherical_position
from bozzetto.math.noise_schedules import alpha_bars, scaled_linear_betas, zero_terminal_snr
from bozzetto.math.posterior import clean_deviation, gaussian_posterior_mean, plain_colour
from bozzetto.math.score import signal_and_noise, v_from_epsilon
from bozzetto.types import Cameras
from bozzetto_plugins.priors.refinement_unet import RefinementUNet
from bozzetto_plugins.priors.solid_memory import Drawing, Placement, SolidMemory

CAMERA_NUMBERS = 17
"""Length of a camera vector: row-major camera-to-world matrix (MVDream, sec. 3.1) and tan(fov_y / 2)."""
RECALLED_NUMBERS = 12
"""Length of `Recalled.numbers`: row, paint (3), its strength, turn, stretch (3), shift (3)."""
NOTHING = 0
"""Row of the empty thing, which the empty text means."""
PAGE_MEAN, PAGE_DEVIATION, PAGE_USUAL = 1.0, 0.7, 0.95
"""Prior of a plain background in [-1, 1]: usual value, standard deviation of others, probability of the usual."""
EMPTY = 0.01
"""Opacity below which a pixel counts as background."""
BETAS = (0.00085, 0.012)
"""First and last beta of Stable Diffusion's schedule, which is linear in sqrt(beta)."""
FRONT = (0.0, 15.0, 3.2, 40.0)
"""Azimuth, elevation, distance and vertical field of view of the default camera, degrees and world units."""


class Recalled(NamedTuple):
    """Things of the memory that texts or photos refer to, with their colours and placements."""

    thing: Int[Tensor, "B"]
    """Row indices of the memory."""
    paint: Float[Tensor, "B 3"]
    """Paint colour in [0, 1]."""
    painted: Float[Tensor, "B"]
    """Strength of the paint, in [0, 1]; 0: a thing keeps its own colours."""
    placement: Placement | None = None
    """Placement; None: as learned."""

    def numbers(self) -> Float[Tensor, "B 12"]:
        """Return one vector per row, the inverse of `recalled_of`. Raises `ValueError` without a placement."""
        if self.placement is None:
            raise ValueError("numbers() requires a placement, and this record has none")
        turn, stretch, shift = self.placement
        row = self.thing.to(self.paint)
        return torch.cat([row[:, None], self.paint, self.painted[:, None], turn[:, None], stretch, shift], dim=1)


@dataclass(frozen=True)
class CameraSettings:
    """Settings of a `CameraDenoiser`, with the names that they have in its `config.json`."""

    in_channels: int = 48
    """Channels of the input; twice `out_channels` if conditioned on photos."""
    out_channels: int = 48
    """Channels of latents, which are the pixels of square blocks (`PatchCodec`)."""
    sample_size: int = 32
    """Side of the latents."""
    cross_attention_dim: int = 128
    """E, width of the text embeddings; only the last token is read."""
    class_embed_type: str = "projection"
    projection_class_embeddings_input_dim: int = CAMERA_NUMBERS
    block_out_channels: Sequence[int] = (32, 64)
    norm_num_groups: int = 8
    things: int = 1
    """Rows of the memory, the first of which is empty."""
    grid_levels: int = 5
    grid_features: int = 2
    grid_base_resolution: int = 10
    grid_finest_resolution: int = 80
    grid_log2_table_size: int = 13
    hidden_width: int = 32
    occupancy_cells: int = 32
    step_size: float = 0.02
    draft_deviation: float = 0.05
    """Standard deviation of images from their drafts, for pixels in [-1, 1]."""
    told: Literal["text", "photo"] = "text"
    """Type of the conditioning tokens."""


class CameraDenoiser(nn.Module):
    """Denoiser (v-prediction) of remembered things seen from given cameras, on any plain background.

    The text selects a thing of the memory and its colour; the memory renders a draft from the camera. The draft is the
    mean of a Gaussian prior, whose posterior given the noisy image is known in closed form; a convolutional network
    that reads the noisy image and the draft adds a correction. At pure noise the output is the draft.

    With `told="photo"` it reads no text: the token holds the recognised thing and its placement (`Recalled.numbers`),
    and the photo's latents, which follow the noisy ones, are ignored.
    """

    def build(self, settings: CameraSettings) -> None:
        """Create all layers."""
        self.settings = settings
        self.factor = math.isqrt(settings.out_channels // 3)
        spec = GridSpec.up_to(
            settings.grid_finest_resolution, levels=settings.grid_levels, features=settings.grid_features,
            log2_table_size=settings.grid_log2_table_size, base_resolution=settings.grid_base_resolution,
        )  # fmt: skip
        self.memory = SolidMemory(
            settings.things, spec, settings.hidden_width, settings.occupancy_cells, settings.step_size
        )
        if settings.told == "text":
            self.recall_thing = nn.Linear(settings.cross_attention_dim, settings.things)
            self.recall_paint = nn.Linear(settings.cross_attention_dim, 4)
        self.refine = RefinementUNet(
            2 * settings.out_channels, settings.out_channels, settings.block_out_channels, settings.norm_num_groups
        )

    @cached_property
    def alpha_bars(self) -> Float[Tensor, "T"]:
        """Alpha_bar by timestep; no buffer, since half precision would lose the lowest noise levels."""
        return zero_snr_alpha_bars(next(self.parameters()).device)

    def recall(self, text: Float[Tensor, "B N E"]) -> Recalled:
        """Return the most likely thing and colour for a text, or the thing recognised in a photo."""
        if self.settings.told == "photo":
            return recalled_of(text[:, -1].float(), self.settings.things)
        last = text[:, -1].to(self.recall_thing.weight.dtype)
        *paint, painted = torch.sigmoid(self.recall_paint(last).float()).unbind(dim=1)
        return Recalled(self.recall_thing(last).argmax(dim=1), torch.stack(paint, dim=1), painted)

    def draw(self, recalled: Recalled, camera: Float[Tensor, "B 17"]) -> Drawing:
        """Render the recalled things from the cameras."""
        side = self.settings.sample_size * self.factor
        views = cameras_of(camera.float(), side)
        return self.memory.draw(recalled.thing, views.rays(), recalled.paint, recalled.painted, recalled.placement)

    def alpha_bar(self, times: Num[Tensor, "B"]) -> Float[Tensor, "B"]:
        """Return alpha_bar at timesteps, in float32."""
        return self.alpha_bars.to(times.device)[times.long()]

    def draft(
        self, sample: Float[Tensor, "B C h w"], alpha_bar: Float[Tensor, "B"], drawing: Drawing
    ) -> Float[Tensor, "B C h w"]:
        """Composite a drawing over the most likely plain background of the noisy latents; returns latents."""
        noisy = torch.nn.functional.pixel_shuffle(sample, self.factor)
        colour, opacity = (one.permute(0, 3, 1, 2) for one in drawing)
        empty = (opacity < EMPTY).float()
        page = plain_colour(noisy, empty, alpha_bar, PAGE_MEAN, PAGE_DEVIATION, PAGE_USUAL)
        picture = 2.0 * colour - opacity + (1.0 - opacity) * page[:, :, None, None]
        return torch.nn.functional.pixel_unshuffle(picture, self.factor)

    def velocity(
        self,
        sample: Float[Tensor, "B C h w"],
        timestep: Tensor | float | int,
        text: Float[Tensor, "B N E"],
        camera: Num[Tensor, "B 17"] | None,
    ) -> Float[Tensor, "B D h w"]:
        """Return the velocity of noisy latents; None: seen by the front camera."""
        sample = sample[:, : self.settings.out_channels]
        times = torch.as_tensor(timestep, device=sample.device).expand(len(sample))
        camera = front_camera(sample.device).expand(len(sample), -1) if camera is None else camera
        recalled = self.recall(text)
        clean = self.clean(sample.float(), times, recalled, self.draw(recalled, camera))
        alpha_bar = self.alpha_bar(times)
        signal, noise = signal_and_noise(alpha_bar)
        return v_from_epsilon(clean, (sample.float() - signal * clean) / noise, alpha_bar).to(sample.dtype)

    def clean(
        self, sample: Float[Tensor, "B C h w"], times: Num[Tensor, "B"], recalled: Recalled, drawing: Drawing
    ) -> Float[Tensor, "B C h w"]:
        """Return the clean latents: the posterior mean around the draft, plus the network's correction."""
        alpha_bar = self.alpha_bar(times)
        draft = self.draft(sample, alpha_bar, drawing)
        deviation = torch.where(recalled.thing == NOTHING, PAGE_DEVIATION, self.settings.draft_deviation)
        mean = gaussian_posterior_mean(sample, draft, deviation, alpha_bar)
        told = torch.cat([sample, draft], dim=1).to(self.refine.dtype)
        added: Tensor = self.refine(told, times).float()
        share = alpha_bar.sqrt() * clean_deviation(alpha_bar, deviation)  # at pure noise, only the draft remains
        return mean + share[:, None, None, None] * added


def zero_snr_alpha_bars(device: torch.device | None = None) -> Float[Tensor, "T"]:
    """Return Stable Diffusion's alpha_bar rescaled to zero terminal SNR (Lin et al. 2023, arXiv 2305.08891)."""
    return alpha_bars(zero_terminal_snr(scaled_linear_betas(*BETAS, 1000, device)))


def recalled_of(numbers: Float[Tensor, "B N"], things: int) -> Recalled:
    """Return the inverse of `Recalled.numbers`; numbers after the first twelve are ignored."""
    row, paint, painted, turn, stretch, shift, _ = numbers.split([1, 3, 1, 1, 3, 3, numbers.shape[1] - 12], dim=1)
    thing = row[:, 0].round().long().clamp(0, things - 1)
    return Recalled(thing, paint, painted[:, 0], Placement(turn[:, 0], stretch, shift))


def camera_numbers(cameras: Cameras) -> Float[Tensor, "B 17"]:
    """Encode cameras as the class labels of `CameraUNet`."""
    return torch.cat([cameras.c2w.flatten(1), torch.tan(0.5 * cameras.fov_y_rad)[:, None]], dim=1)


def cameras_of(numbers: Float[Tensor, "B 17"], side: int) -> Cameras:
    """Decode the cameras of `camera_numbers`, for square images."""
    return Cameras(numbers[:, :16].unflatten(1, (4, 4)), 2.0 * torch.atan(numbers[:, 16]), side, side)


def front_camera(device: torch.device) -> Float[Tensor, "1 17"]:
    """Return the default camera: in front of the object, a little above the horizon."""
    azimuth, elevation, distance, fov_y = (torch.tensor([one], device=device) for one in FRONT)
    pose = look_at_origin(spherical_position(azimuth, elevation, distance))
    return camera_numbers(Cameras(pose, torch.deg2rad(fov_y), 1, 1))
