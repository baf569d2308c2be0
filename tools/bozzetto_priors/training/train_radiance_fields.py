"""Train one small radiance field for each piece on its rendered views.

tools/priors train-radiance-fields --views RUN/views --out RUN/things

Every piece is fitted separately, in about twenty seconds on one core, and saved; existing files are skipped, and
`--part 0/2` takes every second one, so that two processes can share the work.
"""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from safetensors.torch import save_file
from torch import Tensor

from bozzetto.kernels.api import composite, hash_encode, march, mlp
from bozzetto.kernels.grid_spec import GridSpec
from bozzetto.kernels.ref.march import cube_span
from bozzetto.types import Cameras
from bozzetto_plugins.priors.solid_memory import BITS, CHANNELS, LARGEST, MOST_STEPS, split_field
from bozzetto_priors.command_line import step_parser
from bozzetto_priors.training.memory_and_precision import keep_memory_mapped
from bozzetto_priors.views.training_views import Views, load_views

SPEC = GridSpec.up_to(80, levels=5, features=2, log2_table_size=13, base_resolution=10)
WIDTH, CELLS, STEP_SIZE = 32, 32, 0.02
MARGIN = 0.04
"""Margin around a piece in its box, world units."""
STEPS, RAYS, RATE = 240, 3072, 2e-2
FIRST_STEPS = 80
"""Initial steps with a quarter of the rays, while all cells are occupied."""
EMPTY_BELOW = 0.5
"""Density per unit below which a cell counts as empty during training."""
UNSEEN_BELOW = 0.004
"""Maximum compositing weight of a cell below which it is removed after training."""
WEIGHTS = (1.0, 1.0, 1.0, 1.0, 0.3, 0.5, 0.5, 0.5, 0.3)
"""Loss weights of the channels of `Views.targets`."""


