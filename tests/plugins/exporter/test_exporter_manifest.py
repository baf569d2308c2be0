"""Tests that exporters and view sources are declared as data, under unique names."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from bozzetto.registry.discovery import Registry, Source, status_of
from bozzetto.spec import load

FOLDERS = ("exporter", "view_source")


@pytest.mark.parametrize(("kind", "name"), [("exporter", "mesh"), ("exporter", "turntable"), ("view-source", "orbit")])
def test_name_module_and_class_agree(kind: str, name: str) -> None:
    sources = [Source("test", "0", folder, f"bozzetto_plugins.{folder}.manifest") for folder in FOLDERS]
    entry = Registry.discover(sources, strict=True).find(kind, name)
    assert status_of(entry) == "ok"
    assert entry.spec.target == f"bozzetto_plugins.{kind.replace('-', '_')}.{name}:{name.capitalize()}"
    assert load(entry.spec.target).__name__ == name.capitalize()
    assert dataclasses.is_dataclass(load(entry.spec.config))


def test_listing_and_configs_import_no_torch() -> None:
    code = (
        "import sys; from bozzetto_plugins.exporter import config, manifest; "
        "from bozzetto_plugins.view_source import config as views, manifest as others; "
        "list(manifest.bozzetto_components()), list(others.bozzetto_components()); "
        "config.MeshConfig(), config.TurntableConfig(), views.OrbitConfig(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
