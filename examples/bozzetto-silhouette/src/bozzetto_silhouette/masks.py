"""Reader of mask images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from bozzetto.errors import ConfigError, did_you_mean
from jaxtyping import Float
from PIL import Image, UnidentifiedImageError
from torch import Tensor

FOLDER = Path(__file__).parent / "masks"


def read_mask(name: str) -> Float[Tensor, "H W"]:
    """Read the coverage of each pixel in [0, 1]: the alpha channel if there is one, else the brightness.

    Args:
        name: a file, or a mask of the package without its suffix.

    Raises:
        ConfigError: the mask does not exist, or cannot be read.
    """
    own = {path.stem: path for path in sorted(FOLDER.glob("*.png"))}
    path = own.get(name, Path(name))
    try:
        with Image.open(path) as picture:
            transparent = "A" in picture.getbands()
            covered = picture.getchannel("A") if transparent else picture.convert("L")
            pixels = np.asarray(covered, dtype=np.float32) / 255.0
    except FileNotFoundError:
        hint = did_you_mean(name, own)
        raise ConfigError(
            f"loss silhouette: there is no picture {name!r}.{hint} Give a file, or one of {', '.join(own)}."
        ) from None
    except (UnidentifiedImageError, OSError) as error:
        raise ConfigError(f"loss silhouette: {path} cannot be read as a picture: {error}") from error
    return torch.from_numpy(pixels)
