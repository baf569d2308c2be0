"""Paths of the repository around the package."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
PRIORS = ROOT / "plugins" / "bozzetto_plugins" / "priors"
TEXT_PRIOR = PRIORS / "bozzetto-mini"
PHOTO_PRIOR = PRIORS / "bozzetto-mini-zero123"
