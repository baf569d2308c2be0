"""Import path of the prior's tools, which are scripts in one folder and not a package."""

from __future__ import annotations

import sys
from pathlib import Path

TOOLS = Path(__file__).parents[2] / "tools"
sys.path[:0] = [str(TOOLS / "priors"), str(TOOLS)]
