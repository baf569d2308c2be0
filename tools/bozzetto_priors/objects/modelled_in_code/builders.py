"""Objects modelled in code: builders by the name of a piece."""

from __future__ import annotations

import zlib

import numpy as np

from bozzetto_priors.objects.mesh_part import Part
from bozzetto_priors.objects.modelled_in_code import (
    animals_and_figures,
    buildings_and_outdoors,
    food,
    lamps_and_crockery,
    small_articles,
    vehicles,
)
from bozzetto_priors.objects.modelled_in_code.shapes import Pick

BUILDERS = {
    **animals_and_figures.BUILDERS,
    **small_articles.BUILDERS,
    **food.BUILDERS,
    **lamps_and_crockery.BUILDERS,
    **buildings_and_outdoors.BUILDERS,
    **vehicles.BUILDERS,
}


def build(piece: str) -> list[Part]:
    """Build the parts of the piece `NAME-N`, instance N of an object; deterministic."""
    name, _, number = piece.rpartition("-")
    pick = Pick(int(number), np.random.default_rng(zlib.crc32(piece.encode())))
    return BUILDERS[name](pick).parts()