@dataclass
class Solid:
    """Radiance field during training; `bozzetto_plugins.priors.solid_memory` stores the finished ones."""

    centre: Float[Tensor, "3"]
    half_side: Float[Tensor, "3"]
    table: Float[Tensor, "P F"]
    layers: list[Tensor]
    seen: Float[Tensor, "G G G"]
    """Running maximum of the density in each cell."""
    occupied: Tensor

    @classmethod
    def new(cls, box: Float[Tensor, "2 3"], generator: torch.Generator) -> Solid:
        """Create a nearly uniform field in the box of a piece; row 0 of `box` is the low corner."""
        widths, device = (SPEC.feature_count, WIDTH, WIDTH, CHANNELS), box.device
        layers = [
            torch.randn(o, i, generator=generator, device=device) * math.sqrt(2.0 / i)
            for i, o in itertools.pairwise(widths)
        ]
        table = (torch.rand(SPEC.entry_count, SPEC.features, generator=generator, device=device) - 0.5) * 0.02
        for parameter in (table, *layers):
            parameter.requires_grad_()
        cells = (CELLS, CELLS, CELLS)
        half = 0.5 * (box[1] - box[0]) + MARGIN
        seen = torch.zeros(cells, device=device)
        return cls(0.5 * (box[0] + box[1]), half, table, layers, seen, torch.ones_like(seen).bool())

    def inside(self, origin: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
        """Transform rays to the coordinates of the box."""
        return (origin - self.centre) / self.half_side, direction / self.half_side

    def render(self, origin: Tensor, direction: Tensor, jitter: Tensor | None = None) -> Rendering:
        """Render colour, opacity, paint share, painted part of the colour, and tone, all times opacity: "R 9"."""
        origin, direction = self.inside(origin, direction)
        cut = march(origin, direction, 1.0, self.occupied, STEP_SIZE, MOST_STEPS, jitter)
        points = origin[cut.ray] + (0.5 * (cut.t_start + cut.t_end))[:, None] * direction[cut.ray]
        density, own, takes, tone = split_field(mlp(hash_encode(0.5 * points + 0.5, self.table, SPEC), self.layers))
        values = torch.cat([own, takes, own * takes, tone * takes], dim=1)
        seen = composite(density, cut.t_start, cut.t_end, values, cut.offsets)
        channels = torch.cat([seen.accumulated[:, :3], seen.opacity, seen.accumulated[:, 3:]], dim=1)
        return Rendering(channels, points, seen.weights)

    @torch.no_grad()
    def look_where_it_is(self, generator: torch.Generator) -> None:
        """Mark as occupied the cells whose density was recently above `EMPTY_BELOW`, and their neighbours."""
        axis = torch.arange(CELLS, device=self.seen.device)
        corner = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).view(-1, 3)
        at = (corner + torch.rand(len(corner), 3, generator=generator, device=corner.device)) / CELLS
        density = split_field(mlp(hash_encode(at, self.table, SPEC), self.layers))[0]
        self.seen = torch.maximum(0.9 * self.seen, density.view_as(self.seen))
        self.occupied = grown(self.seen > EMPTY_BELOW)

    @torch.no_grad()
    def keep_what_is_seen(self, rays: tuple[Tensor, Tensor]) -> None:
        """Remove cells that contribute to no ray, which leaves a shell."""
        most = self.seen.new_zeros(CELLS**3)
        for origin, direction in zip(*(one.split(16384) for one in rays), strict=True):
            rendering = self.render(origin, direction)
            cell = ((0.5 * rendering.points + 0.5) * CELLS).long().clamp(0, CELLS - 1)
            index = (cell[:, 0] * CELLS + cell[:, 1]) * CELLS + cell[:, 2]
            most.scatter_reduce_(0, index, rendering.weights, "amax")
        self.occupied &= grown((most > UNSEEN_BELOW).view_as(self.occupied))

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that `SolidMemory` stores, by name, on the CPU."""
        sizes = [level.size for level in SPEC.table]
        levels = self.table.detach().split(sizes)
        scale = torch.stack([level.abs().amax() for level in levels])
        table = torch.cat([(level / s * LARGEST).round() for level, s in zip(levels, scale, strict=True)])
        bits = self.occupied.cpu().view(-1, BITS).to(torch.uint8) << torch.arange(BITS, dtype=torch.uint8)
        first, second, last = (layer.detach().half() for layer in self.layers)
        kept = {
            "table": table.to(torch.int8), "scale": scale, "first": first, "second": second, "last": last,
            "centre": self.centre, "half_side": self.half_side, "occupied": bits.sum(dim=1).to(torch.uint8),
        }  # fmt: skip
        return {name: value.cpu() for name, value in kept.items()}


@dataclass(frozen=True)
class Rendering:
    """Rendered channels of rays, with the samples."""

    channels: Float[Tensor, "R 9"]
    points: Float[Tensor, "S 3"]
    """Sample positions in the box's coordinates, [-1, 1]."""
    weights: Float[Tensor, "S"]


def grown(cells: Tensor) -> Tensor:
    """Dilate cells by their 26 neighbours."""
    return torch.nn.functional.max_pool3d(cells[None, None].float(), 3, 1, 1)[0, 0] > 0


def rays_of(views: Views, chosen: Int[Tensor, "V"]) -> tuple[Float[Tensor, "R 3"], Float[Tensor, "R 3"]]:
    """Return origins and directions of all pixels of some views."""
    size = views.targets.shape[1]
    rays = Cameras(views.c2w[chosen], views.fov_y_rad[chosen], size, size).rays()
    return rays.origin, rays.direction


def loss_of(seen: Float[Tensor, "R 9"], true: Float[Tensor, "R 9"], sharpness: float, page: Tensor) -> Tensor:
    """Return the error of images over any background and of each channel, plus the entropy of opacity."""
    picture, wanted = (one[:, :3] + (1.0 - one[:, 3:4]) * page for one in (seen, true))
    opacity = seen[:, 3].clamp(1e-5, 1.0 - 1e-5)
    entropy = -(opacity * opacity.log() + (1.0 - opacity) * (1.0 - opacity).log()).mean()
    channels = ((seen - true).square() * seen.new_tensor(WEIGHTS)).mean()
    return 5.0 * torch.nn.functional.huber_loss(picture, wanted, delta=0.1) + channels + sharpness * entropy


