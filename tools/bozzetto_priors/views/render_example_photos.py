"""Render example photos of catalogue pieces with transparency, for `configs/photos` and the documentation.

tools/priors render-example-photos --data RUN/debian --out configs/photos hamburger=BlendSwap-CC-BY/hamburger
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bozzetto_priors.command_line import step_parser
from bozzetto_priors.views.photo_studio import Studio


def main(arguments: Sequence[str]) -> None:
    parser = step_parser("render-example-photos", __doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder the Debian package is unpacked in")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("pieces", nargs="+", metavar="NAME=CATALOGUE/MODEL", help="a file's name and what it shows")
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    studio = Studio(args.data, args.size)
    for item in args.pieces:
        name, _, key = item.partition("=")
        studio.place(key)
        scratch = args.out / f".{name}.tmp.png"
        studio.photo().save(scratch, optimize=True)
        scratch.replace(args.out / f"{name}.png")
