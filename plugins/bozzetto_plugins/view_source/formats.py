"""Supported image formats, and identification of other formats by leading bytes. Runs no decoder."""

from __future__ import annotations

from pathlib import Path

READ = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
"""Pillow decoders that may open a photo, a depth map or a normal map; no other decoder receives the file."""

SNIFFED = 512
"""Number of leading bytes that are inspected."""

HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1", b"mif2")
AVIF_BRANDS = (b"avif", b"avis")

PNG = "Convert it to PNG."
FRAME = "Save one picture of it as PNG."
OTHER = "Give a picture as PNG, JPEG or WebP."
RAW, VIDEO = ("a RAW photo", PNG), ("a video", FRAME)

STARTS = (
    (b"GIF8", "a GIF", FRAME),
    (b"8BPS", "a Photoshop document (PSD)", PNG),
    (b"%PDF", "a PDF document", PNG),
    (b"%!PS", "a PostScript document (EPS)", PNG),
    (b"\xc5\xd0\xd3\xc6", "a PostScript document (EPS)", PNG),
    (b"<svg", "an SVG drawing", PNG),
    (b"gimp xcf", "a GIMP document (XCF)", PNG),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture", PNG),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 picture", PNG),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture", PNG),
    (b"\xff\x0a", "a JPEG XL picture", PNG),
    (b"v/1\x01", "an OpenEXR picture", PNG),
    (b"#?RADIANCE", "a Radiance HDR picture", PNG),
    (b"#?RGBE", "a Radiance HDR picture", PNG),
    (b"DDS ", "a DDS texture", PNG),
    (b"\0\0\x01\0", "an icon (ICO)", PNG),
    (b"icns", "an icon (ICNS)", PNG),
    (b"qoif", "a QOI picture", PNG),
    (b"FUJIFILMCCD-RAW", *RAW),
    (b"IIRO", *RAW),
    (b"IIU\0", *RAW),
    (b"FOVb", *RAW),
    (b"\x1aE\xdf\xa3", *VIDEO),
    (b"\0\0\x01\xba", *VIDEO),
    (b"FLV\x01", *VIDEO),
    (b"glTF", "a 3D model (glTF)", OTHER),
    (b"PK\x03\x04", "a ZIP archive", OTHER),
    (b"\x1f\x8b", "a gzip archive", OTHER),
    (b"version https://git-lfs", "a pointer of Git LFS, not the picture itself", "Fetch it with: git lfs pull."),
    *((f"P{number}{space}".encode(), "a Netpbm picture", PNG) for number in range(1, 8) for space in " \n"),
)
"""Leading bytes, format name, and cure."""
SUFFIXES = {
    **dict.fromkeys((".dng", ".nef", ".arw", ".cr2", ".cr3", ".raf", ".orf", ".rw2", ".pef", ".srw"), RAW),
    ".tga": ("a TGA picture", PNG),
    ".pcx": ("a PCX picture", PNG),
}
"""Formats identified by suffix: most RAW photos are TIFF files with a thumbnail first; TGA has no leading bytes."""


def is_heif(head: bytes) -> bool:
    """Return whether a file with this head is HEIC, or another HEIF image except AVIF."""
    return head[4:8] == b"ftyp" and not _any(head, AVIF_BRANDS) and _any(head, HEIF_BRANDS)


def not_read(head: bytes, path: Path) -> tuple[str, str] | None:
    """Return name, with its article, and cure of an unsupported file; None if unknown, or one of `READ`.

    Args:
        head: the first `SNIFFED` bytes.
    """
    if path.suffix.lower() in SUFFIXES:
        return SUFFIXES[path.suffix.lower()]
    if head[4:8] == b"ftyp":
        return _of_container(head)
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return VIDEO
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page: the download went wrong", OTHER
    if text.startswith(b"<?xml") and b"<svg" in text:
        return "an SVG drawing", PNG
    return next(((name, cure) for start, name, cure in STARTS if head.startswith(start)), None)


def _of_container(head: bytes) -> tuple[str, str]:
    """Return name and cure of an ISO base media file, by its major and compatible brands."""
    if _any(head, AVIF_BRANDS):
        return "an AVIF picture", PNG
    if is_heif(head):
        return (
            "a HEIC picture, as phones take them",
            "Convert it to PNG, or pip install pillow-heif, and then it is read.",
        )
    return RAW if head[8:12] == b"crx " else VIDEO


def _any(head: bytes, brands: tuple[bytes, ...]) -> bool:
    size = min(int.from_bytes(head[:4], "big"), len(head))
    listed = [head[8:12], *(head[at : at + 4] for at in range(16, size - 3, 4))]
    return any(brand in brands for brand in listed)
