"""Recognition of the remembered thing in a photo and of its placement: candidates are drawn, compared and fitted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.math.cameras import look_at_origin, spherical_position
from bozzetto.math.photos import resize_masked
from bozzetto.types import Cameras, Reference
from bozzetto_plugins.priors.camera_denoiser import Recalled
from bozzetto_plugins.priors.solid_fit import FINE, ROUGH, Fit, Seen, draw, fit, with_paint
from bozzetto_plugins.priors.solid_memory import Placement, SolidMemory

SIDES = 24
"""Number of distinguished azimuths: the first is a thing's front, the next is 15 degrees toward its left."""
FILL = 0.85
"""Share of a cropped image that the object's longer side spans."""
SOLID, FAINT = 0.5, 0.25
"""Foreground thresholds of opacity, in full-size and in downsampled images, where thin legs are faint."""
SEARCH_SIDE, COMPARED_SIDE, FINE_SIDE = 48, 20, 64
"""Sides in pixels of the images of the search, before averaging two by two, of the compared crops, and of the final
fit."""
PHOTO_SIDE = 128
CANDIDATES, HYPOTHESES, BELIEVED = 16, 10, 3
"""Things rendered from all sides; hypotheses that are fitted; hypotheses taken from the encoder's scores alone."""
ROUGH_CANDIDATES, ROUGH_HYPOTHESES = 3, 2
"""Number of candidates and hypotheses for each elevation tried."""
FINALISTS = 4
"""Number of rough fits that are refined."""
TURNS_RAD = (-0.15, 0.15)
"""Turns of the best fit, radians, from which it is refitted, because the distinguished azimuths are coarse."""
APART = 2
"""Minimum difference of azimuth indices between two hypotheses of one thing."""
AS_LEARNED = 0.1
"""Log size and shift below which a thing is placed as it was learned."""
SHAPE_WEIGHT, DISBELIEF = 0.3, 0.01
"""Weights of the squared difference of log proportions and of the encoder's log-probabilities."""

Encode = Callable[[Float[Tensor, "B 3 H W"]], Float[Tensor, "B L"]]
"""Function from images in [0, 1] to a score for every side of every thing."""