def rate_at(step: int) -> float:
    """Return the learning-rate factor: constant, then a cosine decay to a twentieth."""
    done = max(0.0, (step / STEPS - 0.4) / 0.6)
    return min(1.0, (step + 1) / 30) * (0.05 + 0.95 * (0.5 + 0.5 * math.cos(math.pi * done)))


def fit(views: Views, seed: int) -> Solid:
    """Fit a solid to the views, on their device."""
    device = views.box.device
    generator = torch.Generator(device).manual_seed(seed)
    solid = Solid.new(views.box, generator)
    origin, direction = rays_of(views, views.trained)
    true = views.targets[views.trained].view(-1, len(WEIGHTS))
    near, far = cube_span(*solid.inside(origin, direction), 1.0)
    meets, hits = (far > near).nonzero()[:, 0], (true[:, 3] > 0).nonzero()[:, 0]
    adam = torch.optim.Adam(
        [{"params": [solid.table], "lr": RATE}, {"params": solid.layers, "lr": RATE / 4}], betas=(0.9, 0.99), eps=1e-15
    )
    peaks = [group["lr"] for group in adam.param_groups]
    for step in range(STEPS):
        for group, peak in zip(adam.param_groups, peaks, strict=True):
            group["lr"] = peak * rate_at(step)
        count = RAYS // 4 if step < FIRST_STEPS else RAYS
        chosen = torch.cat(
            [
                some[torch.randint(len(some), (count // 2,), generator=generator, device=device)]
                for some in (meets, hits)
            ]
        )
        seen = solid.render(
            origin[chosen], direction[chosen], torch.rand(count, generator=generator, device=device)
        ).channels
        page = torch.rand(count, 3, generator=generator, device=device)
        adam.zero_grad()
        loss_of(seen, true[chosen].float() / 255.0, 1e-3 * step / STEPS, page).backward()
        adam.step()
        if step >= FIRST_STEPS and step % 16 == 0:
            solid.look_where_it_is(generator)
    every = torch.arange(0, len(meets), 8, device=device)
    solid.keep_what_is_seen((origin[meets[every]], direction[meets[every]]))
    return solid


@torch.no_grad()
def psnr(solid: Solid, views: Views) -> float:
    """Return the mean PSNR per held-out view over white, dB."""
    found = []
    for view in views.held_out:
        seen = solid.render(*rays_of(views, view[None])).channels
        true = views.targets[view].view(-1, len(WEIGHTS)).float() / 255.0
        error = (seen[:, :3] - seen[:, 3:4] - true[:, :3] + true[:, 3:4]).square().mean()
        found.append(-10.0 * math.log10(error))
    return sum(found) / len(found)


def main(arguments: Sequence[str]) -> None:
    parser = step_parser("train-radiance-fields", __doc__)
    parser.add_argument("--views", type=Path, required=True, help="made by render-views or pack-views")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--part", default="0/1", help="i/n: every n-th piece from the i-th")
    parser.add_argument("--device", default="cpu", help="default: %(default)s")
    args = parser.parse_args(arguments)
    keep_memory_mapped()
    args.out.mkdir(parents=True, exist_ok=True)
    first, every = (int(number) for number in args.part.split("/"))
    torch.set_num_threads(1)
    done = (path for path in sorted(args.views.glob("*.npz")) if not path.name.endswith(".tmp.npz"))
    for path in list(done)[first::every]:
        target = args.out / f"{path.stem}.safetensors"
        if target.exists():
            continue
        start = time.perf_counter()
        views = load_views(path).to(torch.device(args.device))
        solid = fit(views, seed=0)
        fresh = target.with_suffix(".tmp")
        save_file(solid.state(), fresh, {"psnr": f"{psnr(solid, views):.2f}"})
        fresh.replace(target)
        told = {"piece": path.stem, "psnr": round(psnr(solid, views), 2), "seconds": time.perf_counter() - start}
        print(json.dumps(told | {"occupied": float(solid.occupied.float().mean())}), flush=True)
