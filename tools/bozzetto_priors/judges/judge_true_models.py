"""Evaluate the photograph judge on the true models: its accuracy for each piece, from eight sides.

tools/priors judge-true-models --data RUN/debian --out RUN/truth_judge.json

Writes a JSON file: `pieces` has, for each phrase whose thing the judge knows, its key and the shares of sides with
correct top-1 and top-5 classes; `means` has the means over the things' plain names. These are upper bounds for samples
of the prior, which cannot be expected to be recognised more often than the models they were made from.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bozzetto_priors.command_line import step_parser
from bozzetto_priors.judges.ground_truth import Truth, over_white, ring
from bozzetto_priors.judges.photograph_judge import KNOWN, SIZE, PhotoJudge
from bozzetto_priors.objects.thing_table import THINGS, Piece


def judged_pieces() -> list[tuple[str, Piece]]:
    """Return name and piece of everything that the judge knows."""
    return [(thing.name, piece) for thing in THINGS if thing.name in KNOWN for piece in thing.pieces]


def means(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> dict[str, float]:
    """Return means of every share over the rows of the plain `names`, and their number."""
    plain = [row for row in rows if row["words"] in names]
    shares = [key for key in plain[0] if key.startswith("top")]
    return {"names": len(plain), **{key: sum(row[key] for row in plain) / len(plain) for key in shares}}


def main(arguments: Sequence[str]) -> None:
    parser = step_parser("judge-true-models", __doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder the Debian package is unpacked in")
    parser.add_argument("--out", type=Path, required=True, help="the JSON file")
    args = parser.parse_args(arguments)
    judge, truth = PhotoJudge.load(), Truth(args.data, SIZE)
    rows: list[dict[str, Any]] = []
    for name, piece in judged_pieces():
        first, five = judge.look(over_white(truth.pictures(piece, ring(SIZE))), name)
        row = {"name": name, "words": piece.words, "key": piece.key}
        rows.append(row | {"top1": first.float().mean().item(), "top5": five.float().mean().item()})
        print(json.dumps(rows[-1]), flush=True)
    report = {"means": means(rows, [thing.name for thing in THINGS]), "pieces": rows}
    args.out.write_text(json.dumps(report, indent=1), encoding="utf-8")
    print(json.dumps(report["means"]))
