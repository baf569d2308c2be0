"""Curves of a prior's training from its logs."""

from __future__ import annotations

import json
from pathlib import Path

import curves


def test_logs_follow_each_other_and_repeated_steps_replace_earlier_ones(tmp_path: Path) -> None:
    rows = [{"used_s": 60, "loss": 3.0}, {"used_s": 120, "loss": 2.0}, {"used_s": 90, "loss": 2.5}, {"psnr": 30.0}]
    first, second = tmp_path / "first.log", tmp_path / "second.log"
    first.write_text("bar: 50%\n" + "\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    second.write_text(json.dumps({"used_s": 60, "loss": 1.0}), encoding="utf-8")
    assert curves.read_curve([first, second], "loss") == ([1.0, 1.5, 2.5], [3.0, 2.5, 1.0])
    assert curves.read_curve([first, second], "psnr") == ([1.5], [30.0])


def test_smoothing_keeps_a_line_and_the_length() -> None:
    line = [float(i) for i in range(20)]
    smoothed = curves.smooth(line, width=5)
    assert smoothed[2:-2] == line[2:-2] and len(smoothed) == 20
    assert smoothed[0] == 1.0
