"""Quick part of `tools/fuzz`: some seeded cases of each family against the program, in a separate process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it forks, and looks at /proc")
@pytest.mark.parametrize("counts", ["recipes=40,images=5,meshes=8,folders=6", "kills=4"])
def test_every_invariant_holds(tmp_path, counts):
    words = [sys.executable, str(PROJECT / "tools" / "fuzz"), "--seed", "0", "--keep-going", "--count", counts]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
    for name in counts.split(","):
        assert f"| {name.partition('=')[0]} | {name.partition('=')[2]} |" in done.stdout
    assert not list(tmp_path.glob("bozzetto-fuzz-*"))
