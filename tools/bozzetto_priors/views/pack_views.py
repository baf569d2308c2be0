"""Pack rendered views into less than 60 MB, for training on another machine.

tools/priors pack-views --views RUN/views --out RUN/pack

Writes a file for each piece, which train-radiance-fields and train-refinement read like the views themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bozzetto_priors.command_line import step_parser
from bozzetto_priors.views.training_views import load_views
from bozzetto_priors.views.view_compression import ACROSS, packed

ROWS = 8
"""Number of rows of `ACROSS` views kept per piece."""


def main(arguments: Sequence[str]) -> None:
    parser = step_parser("pack-views", __doc__)
    parser.add_argument("--views", type=Path, required=True, help="made by render-views")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    count = ROWS * ACROSS
    for path in sorted(args.views.glob("*.npz")):
        target = args.out / path.name
        if target.exists():
            continue
        with np.load(path) as arrays:
            facts = {name: arrays[name] for name in ("main_luma", "box")} | {"camera": arrays["camera"][:count]}
        lit, tone = (np.frombuffer(file, dtype=np.uint8) for file in packed(load_views(path).targets[:count]))
        fresh = target.with_suffix(".tmp")
        with fresh.open("wb") as file:
            np.savez(file, lit=lit, tone=tone, **facts)
        fresh.replace(target)
    size = sum(path.stat().st_size for path in args.out.glob("*.npz"))
    print(f"{len(list(args.out.glob('*.npz')))} pieces, {size / 1e6:.1f} MB: {args.out}")
