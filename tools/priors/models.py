"""Objects modelled in code: builders by the name of a piece."""

from __future__ import annotations

import zlib

import numpy as np

import models_animals
import models_articles
import models_food
import models_home
import models_outdoors
import models_vehicles
from catalogue import Part
from shapes import Pick

BUILDERS = {
    **models_animals.BUILDERS,
    **models_articles.BUILDERS,
    **models_food.BUILDERS,
    **models_home.BUILDERS,
    **models_outdoors.BUILDERS,
    **models_vehicles.BUILDERS,
}


def build(piece: str) -> list[Part]:
    """Build the parts of the piece `NAME-N`, instance N of an object; deterministic."""
    name, _, number = piece.rpartition("-")
    pick = Pick(int(number), np.random.default_rng(zlib.crc32(piece.encode())))
    return BUILDERS[name](pick).parts()
