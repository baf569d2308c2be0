"""Draw the curves of a prior's training from its logs, several logs of one training one after the other.

python curves.py --vae RUN/vae.log --unet RUN/unet.log [MORE.log ...] --out PRIOR/curves.svg

The denoiser's alone if there are no logs of the autoencoder.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path


def read_curve(logs: Sequence[Path], key: str) -> tuple[list[float], list[float]]:
    """Minutes of training and the values of `key`; a log begins where the one before it ended.

    Values without a time of their own are as old as the row before them; rows of a log that a restart did again
    replace the earlier ones.
    """
    minutes: list[float] = []
    values: list[float] = []
    start = 0.0
    for log in logs:
        now = 0.0
        for line in log.read_text(encoding="utf-8").splitlines():
            if not line.startswith("{"):
                continue  # a progress bar
            row = json.loads(line)
            now = row.get("used_s", now)
            if key not in row:
                continue
            at = start + now / 60
            while minutes and minutes[-1] > at:
                minutes.pop()
                values.pop()
            minutes.append(at)
            values.append(row[key])
        start += now / 60
    return minutes, values


def smooth(values: Sequence[float], width: int = 9) -> list[float]:
    """Means of up to `width` neighbours."""
    half = width // 2
    parts = [values[max(0, i - half) : i + half + 1] for i in range(len(values))]
    return [sum(part) / len(part) for part in parts]


def draw(vae: tuple[list[float], list[float]], unet: tuple[list[float], list[float]], out: Path) -> None:
    """A panel for each curve that has points, side by side."""
    from matplotlib.figure import Figure  # for this picture alone

    width = 9 if vae[0] else 4.5
    figure = Figure(figsize=(width, 3.2), layout="constrained")
    panels = figure.subplots(1, 2 if vae[0] else 1, squeeze=False)[0]
    if vae[0]:
        panels[0].plot(*vae)
        panels[0].set(xlabel="minutes", ylabel="PSNR of held-out views, dB", title="autoencoder")
    panels[-1].plot(unet[0], smooth(unet[1]), linewidth=1)
    panels[-1].set(xlabel="minutes", ylabel="weighted error of v", title="denoiser", ylim=(min(unet[1]) * 0.97, 0.16))
    for panel in panels:
        panel.grid(alpha=0.3)
    scratch = out.with_suffix(".tmp.svg")
    figure.savefig(scratch, metadata={"Date": None})
    scratch.replace(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vae", type=Path, nargs="*", default=[])
    parser.add_argument("--unet", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True, help="an .svg file")
    args = parser.parse_args()
    draw(read_curve(args.vae, "psnr"), read_curve(args.unet, "loss"), args.out)


if __name__ == "__main__":
    main()