class PhotoRecall:
    """Analysis by synthesis: renders the things that an encoder deems likely and fits them to the photo.

    Things are rendered from all sides and compared in their bounding boxes, so that size, position and proportions have
    little influence; the most similar are fitted (`solid_fit`), and the best fit is returned. For an unknown object, it
    is the thing that can be made most similar. The search is deterministic.
    """

    def __init__(self, memory: SolidMemory, encode: Encode) -> None:
        self.memory, self.encode = memory, encode

    @torch.no_grad()
    def __call__(self, photo: Reference) -> Fit:
        """Return the best fit for a photo."""
        belief = self.belief(photo)
        seen = Seen.of(photo, photo.camera, self.memory.table.device, FINE_SIDE)
        rough = self._rough(photo, photo.camera, belief, CANDIDATES, HYPOTHESES)[:FINALISTS]
        finals = [self._fitted(seen, found.recalled, belief, FINE) for found in rough]
        best = min(finals, key=lambda found: found.error)
        starts = [turned(best.recalled, angle) for angle in TURNS_RAD] + [as_learned(best.recalled)]
        again = [self._fitted(seen, start, belief, FINE) for start in starts]
        return min((best, *again), key=lambda found: found.error)

    @torch.no_grad()
    def errors_of_elevations(self, photo: Reference, candidates_deg: Sequence[float]) -> Float[Tensor, "N"]:
        """Return the error of the best rough fit for each candidate elevation of the photo."""
        home, belief = photo.camera, self.belief(photo)
        errors = []
        for elevation in candidates_deg:
            angles = (home.azimuth_deg, torch.full_like(home.azimuth_deg, elevation), home.distance)
            camera = Cameras(look_at_origin(spherical_position(*angles)), home.fov_y_rad, home.height, home.width)
            errors.append(self._rough(photo, camera, belief, ROUGH_CANDIDATES, ROUGH_HYPOTHESES)[0].error)
        return torch.tensor(errors)

    def belief(self, photo: Reference) -> Float[Tensor, "N K"]:
        """Return the log-probabilities of all sides of all things."""
        image, mask = resize_masked(photo.image, photo.mask, (PHOTO_SIDE, PHOTO_SIDE))
        planes = torch.cat([image * mask, mask], dim=-1).permute(2, 0, 1)[None].to(self.memory.table.device)
        cropped = crop_to_object(planes, planes[:, 3:], PHOTO_SIDE // 2)
        scores = self.encode(cropped[:, :3] + 1.0 - cropped[:, 3:])
        belief: Tensor = scores[0].log_softmax(dim=0).unflatten(0, (-1, SIDES))
        return belief

    def _rough(
        self, photo: Reference, camera: Cameras, belief: Float[Tensor, "N K"], candidates: int, hypotheses: int
    ) -> list[Fit]:
        """Return rough fits, best first, assuming that `camera` took the photo."""
        device = self.memory.table.device
        guesses = self._search(Seen.of(photo, camera, device, SEARCH_SIDE), belief, candidates, hypotheses)
        seen = Seen.of(photo, camera, device)
        return sorted((self._fitted(seen, guess, belief, ROUGH) for guess in guesses), key=lambda found: found.error)

    def _fitted(self, photo: Seen, guess: Recalled, belief: Float[Tensor, "N K"], blurs: Sequence[int]) -> Fit:
        found = fit(self.memory, photo, with_paint(self.memory, photo, guess), blurs)
        known = float(belief[int(guess.thing)].logsumexp(dim=0))
        return Fit(with_paint(self.memory, photo, found.recalled), found.error - DISBELIEF * known)

    def _search(self, photo: Seen, belief: Float[Tensor, "N K"], candidates: int, hypotheses: int) -> list[Recalled]:
        """Return initial guesses: the most similar things and sides, at the size and position of the photo's object."""
        things = belief.logsumexp(dim=1).topk(min(candidates, len(belief))).indices
        thing = things.repeat_interleave(SIDES)
        side = torch.arange(SIDES, device=thing.device).repeat(len(things))
        turn = torch.deg2rad(side * (360.0 / SIDES) - photo.camera.azimuth_deg)
        flat = torch.zeros(len(thing), 3, device=thing.device)
        drawn = draw(self.memory, Recalled(thing, flat, flat[:, 0], Placement(turn, flat, flat)), photo.rays)
        drawn, picture = (torch.nn.functional.avg_pool2d(each, 2) for each in (drawn, photo.picture[None]))
        mine, true = box_of(drawn[:, 3:], FAINT), box_of(picture[:, 3:], FAINT)
        errors = compare(drawn, picture) - DISBELIEF * belief[thing, side]
        chosen: list[int] = []
        for index in (*belief[thing, side].topk(BELIEVED).indices.tolist(), *errors.argsort().tolist()):
            known = [one for one in chosen if thing[one] == thing[index]]
            gaps = [int((side[one] - side[index]) % SIDES) for one in known]
            if all(APART <= gap <= SIDES - APART for gap in gaps):
                chosen.append(index)
            if len(chosen) == hypotheses:
                break
        return [_placed(photo.camera, thing[i : i + 1], turn[i : i + 1], mine[i], true[0]) for i in chosen]


def turned(recalled: Recalled, angle_rad: float) -> Recalled:
    """Return the same thing turned by `angle_rad`."""
    assert recalled.placement is not None
    return recalled._replace(placement=recalled.placement._replace(turn_rad=recalled.placement.turn_rad + angle_rad))


def as_learned(recalled: Recalled) -> Recalled:
    """Return the same thing without stretch and shift."""
    assert recalled.placement is not None
    turn, stretch, shift = recalled.placement
    return recalled._replace(placement=Placement(turn, torch.zeros_like(stretch), torch.zeros_like(shift)))


def _placed(
    camera: Cameras, thing: Tensor, turn: Float[Tensor, "1"], mine: Float[Tensor, "4"], true: Float[Tensor, "4"]
) -> Recalled:
    """Return a thing with the size and position at which its bounding box `mine` becomes `true`."""
    size = 0.5 * torch.log(true[2:] / mine[2:]).sum().clamp(-1.5, 1.5)
    reach = camera.distance[0] * torch.tan(0.5 * camera.fov_y_rad[0])
    aside = (true[:2] - torch.exp(size) * mine[:2]) * reach
    x, y, z = (aside[0] * camera.c2w[0, :3, 0] - aside[1] * camera.c2w[0, :3, 1]).unbind()
    cos, sin = torch.cos(turn[0]), torch.sin(turn[0])
    shift = torch.stack([cos * x - sin * y, sin * x + cos * y, z])[None]
    if size.abs() < AS_LEARNED and shift.norm() < AS_LEARNED:
        size, shift = torch.zeros_like(size), torch.zeros_like(shift)
    flat = torch.zeros_like(shift)
    return Recalled(thing, flat, flat[:, 0], Placement(turn, size.expand(1, 3), shift))


def compare(drawn: Float[Tensor, "B 4 S S"], photo: Float[Tensor, "1 4 S S"]) -> Float[Tensor, "B"]:
    """Return dissimilarities to a photo, invariant to size and position and partly to proportions."""
    boxes, true = box_of(drawn[:, 3:], FAINT), box_of(photo[:, 3:], FAINT)
    one, other = (crop(each, box, COMPARED_SIDE) for each, box in ((drawn, boxes), (photo, true)))
    weight = one.new_tensor([0.2] * 3 + [1.0]).view(4, 1, 1)
    off = (weight * (one - other).square()).sum(dim=(1, 2, 3)) / other[:, 3].sum(dim=(1, 2))
    shape = torch.log((boxes[:, 2] / boxes[:, 3]) / (true[:, 2] / true[:, 3]))
    return off + SHAPE_WEIGHT * shape.square()


def box_of(opacity: Float[Tensor, "B 1 H W"], least: float = SOLID) -> Float[Tensor, "B 4"]:
    """Return centre and half sides of the opaque region, x and y in [-1, 1] with y down; all of an empty image."""
    found = []
    for across in (1, 2):
        solid = opacity[:, 0].amax(dim=across) > least
        count = solid.shape[1]
        first, last = solid.int().argmax(dim=1), count - solid.int().flip(1).argmax(dim=1)
        found.append((2.0 * first / count - 1.0, 2.0 * last / count - 1.0))
    (left, right), (top, bottom) = found
    return 0.5 * torch.stack([left + right, top + bottom, right - left, bottom - top], dim=1)


def crop(planes: Float[Tensor, "B C H W"], box: Float[Tensor, "B 4"], side: int) -> Float[Tensor, "B C s s"]:
    """Crop boxes, bilinearly with 2 x 2 supersampling."""
    affine = torch.cat([torch.diag_embed(box[:, 2:]), box[:, :2, None]], dim=2)
    grid = torch.nn.functional.affine_grid(affine, [len(box), planes.shape[1], 2 * side, 2 * side], align_corners=False)
    fine = torch.nn.functional.grid_sample(planes.expand(len(box), -1, -1, -1), grid, align_corners=False)
    return torch.nn.functional.avg_pool2d(fine, 2)


def crop_to_object(
    planes: Float[Tensor, "B C H W"], opacity: Float[Tensor, "B 1 H W"], side: int
) -> Float[Tensor, "B C s s"]:
    """Crop images around their objects: centred, of equal size, proportions preserved."""
    box = box_of(opacity)
    half = box[:, 2:].amax(dim=1, keepdim=True) / FILL
    return crop(planes, torch.cat([box[:, :2], half, half], dim=1), side)
