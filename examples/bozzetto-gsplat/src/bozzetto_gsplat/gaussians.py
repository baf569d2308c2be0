"""Geometry of 3D Gaussians."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from bozzetto.kinds.geometry import RowChange
from bozzetto.math.normals import with_analytic_normal
from bozzetto.types import FieldOutput
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import normalize

from bozzetto_gsplat.cloud import Cloud
from bozzetto_gsplat.config import GaussiansConfig
from bozzetto_gsplat.densification import SPLIT_SHRINK, Plan, offsets, planned, shared_opacity, split_opacity

FEATURES = 3
PAIRS_AT_ONCE = 1 << 17
"""Maximum number of (point, Gaussian) pairs evaluated together; bounds memory."""
FARTHEST = 100.0
"""Clamp of squared distances in standard deviations; exp of more is subnormal, which is slow on a CPU."""
UNEVEN = 0.05
"""Standard deviation of the initial log scales; an isotropic Gaussian has no gradient with respect to rotation."""


class Gaussians(nn.Module):
    """Position, scale, rotation, opacity and features of each Gaussian (3D Gaussian splatting, Kerbl et al. 2023).

    Trainable parameters, for optimiser groups by prefix: `position`, `log_scale`, `quaternion`, `opacity_logit`,
    `feature`. Colours are view-independent and computed by the material.

    The geometry is also a density field, so that any renderer and exporter can use it: a Gaussian of opacity o and
    scales s has density -ln(1 - o) / (sqrt(2 pi) (s1 s2 s3)^(1/3)) at its centre, which gives a ray through the centre
    of an isotropic Gaussian the opacity of its splat. Implements `bozzetto.kinds.geometry.Geometry`, and `Adaptive`:
    the number of Gaussians changes during training if `densify_every` is not 0.
    """

    gradient_sum: Float[Tensor, "N"]
    """Sum of the lengths of the position gradients since the last densification."""
    gradient_steps: Float[Tensor, "N"]
    """Number of steps with a gradient since then."""

    def __init__(self, config: GaussiansConfig) -> None:
        super().__init__()
        self.config = config
        self.radius = config.radius
        self.feature_count = FEATURES
        count, radius = config.count, config.radius
        self.position = nn.Parameter((config.spread * radius * torch.randn(count, 3)).clamp(-radius, radius))
        self.log_scale = nn.Parameter(math.log(config.size * radius) + UNEVEN * torch.randn(count, 3))
        self.quaternion = nn.Parameter(normalize(torch.randn(count, 4), dim=-1))
        self.opacity_logit = nn.Parameter(torch.logit(torch.full((count,), config.opacity)))
        self.feature = nn.Parameter(0.1 * torch.randn(count, FEATURES))
        self._forget_gradients(count)

    def cloud(self) -> Cloud:
        """Return the current Gaussians; those whose centre has left the cube get opacity 0."""
        inside = self.position.detach().abs().amax(dim=-1) <= self.radius
        return Cloud(
            self.position,
            self.log_scale.exp(),
            normalize(self.quaternion, dim=-1),
            torch.sigmoid(self.opacity_logit) * inside,
            self.feature,
        )

    def forward(self, points: Float[Tensor, "S 3"], normal: bool = False) -> FieldOutput:
        """Return density, features and, if `normal`, the normals at world points. S may be 0.

        Features are averaged over the Gaussians, weighted by their contributions to the density.
        """
        direction = None
        if normal:
            density, features, direction = with_analytic_normal(self._field, points)
        else:
            density, features = self._field(points)
        return FieldOutput(features, density=self._inside(points, density), normal=direction)

    def density(self, points: Float[Tensor, "S 3"]) -> Float[Tensor, "S"]:
        """Return the density alone, per world unit."""
        return self._inside(points, self._field(points)[0])

    def set_step(self, step: int) -> None:
        """Do nothing: the geometry has no schedules."""

    def total_variation(self) -> Float[Tensor, ""]:
        """Return 0: the geometry has no grid."""
        return self.feature.new_zeros(())

    @torch.no_grad()
    def adapt(self, done: int, generator: torch.Generator) -> Mapping[str, RowChange] | None:
        """Prune, clone and split every `densify_every` steps; see `bozzetto_gsplat.densification`.

        A clone has the place and shape of its original, and both together its opacity. The original keeps its optimiser
        state and the clone begins without, which separates them.
        """
        config, gradient = self.config, self.position.grad
        if done > config.last_densification:
            return None
        if gradient is not None:
            length = gradient.norm(dim=-1)
            self.gradient_sum += length
            self.gradient_steps += length > 0.0
        if done % config.densify_every:
            return None
        mean = self.gradient_sum / self.gradient_steps.clamp(min=1.0)
        self._forget_gradients(len(mean))
        if not config.densifies(done):
            return None
        above, most = config.split_above * self.radius, config.most_gaussians
        plan = planned(self.cloud(), mean, config.densify_share, above, config.prune_opacity, most)
        if len(plan.stay) == len(mean) and not len(plan.cloned):
            return None
        source, fresh, values = plan.source, plan.fresh, self._values(plan, generator)
        self._forget_gradients(len(source))
        return {name: RowChange(value, source, fresh) for name, value in values.items()}

    def _values(self, plan: Plan, generator: torch.Generator) -> dict[str, Tensor]:
        """Return the rows of the parameters after a densification."""
        cloud, stay, parts = self.cloud(), len(plan.stay), 2 * len(plan.split)
        values = {name: parameter[plan.source] for name, parameter in self.named_parameters()}
        halves = torch.isin(plan.source, plan.cloned)
        opacity = torch.where(halves, shared_opacity(cloud.opacity, 2)[plan.source], cloud.opacity[plan.source])
        if parts:
            split = cloud.rows(plan.split)
            away = offsets(split, generator)
            last = slice(len(plan.source) - parts, None)
            moved = torch.cat([split.position + away, split.position - away])
            values["position"][last] = moved.clamp(-self.radius, self.radius)
            values["log_scale"][last] -= math.log(SPLIT_SHRINK)
            opacity[last] = split_opacity(split.opacity).repeat(2)
        changed = halves | (torch.arange(len(opacity), device=opacity.device) >= stay)
        values["opacity_logit"] = torch.where(changed, torch.logit(opacity, eps=1e-6), values["opacity_logit"])
        return values

    def _forget_gradients(self, count: int) -> None:
        """Begin to accumulate the gradients of `count` Gaussians."""
        for name in ("gradient_sum", "gradient_steps"):
            self.register_buffer(name, self.feature.new_zeros(count))

    @torch.no_grad()
    def relocate(self, dead_below: float, generator: torch.Generator) -> int:
        """Move each Gaussian of opacity below `dead_below` onto a visible one, drawn in proportion to opacity.

        Kheradmand et al. 2024 (3D Gaussian splatting as Markov chain Monte Carlo), eq. 8: K Gaussians that replace one
        of opacity o each get 1 - (1 - o)^(1 / K), which preserves the total opacity. They are spread as in a split (3D
        Gaussian splatting, sec. 5.2). The number of parameters is constant, and the rows keep their optimiser state.

        Returns:
            Number of Gaussians moved.
        """
        opacity = self.cloud().opacity
        dead = (opacity < dead_below).nonzero()[:, 0]
        if len(dead) in (0, len(opacity)):
            return 0
        chances = torch.where(opacity < dead_below, 0.0, opacity)
        source = torch.multinomial(chances, len(dead), replacement=True, generator=generator)
        sharing = torch.bincount(source, minlength=len(opacity)) + 1
        split = sharing > 1
        shared = shared_opacity(opacity, sharing)
        self.opacity_logit.copy_(torch.where(split, torch.logit(shared, eps=1e-6), self.opacity_logit))
        self.log_scale.sub_(split[:, None] * math.log(SPLIT_SHRINK))
        cloud = self.cloud()
        own = torch.randn(len(dead), 3, generator=generator, device=generator.device).to(source.device)
        own = SPLIT_SHRINK * cloud.scale[source] * own
        moved = self.position[source] + (cloud.rotation[source] @ own[..., None])[..., 0]
        for parameter in (self.log_scale, self.quaternion, self.opacity_logit, self.feature):
            parameter[dead] = parameter[source]
        self.position[dead] = moved.clamp(-self.radius, self.radius)
        return len(dead)

    def _field(self, points: Float[Tensor, "S 3"]) -> tuple[Float[Tensor, "S"], Float[Tensor, "S F"]]:
        """Return the density, without the cut at the cube's faces, and the features."""
        at_once = max(1, PAIRS_AT_ONCE // len(self.position))
        with torch.autocast(points.device.type, enabled=False):  # distances relative to small scales need float32
            cloud = self.cloud()
            peak = -torch.log1p(-cloud.opacity) / (math.sqrt(2.0 * math.pi) * self.log_scale.mean(dim=-1).exp())
            to_own = cloud.rotation.mT / cloud.scale[..., None]
            middle = (to_own @ cloud.position[..., None])[..., 0]
            columns, parts = self._columns(), []
            for some in points.float().split(at_once) if len(points) else [points.float()]:
                own = [torch.addmm(-middle[:, axis], some, to_own[:, axis].T) for axis in range(3)]
                squared = own[0].square() + own[1].square() + own[2].square()
                squared = squared.clamp(max=FARTHEST)
                parts.append(torch.exp(-0.5 * squared) @ (peak[:, None] * columns))
            sums = torch.cat(parts)
        density = sums[:, 0]
        return density, sums[:, 1:] / (density[:, None] + 1e-6)

    def _columns(self) -> Float[Tensor, "N 4"]:
        """Return the columns summed over Gaussians: ones for the density, then the features."""
        return torch.cat([torch.ones_like(self.feature[:, :1]), self.feature], dim=-1)

    def _inside(self, points: Float[Tensor, "S 3"], density: Float[Tensor, "S"]) -> Float[Tensor, "S"]:
        return torch.where(points.detach().abs().amax(dim=-1) <= self.radius, density, 0.0)
