"""Draw docs/architecture.svg: the rooms of the host in the order that import-linter enforces.

python tools/architecture.py
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from bozzetto.files import write_text

ROOT = Path(__file__).parents[1]
PAGE, PICTURE = ROOT / "docs" / "architecture.md", ROOT / "docs" / "architecture.svg"
PUBLIC = ROOT / "docs" / "reference" / "public-api.md"
WIDTH, ROW, GAP = 640, 34, 8
"""Pixels: inner width, height of a layer, distance between layers."""
PRIVATE_FILL, PUBLIC_FILL = "#dbe4f0", "#d6ecd9"


def layers() -> list[list[str]]:
    """Rooms by layer, from the top to the bottom."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (rooms,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [[room.strip() for room in layer.split("|")] for layer in rooms]


def described() -> dict[str, str]:
    """Rooms of the page's table, and what each is for, in its order."""
    table = PAGE.read_text(encoding="utf-8").partition("| room |")[2].partition("\n\n")[0]
    return dict(re.findall(r"^\| `(\w+)` \| (.+?) \| [^|]+ \|$", table, re.MULTILINE))


def picture() -> str:
    """Return the picture as SVG."""
    public = set(re.findall(r"^\| `bozzetto\.(\w+)[`.]", PUBLIC.read_text(encoding="utf-8"), re.MULTILINE))
    rows = layers()
    height = len(rows) * (ROW + GAP) + 60
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH + 60} {height}" font-family="sans-serif" '
        'font-size="13">',
        f'<rect width="{WIDTH + 60}" height="{height}" fill="white"/>',
    ]
    for number, rooms in enumerate(rows):
        width = (WIDTH - GAP * (len(rooms) - 1)) / len(rooms)
        top = 10 + number * (ROW + GAP)
        for place, room in enumerate(rooms):
            left = 10 + place * (width + GAP)
            fill = PUBLIC_FILL if room in public else PRIVATE_FILL
            parts.append(f'<rect x="{left:.0f}" y="{top}" width="{width:.0f}" height="{ROW}" rx="5" fill="{fill}"/>')
            parts.append(
                f'<text x="{left + width / 2:.0f}" y="{top + ROW / 2 + 5:.0f}" text-anchor="middle">{room}</text>'
            )
    bottom = 10 + len(rows) * (ROW + GAP)
    arrow = WIDTH + 34
    parts += [
        f'<path d="M{arrow} 20V{bottom - 20}m-6 -10l6 10l6 -10" fill="none" stroke="#555" stroke-width="2"/>',
        f'<text x="{arrow + 14}" y="{bottom / 2:.0f}" transform="rotate(90 {arrow + 14} {bottom / 2:.0f})" '
        'text-anchor="middle" fill="#555">imports</text>',
        f'<rect x="10" y="{bottom + 8}" width="16" height="16" rx="3" fill="{PUBLIC_FILL}"/>',
        f'<text x="34" y="{bottom + 21}">public in whole or in part</text>',
        f'<rect x="260" y="{bottom + 8}" width="16" height="16" rx="3" fill="{PRIVATE_FILL}"/>',
        f'<text x="284" y="{bottom + 21}">the host\'s own</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    write_text(PICTURE, picture())
