"""Write ATTRIBUTION.md: authors and licences of the models that the prior was trained on.

The catalogue states a creator and a licence; a licence file beside a model takes precedence (one piece of the CC0
catalogue is CC-BY by its own file).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from bozzetto_priors.command_line import step_parser
from bozzetto_priors.objects import furniture_catalogue
from bozzetto_priors.objects.thing_table import OWN, THINGS

CC0, BY = "CC0 1.0 (public domain)", "CC-BY 3.0"
HEAD = """# Models the prior was trained on

Those with an author come from the furniture catalogues of [Sweet Home 3D](https://www.sweethome3d.com), converted to
OBJ by Emmanuel Puybaret / eTeks (Blend Swap models: https://www.blendswap.com); the others were made in code for this
project (`tools/bozzetto_priors/objects/modelled_in_code`). They were changed: turned, scaled, rendered to views of 128
pixels, and in part recoloured; the weights hold a small radiance field of each, fitted to those views. No mesh or
texture file is here.

CC-BY 3.0: https://creativecommons.org/licenses/by/3.0/ (Kator Legaz, Reallusion: the United States version,
/by/3.0/us/).
CC0: https://creativecommons.org/publicdomain/zero/1.0/.

| Prompt | Model | Author | Licence | Catalogue |
|---|---|---|---|---|
"""
RIGHTS = {
    "KatorLegaz": "Copyright 2003-2008 Andrew Kator & Jennifer Legaz",
    "Reallusion": "Copyright 2008-2016 Reallusion",
    "Scopia": "Copyright Emmanuel Puybaret / eTeks and Scopia Visual Interfaces Systems",
}


def licence_of(stated: str, enclosed: str) -> str:
    """Return the licence according to the `enclosed` text, which may be empty, else to the catalogue's statement."""
    text = re.sub(r"<[^>]+>", " ", enclosed)
    if re.search(r"Creative Commons (Zero|Attribution)", text):
        return CC0 if re.search(r"Creative Commons Zero", text) else BY
    return CC0 if stated.startswith("Public domain") else BY


def enclosed_text(model: Path) -> str:
    """Return the text of the licence files beside an unpacked model."""
    files = sorted(p for p in model.parent.iterdir() if "license" in p.name.lower())
    return "\n".join(p.read_text(encoding="utf-8", errors="replace") for p in files)


OURS = "made in code by this project"


def table(furniture: Path, cache: Path) -> str:
    """Return the rows of the table, one per piece."""
    entries = {entry.key: entry for entry in furniture_catalogue.read_entries(furniture)}
    rows = []
    for thing in THINGS:
        for piece in thing.pieces:
            if piece.key.startswith(f"{OWN}/"):
                rows.append(f"| {piece.words} | | {OURS} | that of this repository | |\n")
                continue
            entry = entries[piece.key]
            licence = licence_of(entry.licence, enclosed_text(furniture_catalogue.unpack(entry, furniture, cache)))
            author = entry.creator + (f" ({RIGHTS[entry.catalogue]})" if entry.catalogue in RIGHTS else "")
            rows.append(f"| {piece.words} | {entry.name} | {author} | {licence} | {entry.catalogue} |\n")
    return "".join(rows)


def main(arguments: Sequence[str]) -> None:
    parser = step_parser("write-attribution", __doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder the Debian package is unpacked in")
    parser.add_argument("--prior", type=Path, required=True, help="the exported prior's folder")
    args = parser.parse_args(arguments)
    furniture = furniture_catalogue.ensure_catalogues(args.data)
    scratch = args.prior / "ATTRIBUTION.md.tmp"
    scratch.write_text(HEAD + table(furniture, args.data / "models"), encoding="utf-8")
    scratch.replace(args.prior / "ATTRIBUTION.md")
