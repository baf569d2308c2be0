"""Geometry of blobs: every few steps the faintest is removed and the two of largest gradient are cloned."""

import sys

import torch
from torch import nn

from bozzetto.errors import PluginError
from bozzetto.kinds.geometry import RowChange
from bozzetto.types import FieldOutput


class Growing(nn.Module):
    """Blobs with a nested parameter, and with an accumulator in a buffer. Implements `Adaptive`."""

    def __init__(self, config):
        super().__init__()
        self.config, self.radius, self.feature_count = config, 1.0, 3
        count = config.count
        self.position = nn.Parameter(0.3 * torch.randn(count, 3))
        self.log_density = nn.Parameter(1.0 + 0.1 * torch.randn(count))
        self.color = nn.Embedding(count, 3)
        self.register_buffer("seen", torch.zeros(count))

    def forward(self, points, normal=False):
        each = self._each(points)
        density = each.sum(dim=-1)
        return FieldOutput(each @ self.color.weight / (density[:, None] + 1e-6), density=self._inside(points, density))

    def density(self, points):
        return self._inside(points, self._each(points).sum(dim=-1))

    def set_step(self, step):
        if step == 2:
            self.go_wrong()

    def total_variation(self):
        return self.position.new_zeros(())

    def adapt(self, done, generator):
        if self.config.fault == "adapt" and done == 2:
            self.go_wrong()
        if not self.config.every:
            return None
        self.seen += self.position.grad.norm(dim=-1)
        if done % self.config.every:
            return None
        if self.config.fault == "of this process" and "worker" in sys.argv[0]:
            return None
        stay = torch.ones(len(self.seen), dtype=torch.bool, device=self.seen.device)
        stay[self.log_density.argmin()] = False
        stay = stay.nonzero()[:, 0]
        source = torch.cat([stay, stay[self.seen[stay].topk(2).indices]])
        fresh = torch.arange(len(source), device=source.device) >= len(stay)
        moved = 0.1 * torch.randn(len(source), 3, generator=generator, device=generator.device) * fresh[:, None]
        self.seen = self.seen.new_zeros(len(source))
        return {
            "position": RowChange(self.position[source] + moved, source, fresh),
            "log_density": RowChange(self.log_density[source], source, fresh),
            "color.weight": RowChange(self.color.weight[source], source, fresh),
        }

    def go_wrong(self):
        """Change the parameters outside of the contract."""
        more = torch.cat([self.position.data, self.position.data[:1]])
        match self.config.fault:
            case "data":
                self.position.data = more
            case "object" | "adapt":
                self.position = nn.Parameter(self.position.data.clone())
            case "grown":
                self.position = nn.Parameter(more)
            case "removed":
                del self.color.weight
                self.color.weight = more[: self.config.count]
            case "added":
                self.extra = nn.Parameter(torch.zeros(1))

    def _each(self, points):
        squared = (points[:, None] - self.position).square().sum(dim=-1)
        return self.log_density.exp() * torch.exp(-squared / 0.1)

    def _inside(self, points, density):
        return torch.where(points.detach().abs().amax(dim=-1) <= self.radius, density, 0.0)


class Restored(Growing):
    """The same, made from its part of a checkpoint: `MadeFromSaved`."""

    def __init__(self, config, made_from=None):
        if made_from is None and config.fault == "needs a file":
            raise PluginError("the file is gone")
        super().__init__(config)

    @classmethod
    def from_saved(cls, config, state):
        return cls(config, state)
