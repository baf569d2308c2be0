"""Family `images`: photos, depth and normal maps of every mode, format, size and damage."""

from __future__ import annotations

import io
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from fuzz import poison
from fuzz.case import Case, Command, random_of
from fuzz.stock import Stock

FAMILY = "images"
MODES = ("RGBA", "RGBA", "RGBA", "RGB", "L", "LA", "P", "1", "I;16", "I", "F", "CMYK", "YCbCr", "HSV", "LAB", "PA")
FORMATS = {
    "PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "GIF": ".gif", "BMP": ".bmp", "TIFF": ".tif", "TGA": ".tga",
    "ICO": ".ico", "PPM": ".ppm", "PCX": ".pcx", "DDS": ".dds", "JPEG2000": ".jp2", "SGI": ".sgi", "EPS": ".eps", "PDF": ".pdf",
    "AVIF": ".avif", "IM": ".im", "MSP": ".msp", "XBM": ".xbm", "SPIDER": ".spider", "BLP": ".blp", "QOI": ".qoi",
}  # fmt: skip
SUFFIXES = (".png", ".jpg", ".heic", ".txt", ".gif", "", ".PNG", ".exe", ".yaml")
SIZES = (
    (1, 1), (31, 32), (32, 32), (64, 64), (33, 200), (300, 40), (128, 128), (1000, 700), (32, 10_000), (10_000, 32), (2000, 2000),
    (1, 5000), (4032, 3024),
)  # fmt: skip
LIKELY = (8, 4, 8, 30, 4, 4, 20, 4, 4, 4, 2, 2, 1)
HEADERS = {
    ".heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", ".avif": b"\0\0\0\x1cftypavif\0\0\0\0avifmif1", ".jxl": b"\xff\x0a",
    ".mp4": b"\0\0\0\x18ftypmp42\0\0\0\0mp42", ".psd": b"8BPS\0\x01", ".svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    ".gif": b"GIF89a\xff\xff\xff\xff", ".webp": b"RIFF\xff\xff\xff\x7fWEBPVP8 ", ".bmp": b"BM" + b"\xff" * 60,
    ".tif": b"II*\0\x08\0\0\0\xff\xff", ".fits": b"SIMPLE  =                    T", ".eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    ".ppm": b"P6 30000 30000 255\n", ".pfm": b"PF\n99999 99999\n-1.0\n", ".qoi": b"qoif\0\0\xff\xff\0\0\xff\xff\4\0", ".wmf": b"\xd7\xcd\xc6\x9a\0\0",
    ".mpo": b"\xff\xd8\xff\xe2\0\x10MPF\0", ".jpg": b"\xff\xd8\xff\xe0\0\x10JFIF\0", ".exr": b"v/1\x01\x02\0\0\0",
}  # fmt: skip
"""Leading bytes of files that are not images, or that claim to be larger than they are."""


def make(stock: Stock, seed: int, number: int, sandbox: Path) -> Case:
    """Create case `number`: an image, and a run of one step that reads it."""
    source = random_of(seed, FAMILY, number)
    name = source.choice(("zero123", "zero123", "zero123", "magic123", "dreamfusion-sd"))
    values = stock.recipes[name]
    text = yaml.safe_dump({**values, "export": {}}, sort_keys=False, allow_unicode=True)
    (sandbox / "recipe.yaml").write_text(text, encoding="utf-8")
    content, suffix, what = picture(source)
    role = source.choice(("image", "image", "image", "depth", "normal")) if name != "dreamfusion-sd" else "image"
    file = sandbox / f"{role}{suffix}"
    file.write_bytes(content)
    words = ["run", "--config", "recipe.yaml", "trainer.steps=1"]
    if role == "image":
        words.append(f"image={file.name}")
    else:
        size = _size_of(content)
        Image.fromarray(_pixels(size, "disc", source), "RGBA").save(sandbox / "photo.png")
        words += ["image=photo.png", f"system.tasks.reference.views.{role}={file.name}"]
    if name != "dreamfusion-sd":
        words += _options(source)
    commands = (Command(("check", *words[2:])), Command(tuple(words), most_steps=1))
    return Case(FAMILY, number, f"{role} of {name}: {what}", commands)


