"""Matting of photos with the optional package rembg. Downloads nothing."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from PIL import Image

from bozzetto.errors import ConfigError

MODEL = "u2net"
CURE = "Cut the object out by hand and save it as a PNG with transparency, or"


def matte(picture: Image.Image, name: str, why: str) -> Image.Image:
    """Return the RGB `picture` with an estimated alpha channel.

    Args:
        name: name of the photo, for messages.
        why: reason for matting, a clause about the photo.

    Raises:
        ConfigError: rembg is not installed, or its model is not on disk.
    """
    if importlib.util.find_spec("rembg") is None:
        raise ConfigError(
            f"image: {name} {why}, so object and background cannot be separated, and rembg, which could cut it out, is "
            f"not installed. {CURE} run: pip install 'bozzetto[matting]'."
        )
    from rembg import new_session, remove
    from rembg.sessions.u2net import U2netSession

    weights = Path(U2netSession.u2net_home()) / f"{MODEL}.onnx"
    if not weights.is_file():
        raise ConfigError(
            f"image: {name} {why}, and the model with which rembg could cut it out is not on disk: "
            f"{weights}. {CURE} fetch it once with: rembg d {MODEL}."
        )
    cut: Image.Image = remove(picture, session=new_session(MODEL)).convert("RGBA")
    return cut
