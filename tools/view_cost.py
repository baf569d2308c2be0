"""Measure what pictures of the viewer cost a training, and how many of them there are.

python tools/view_cost.py --steps 150

Trains `dreamfusion-sd` with the bundled prior twice: alone, and beside a process that draws as the viewer does for one
browser whose camera never rests: pictures of 128 pixels, compressed, within the viewer's budget, at its priority. The
browser itself and the connection are left out. Prints pictures per second and the seconds of both trainings; nothing
else should run meanwhile.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import torch
from PIL import Image

from bozzetto.engine.run_folder import RunFolder
from bozzetto_view.command import NICENESS
from bozzetto_view.painter import Budget, Painter
from bozzetto_view.pictures import Look, Picture, Pose, cameras_of, picture_of
from bozzetto_view.source import Source
from bozzetto_view.window import REFRESH_S, SHARE, WATCH_S
from finished_runs import installed

ROOT = Path(__file__).parents[1]


def train(folder: Path, steps: int, watched: bool) -> tuple[float, float]:
    """Return the seconds of a training, and the pictures per second that were drawn beside it."""
    recipe = str(ROOT / "configs" / "dreamfusion-sd.yaml")
    fields = [f"output={folder}", f"trainer.steps={steps}", "report=false", "export={}"]
    command = [sys.executable, str(ROOT / "launch.py"), "--config", recipe, "--profile", "cpu", *fields]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        while not (made := sorted(folder.rglob("manifest.json"))) and process.poll() is None:
            time.sleep(0.2)
        rate = watch(made[0].parent, process) if watched and made else 0.0
        if process.wait() != 0:
            log.seek(0)
            raise SystemExit(log.read().decode("utf-8", "replace"))
    manifest = json.loads(made[0].read_text(encoding="utf-8"))
    return float(manifest["stages"]["main"]["seconds"]), rate


def watch(folder: Path, process: subprocess.Popen[bytes]) -> float:
    """Draw pictures until the training ends; return how many per second from the first to the last."""
    os.nice(NICENESS)
    torch.set_num_threads(1)
    source = Source(RunFolder.existing(folder), installed(), torch.device("cpu"))
    budget = Budget(SHARE * (os.cpu_count() or 1))
    budget.limited = True
    times: list[float] = []

    def draw(pose: Pose, height: int) -> Picture | None:
        loaded = source.load(None, source.state())
        return (
            None
            if loaded is None
            else picture_of(loaded.scene.preview(), cameras_of(pose, height, source.device), Look())
        )

    def send(picture: Picture) -> None:
        Image.fromarray(picture.pixels).save(io.BytesIO(), "jpeg", quality=85)
        times.append(time.monotonic())

    painter = Painter(draw, budget, 128, 256)
    painter.add(0, send)
    thread = threading.Thread(target=painter.run, daemon=True)
    thread.start()
    watched_at = shown_at = -math.inf
    while process.poll() is None:
        now = time.monotonic()
        if now - watched_at >= WATCH_S:
            source.live.watch()
            watched_at = now
        if now - shown_at >= REFRESH_S:
            painter.show(source.version(None, source.state()))
            shown_at = now
        painter.move(0, orbiting(now))
        time.sleep(0.02)
    painter.close()
    thread.join()
    return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0


def orbiting(angle_rad: float) -> Pose:
    """Return a camera 3.2 units from the origin, which it sees."""
    ahead = (math.sin(angle_rad), 0.0, math.cos(angle_rad))
    position = (-3.2 * ahead[0], 0.0, -3.2 * ahead[2])
    return Pose((math.cos(angle_rad / 2), 0.0, math.sin(angle_rad / 2), 0.0), position, 0.7, 1.0)


def main() -> None:
    """Train with and without pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=150)
    steps = parser.parse_args().steps
    with tempfile.TemporaryDirectory() as folder:
        alone_s, _ = train(Path(folder) / "alone", steps, watched=False)
        beside_s, rate = train(Path(folder) / "beside", steps, watched=True)
    print(
        f"{rate:.1f} pictures/s; training {alone_s:.1f} s alone, {beside_s:.1f} s beside: {beside_s / alone_s - 1:+.1%}"
    )


if __name__ == "__main__":
    main()
