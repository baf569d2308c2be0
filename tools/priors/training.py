"""What both trainings share: allocator set-up, wall-clock schedule, moving averages, checkpoints."""

from __future__ import annotations

import ctypes
import math
import platform
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as together

from bozzetto_plugins.guidance.precision import processor_dtype


def mixed_precision() -> torch.autocast:
    """bfloat16 where the processor multiplies matrices in it; elsewhere that is twenty times slower than float32."""
    return torch.autocast("cpu", torch.bfloat16, enabled=processor_dtype() == torch.bfloat16)


def keep_memory_mapped() -> None:
    """Tell glibc to reuse big blocks instead of giving them back (page faults cost 2-3x here)."""
    if platform.system() == "Linux":
        libc = ctypes.CDLL("libc.so.6", use_errno=True)
        m_trim_threshold, m_mmap_threshold = -1, -3
        libc.mallopt(m_mmap_threshold, 1 << 30)
        libc.mallopt(m_trim_threshold, 2**31 - 1)


def join_others() -> tuple[int, int]:
    """Join the processes that `torchrun` started, if it did; this one's number, and how many there are."""
    if not together.is_torchelastic_launched():
        return 0, 1
    together.init_process_group("gloo")
    return together.get_rank(), together.get_world_size()


@torch.no_grad()
def copy_first(tensors: list[torch.Tensor]) -> None:
    """Put what the first process has in place of each of `tensors`; alone, leave them."""
    if together.is_initialized():
        for tensor in tensors:
            together.broadcast(tensor, 0)


@torch.no_grad()
def share(tensors: list[torch.Tensor]) -> None:
    """Put the mean over all processes in place of each of `tensors`; alone, leave them."""
    if not together.is_initialized():
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    together.all_reduce(flat)
    flat /= together.get_world_size()
    for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(mean.view_as(tensor))


@dataclass(frozen=True)
class Schedule:
    """Learning rate over the fraction of the training time used: warm-up by steps, then cosine."""

    peak: float
    floor: float
    warmup_steps: int

    def rate(self, fraction: float, step: int) -> float:
        """Rate at `fraction` (0..1) of the time and optimiser `step` (from 0)."""
        cosine = 0.5 * (1 + math.cos(math.pi * min(max(fraction, 0.0), 1.0)))
        rate = self.floor + (self.peak - self.floor) * cosine
        return rate * min(1.0, (step + 1) / self.warmup_steps)


def draw_timesteps(count: int, steps: int, power: float) -> torch.Tensor:
    """`count` timesteps below `steps`, stratified, of a density that grows with noise: evenly drawn ones to `power`."""
    even = (torch.randperm(count) + torch.rand(count)) / count
    return (even.pow(power) * steps).long().clamp(max=steps - 1)


def noise_weight(abar: torch.Tensor, gamma: float) -> torch.Tensor:
    """Of each sample's error: 1 where noise rules, gamma / (snr + 1) where little is left of it.

    Min-SNR's min(snr, gamma) / (snr + 1) would also fade out the noisiest steps, the ones that decide shape, view
    and colour. (snr + 1 = 1 / (1 - abar).)
    """
    return (gamma * (1 - abar)).clamp(max=1.0)


class Average:
    """Exponential moving average of the parameters of `modules`, float32."""

    def __init__(self, parameters: list[torch.nn.Parameter]):
        self.live = parameters
        self.mean = [p.detach().clone() for p in parameters]

    @torch.no_grad()
    def update(self, decay: float, step: int) -> None:
        """One step with `decay`, smaller while `step` is small."""
        rate = 1 - min(decay, (step + 1) / (step + 10))
        torch._foreach_lerp_(self.mean, [p.detach() for p in self.live], rate)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the live parameters and the averages (call again to undo)."""
        for live, mean in zip(self.live, self.mean, strict=True):
            kept = live.detach().clone()
            live.copy_(mean)
            mean.copy_(kept)


def save_checkpoint(path: Path, state: dict) -> None:
    """`torch.save` next to `path`, then rename."""
    scratch = path.with_suffix(".tmp")
    torch.save(state, scratch)
    scratch.replace(path)


def load_checkpoint(path: Path) -> dict | None:
    """The saved state, or None if there is none."""
    return torch.load(path, weights_only=True) if path.exists() else None
