"""Contract tests of an installed plugin package: subclass `PluginContract`, set the distribution, run with pytest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bozzetto.authoring.conformance import findings
from bozzetto.config.recipe_file import read_recipe, shipped_recipes
from bozzetto.registry.commands import PackageCommands
from bozzetto.registry.discovery import HEAVY, Registry
from bozzetto.registry.sources import canonical, installed_sources
from bozzetto.testing.fakes import tiny_stable_diffusion
from bozzetto.testing.run import train_one_step

__all__ = ["PluginContract"]

LISTING = """
import json, os, sys
from bozzetto.registry.commands import PackageCommands
from bozzetto.registry.discovery import HEAVY, Registry
from bozzetto.registry.sources import installed_sources
registry = Registry.discover([source for source in installed_sources(os.environ) if source.dist == sys.argv[1]])
listed = PackageCommands.installed(os.environ).of(sys.argv[1:]).listed()
for kind, name in registry.entries:
    registry.config_type(kind, f"{sys.argv[1]}/{name}")
broken = len(registry.broken) + sum(not command.usable for command in listed)
print(json.dumps([len(registry.heavy) + len(listed), broken, [name for name in HEAVY if name in sys.modules]]))
"""


class PluginContract:
    """Tests that listing imports nothing heavy, that components and commands conform, and that the recipes train.

    class TestPackage(PluginContract):
        distribution = "bozzetto-blocky"
    """

    distribution: str
    """Name of the installed distribution."""

    @pytest.fixture
    def registry(self) -> Registry:
        """Registry of the built-in plugins and this one."""
        wanted = {"bozzetto", canonical(self.distribution)}
        return Registry.discover([source for source in installed_sources(os.environ) if source.dist in wanted])

    @pytest.fixture
    def model(self, tmp_path: Path) -> Path:
        """Weights for every guidance; override it if other weights are needed."""
        return tiny_stable_diffusion(tmp_path / "model")

    def test_listing_it_and_reading_its_configs_imports_nothing_heavy(self) -> None:
        done = subprocess.run(
            [sys.executable, "-c", LISTING, canonical(self.distribution)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        plugins, broken, heavy = json.loads(done.stdout)
        assert plugins, f"no plugin or command of {self.distribution} is installed: pip install -e ."
        assert not broken
        assert not heavy, f"{', '.join(heavy)} of {', '.join(HEAVY)} imported"

    def test_nothing_is_wrong_with_it(self, registry: Registry) -> None:
        found = findings(registry, [canonical(self.distribution)], PackageCommands.installed(os.environ))
        assert found, f"{self.distribution} offers nothing"
        assert {title: faults for title, faults in found if faults} == {}

    def test_every_recipe_takes_a_step_in_every_profile(self, registry: Registry, model: Path, tmp_path: Path) -> None:
        for name, path in shipped_recipes(registry).items():
            if not name.startswith(f"{canonical(self.distribution)}/"):
                continue
            for profile in read_recipe(path, registry).profile_names or ["auto"]:
                numbers = train_one_step(path, registry, tmp_path, {"": model}, profile)
                assert all(stage["gradient_norm"] > 0.0 for stage in numbers.values()), f"nothing learns in {name}"
