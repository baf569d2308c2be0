import dataclasses
import subprocess
import sys

import pytest

from bozzetto.registry.discovery import Registry, Source
from bozzetto.spec import load

SOURCE = Source("test", "0", "geometry", "bozzetto_plugins.geometry.manifest")


@pytest.fixture
def registry() -> Registry:
    return Registry.discover([SOURCE], strict=True)


def test_names(registry):
    assert registry.names("geometry") == ["dmtet", "frequency-mlp", "hash-grid", "mesh", "sdf-grid"]


@pytest.mark.parametrize("name", ["hash-grid", "frequency-mlp", "sdf-grid"])
def test_name_module_and_class_agree(registry, name):
    spec = registry.find("geometry", name).spec
    stem = "".join(word.capitalize() for word in name.split("-"))
    assert spec.target == f"bozzetto_plugins.geometry.{name.replace('-', '_')}:{stem}"
    assert load(spec.target).__name__ == stem
    assert dataclasses.is_dataclass(load(spec.config))


def test_listing_and_configs_import_no_torch():
    code = (
        "import sys; from bozzetto_plugins.geometry import manifest; "
        "from bozzetto_plugins.geometry.config import FrequencyMlpConfig, HashGridConfig; "
        "list(manifest.bozzetto_components()), HashGridConfig(), FrequencyMlpConfig(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
