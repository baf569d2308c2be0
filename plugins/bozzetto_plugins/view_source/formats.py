"""Which picture formats are read, and the names of others by the first bytes of a file. No decoder runs."""

from __future__ import annotations

from pathlib import Path

READ = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
"""The decoders of Pillow that may open a photo, a depth map or a normal map; no other ever sees the file."""

SNIFFED = 512
"""First bytes of a file that are looked at."""

HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1", b"mif2")
AVIF_BRANDS = (b"avif", b"avis")

STARTS = (
    (b"GIF8", "a GIF"),
    (b"8BPS", "a Photoshop document (PSD)"),
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript document (EPS)"),
    (b"\xc5\xd0\xd3\xc6", "a PostScript document (EPS)"),
    (b"<svg", "an SVG drawing"),
    (b"gimp xcf", "a GIMP document (XCF)"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"v/1\x01", "an OpenEXR picture"),
    (b"#?RADIANCE", "a Radiance HDR picture"),
    (b"#?RGBE", "a Radiance HDR picture"),
    (b"DDS ", "a DDS texture"),
    (b"\0\0\x01\0", "an icon (ICO)"),
    (b"icns", "an icon (ICNS)"),
    (b"qoif", "a QOI picture"),
    (b"FUJIFILMCCD-RAW", "a RAW photo"),
    (b"IIRO", "a RAW photo"),
    (b"IIU\0", "a RAW photo"),
    (b"FOVb", "a RAW photo"),
    (b"\x1aE\xdf\xa3", "a video"),
    (b"\0\0\x01\xba", "a video"),
    (b"FLV\x01", "a video"),
    (b"glTF", "a 3D model (glTF)"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"version https://git-lfs", "a pointer of Git LFS, not the picture itself (git lfs pull fetches it)"),
)
RAW_SUFFIXES = (".dng", ".nef", ".arw", ".cr2", ".cr3", ".raf", ".orf", ".rw2", ".pef", ".srw")
"""Most RAW photos are TIFF files whose first page is a thumbnail: told by their names."""


def is_heif(head: bytes) -> bool:
    """Whether a file that starts like this is HEIC, or another picture in the HEIF container but AVIF."""
    return head[4:8] == b"ftyp" and not _any(head, AVIF_BRANDS) and _any(head, HEIF_BRANDS)


def format_name(head: bytes, path: Path) -> str:
    """What a file that is not read is, with its article; empty: unknown, or one of `READ`.

    Args:
        head: its first `SNIFFED` bytes.
    """
    if path.suffix.lower() in RAW_SUFFIXES:
        return "a RAW photo"
    if head[4:8] == b"ftyp":
        return _of_container(head)
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "a video"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page: the download went wrong"
    if text.startswith(b"<?xml") and b"<svg" in text:
        return "an SVG drawing"
    return next((name for start, name in STARTS if head.startswith(start)), "")


def _of_container(head: bytes) -> str:
    """Which of the ISO base media formats: its major brand stands first, compatible ones behind."""
    if _any(head, AVIF_BRANDS):
        return "an AVIF picture"
    if is_heif(head):
        return "a HEIC picture, as phones take them"
    return "a RAW photo" if head[8:12] == b"crx " else "a video"


def _any(head: bytes, brands: tuple[bytes, ...]) -> bool:
    size = min(int.from_bytes(head[:4], "big"), len(head))
    listed = [head[8:12], *(head[at : at + 4] for at in range(16, size - 3, 4))]
    return any(brand in brands for brand in listed)