def _options(source: random.Random) -> list[str]:
    place = "system.tasks.reference.views"
    found = [f"{place}.framing={source.choice(('auto', 'keep', 'center'))}"] if source.random() < 0.3 else []
    found += [f"{place}.object_fraction={source.choice((0.05, 0.3, 1.0))}"] if source.random() < 0.2 else []
    return found + ([f"{place}.elevation_deg=estimate"] if source.random() < 0.05 else [])


def picture(source: random.Random) -> tuple[bytes, str, str]:
    """Return content, suffix and a description."""
    kind = source.random()
    if kind < 0.10:
        suffix, content = source.choice(sorted(HEADERS.items()))
        return content + source.randbytes(source.choice((0, 0, 200))), suffix, f"header of {suffix}"
    if kind < 0.18:
        content, what = source.choice((_claims, _text_bomb, _frames, _bad_chunks))(source)
        return content, ".png", what
    if kind < 0.21:
        return poison.garbage(source), source.choice(SUFFIXES), "something else"
    content, suffix, what = _saved(source)
    if kind < 0.50:
        content, damage = poison.damage(content, source)
        what += f", {damage}"
    if source.random() < 0.1:
        suffix = source.choice(SUFFIXES)
        what += f", called {suffix!r}"
    return content, suffix, what


def _saved(source: random.Random) -> tuple[bytes, str, str]:
    """Return an image written by Pillow, in a compatible mode and format."""
    size = source.choices(SIZES, LIKELY)[0]
    alpha = source.choice(
        ("disc", "disc", "full", "254", "corners", "pixel", "dots", "half", "empty", "border", "noise", "cut")
    )
    base = Image.fromarray(_pixels(size, alpha, source), "RGBA")
    mode = source.choice(MODES)
    form = source.choice(("PNG", "PNG", "PNG", *FORMATS))
    for wanted in (mode, "RGBA", "RGB", "L", "1"):
        out = io.BytesIO()
        try:
            _in_mode(base, wanted).save(out, form, **_extras(form, source))
        except (OSError, ValueError, KeyError, TypeError, struct.error, AttributeError):
            continue  # the format does not support this mode
        return out.getvalue(), FORMATS[form], f"{form} {wanted} {size[0]}x{size[1]} alpha {alpha}"
    out = io.BytesIO()
    base.save(out, "PNG")
    return out.getvalue(), ".png", f"PNG RGBA {size[0]}x{size[1]} alpha {alpha}"


def _extras(form: str, source: random.Random) -> dict[str, object]:
    found: dict[str, object] = {}
    if form in ("PNG", "JPEG", "WEBP") and source.random() < 0.3:
        exif = Image.Exif()
        exif[0x0112] = source.choice((1, 2, 3, 5, 6, 8, 0, 99))
        found["exif"] = exif.tobytes() if source.random() < 0.7 else source.randbytes(60)
    if form in ("PNG", "JPEG", "WEBP", "TIFF") and source.random() < 0.15:
        found["icc_profile"] = source.randbytes(source.choice((1, 128, 3000)))
    if form == "PNG" and source.random() < 0.1:
        found["transparency"] = source.choice((0, b"\0\x80"))
    return found


def _in_mode(base: Image.Image, mode: str) -> Image.Image:
    if mode in ("I;16", "I", "F"):
        grey = np.asarray(base.convert("L"), np.uint16) * 257
        if mode == "F":
            return Image.fromarray(grey.astype(np.float32) * np.float32(np.nan if grey.sum() % 2 else 1.0))
        return Image.fromarray(grey if mode == "I;16" else grey.astype(np.int32))
    if mode == "LAB":
        return base.convert("RGB").convert("LAB") if hasattr(Image.core, "cms_transform") else base.convert("RGB")
    return base.convert("RGB").convert(mode) if mode in ("YCbCr", "HSV") else base.convert(mode)


