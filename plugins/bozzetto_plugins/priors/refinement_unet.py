"""Small convolutional U-Net that reads a timestep."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Num
from torch import Tensor, nn
from torch.nn import functional

LONGEST_PERIOD = 10000.0
"""Longest wavelength of the timestep's encoding, divided by 2 pi."""


class RefinementUNet(nn.Module):
    """U-Net of residual blocks, two on the way up and one on the way down at each resolution (Ho et al. 2020, app. B).

    Weights have the names that they have in diffusers' `UNet2DModel` without attention, and with a timestep that scales
    and shifts features; the tests compare both.

    Args:
        widths: channels at each resolution, which is halved from one to the next.
        groups: groups of channels that are normalised together.
    """

    def __init__(self, in_channels: int, out_channels: int, widths: Sequence[int], groups: int) -> None:
        super().__init__()
        first, last, told = widths[0], widths[-1], 4 * widths[0]
        self.time_embedding = _TimeEmbedding(first, told)
        self.conv_in = nn.Conv2d(in_channels, first, 3, padding=1)
        befores = (first, *widths[:-1])
        self.down_blocks = nn.ModuleList(
            _DownBlock(before, width, told, groups, shrinks=index < len(widths) - 1)
            for index, (before, width) in enumerate(zip(befores, widths, strict=True))
        )
        self.mid_block = _MidBlock(last, told, groups)
        self.up_blocks = nn.ModuleList()
        before = last
        for index in reversed(range(len(widths))):
            self.up_blocks.append(_UpBlock(before, widths[index], befores[index], told, groups, grows=index > 0))
            before = widths[index]
        self.conv_norm_out = nn.GroupNorm(groups, first, eps=1e-5)
        self.conv_out = nn.Conv2d(first, out_channels, 3, padding=1)

    @property
    def dtype(self) -> torch.dtype:
        """Data type of the weights."""
        return self.conv_in.weight.dtype

    def forward(self, image: Float[Tensor, "B C H W"], times: Num[Tensor, "B"]) -> Float[Tensor, "B D H W"]:
        """Return an image of the same size."""
        told = self.time_embedding(times)
        kept = [self.conv_in(image)]
        for down in self.down_blocks:
            kept += down(kept[-1], told)
        image = self.mid_block(kept[-1], told)
        for up in self.up_blocks:
            image = up(image, told, kept)
        result: Tensor = self.conv_out(functional.silu(self.conv_norm_out(image)))
        return result


class _TimeEmbedding(nn.Module):
    """Two linear layers on the cosines and sines of a timestep."""

    def __init__(self, width: int, told: int) -> None:
        super().__init__()
        self.width = width
        self.linear_1, self.linear_2 = nn.Linear(width, told), nn.Linear(told, told)

    def forward(self, times: Num[Tensor, "B"]) -> Float[Tensor, "B E"]:
        half = self.width // 2
        exponent = -math.log(LONGEST_PERIOD) * torch.arange(half, dtype=torch.float32, device=times.device)
        angle = times[:, None].float() * torch.exp(exponent / half)[None]
        encoded = torch.cat([torch.cos(angle), torch.sin(angle)], dim=1).to(self.linear_1.weight.dtype)
        embedded: Tensor = self.linear_2(functional.silu(self.linear_1(encoded)))
        return embedded


class _Residual(nn.Module):
    """Two convolutions whose result is added to the input; the embedding scales and shifts the features between."""

    def __init__(self, before: int, width: int, told: int, groups: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(groups, before, eps=1e-5), nn.GroupNorm(groups, width, eps=1e-5)
        self.conv1, self.conv2 = (nn.Conv2d(channels, width, 3, padding=1) for channels in (before, width))
        self.time_emb_proj = nn.Linear(told, 2 * width)
        self.conv_shortcut = nn.Conv2d(before, width, 1) if before != width else None

    def forward(self, image: Float[Tensor, "B C H W"], told: Float[Tensor, "B E"]) -> Float[Tensor, "B D H W"]:
        features = self.conv1(functional.silu(self.norm1(image)))
        scale, shift = self.time_emb_proj(functional.silu(told))[:, :, None, None].chunk(2, dim=1)
        features = self.norm2(features) * (1 + scale) + shift
        features = self.conv2(functional.silu(features))
        same: Tensor = image if self.conv_shortcut is None else self.conv_shortcut(image)
        result: Tensor = same + features
        return result


class _Resized(nn.Module):
    """Convolution that halves the resolution, or doubles it."""

    def __init__(self, width: int, grows: bool) -> None:
        super().__init__()
        self.grows = grows
        self.conv = nn.Conv2d(width, width, 3, stride=1 if grows else 2, padding=1)

    def forward(self, image: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C h w"]:
        resized: Tensor = self.conv(functional.interpolate(image, scale_factor=2.0) if self.grows else image)
        return resized


class _DownBlock(nn.Module):
    """Residual block, and the next resolution."""

    def __init__(self, before: int, width: int, told: int, groups: int, shrinks: bool) -> None:
        super().__init__()
        self.resnets = nn.ModuleList([_Residual(before, width, told, groups)])
        self.downsamplers = nn.ModuleList([_Resized(width, grows=False)] if shrinks else [])

    def forward(self, image: Tensor, told: Tensor) -> list[Tensor]:
        """Return the image after each layer."""
        images = [self.resnets[0](image, told)]
        for shrink in self.downsamplers:
            images.append(shrink(images[-1]))
        return images


class _MidBlock(nn.Module):
    """Two residual blocks."""

    def __init__(self, width: int, told: int, groups: int) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(_Residual(width, width, told, groups) for _ in range(2))

    def forward(self, image: Tensor, told: Tensor) -> Tensor:
        for block in self.resnets:
            image = block(image, told)
        return image


class _UpBlock(nn.Module):
    """Two residual blocks that each read an image of the way down, and the previous resolution."""

    def __init__(self, before: int, width: int, below: int, told: int, groups: int, grows: bool) -> None:
        super().__init__()
        channels = (before + width, width + below)
        self.resnets = nn.ModuleList(_Residual(each, width, told, groups) for each in channels)
        self.upsamplers = nn.ModuleList([_Resized(width, grows=True)] if grows else [])

    def forward(self, image: Tensor, told: Tensor, kept: list[Tensor]) -> Tensor:
        """Return the image; takes the images that it reads from the end of `kept`."""
        for block in self.resnets:
            image = block(torch.cat([image, kept.pop()], dim=1), told)
        for grow in self.upsamplers:
            image = grow(image)
        return image