def _pixels(size: tuple[int, int], alpha: str, source: random.Random) -> np.ndarray:
    """Return RGBA pixels "H W 4" with an alpha pattern."""
    width, height = size
    y, x = np.mgrid[0:height, 0:width]
    disc = ((x - width / 2) / (0.4 * width + 1)) ** 2 + ((y - height / 2) / (0.4 * height + 1)) ** 2 < 1.0
    corner = np.minimum(x, width - 1 - x) + np.minimum(y, height - 1 - y) < max(2, min(size) // 10)
    patterns = {
        "disc": np.where(disc, 255, 0), "full": np.full(disc.shape, 255), "254": np.full(disc.shape, 254),
        "corners": np.where(corner, 0, 255), "pixel": np.where(disc, 255, 0), "dots": np.where((x % 7 == 0) & (y % 7 == 0), 255, 0),
        "half": np.where(disc, 204, 0), "empty": np.zeros(disc.shape), "border": np.where(x > width // 2, 255, 0),
        "noise": (x * 7919 + y * 104729) % 256, "cut": np.where((x < 3) & (y < 3), 255, 0),
    }  # fmt: skip
    pixels = np.stack([x % 256, y % 256, (x + y) % 256, patterns[alpha]], axis=-1).astype(np.uint8)
    if alpha == "pixel":
        pixels[0, 0, 3] = 255
    return pixels


def _size_of(content: bytes) -> tuple[int, int]:
    try:
        with Image.open(io.BytesIO(content)) as opened:
            width, height = opened.size
    except Exception:  # a damaged file can cause any error
        return 64, 64
    return (width, height) if min(width, height) >= 32 and width * height < 5_000_000 else (64, 64)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(width: int, height: int, depth: int, color: int, *chunks: bytes) -> bytes:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + _chunk(b"IEND", b"")


def _claims(source: random.Random) -> tuple[bytes, str]:
    """Return a header that claims a size, with highly compressible or missing pixels."""
    width, height = source.choice(
        ((50_000, 50_000), (2**31 - 1, 1), (0, 0), (7000, 7000), (32, 1_500_000), (100_000, 499))
    )
    data = zlib.compress(bytes(min(width * 4 * min(height, 500), 30_000_000))) if source.random() < 0.6 else b""
    content = _png(width, height, source.choice((8, 16)), source.choice((2, 6)), _chunk(b"IDAT", data))
    return content, f"PNG that claims {width}x{height}"


def _text_bomb(source: random.Random) -> tuple[bytes, str]:
    """Return text chunks that decompress to much more than the file's size."""
    text = zlib.compress(b"a" * source.choice((1000, 2_000_000, 200_000_000)), 9)
    kind = source.choice((b"zTXt", b"iTXt", b"iCCP"))
    data = b"k\0\0" + text if kind != b"iTXt" else b"k\0\1\0\0\0" + text
    pixels = _chunk(b"IDAT", zlib.compress((b"\0" + b"\x80" * 256) * 64))
    return _png(64, 64, 8, 6, _chunk(kind, data), pixels), f"{kind.decode()} bomb"


def _frames(source: random.Random) -> tuple[bytes, str]:
    """Return an animation."""
    form = source.choice(("PNG", "GIF", "WEBP", "TIFF"))
    frames = [Image.fromarray(_pixels((64, 64), alpha, source), "RGBA") for alpha in ("disc", "half", "empty")]
    out = io.BytesIO()
    frames[0].save(out, form, save_all=True, append_images=frames[1:] * source.choice((1, 30)))
    return out.getvalue(), f"animated {form}"


def _bad_chunks(source: random.Random) -> tuple[bytes, str]:
    """Return valid pixels among invalid chunks."""
    pixels = _chunk(b"IDAT", zlib.compress((b"\0" + b"\x80\x80\x80\xff" * 64) * 64))
    bad = source.choice((
        _chunk(b"tRNS", b""), _chunk(b"PLTE", b"\0"), _chunk(b"gAMA", b"\0\0\0\0"), _chunk(b"pHYs", b"\0" * 3), _chunk(b"acTL", b"\xff" * 8),
        _chunk(b"fcTL", b"\0" * 26), _chunk(b"eXIf", b"MM\0*\0\0\0\x08\xff\xff"), _chunk(b"cHRM", b""), _chunk(b"iCCP", b"x\0\0zz"),
        struct.pack(">I", 2**31) + b"tEXt", _chunk(b"tEXt", b"x" * 100_000),
    ))  # fmt: skip
    return _png(64, 64, source.choice((8, 8, 16, 4)), source.choice((6, 6, 2, 3)), bad, pixels), f"chunk {bad[4:8]!r}"
