"""Tests of the viewer: the installed trimesh brings the library that reports use, with its licence."""

from __future__ import annotations

import pytest

from bozzetto_report import viewer
from bozzetto_report.texts import template_text
from bozzetto_report.viewer import ViewerError, hash_of, library


def test_the_library_of_trimesh():
    found = library()
    assert found.code.startswith("/**\n * @license\n * Copyright 2010-2022 Three.js Authors")
    assert found.code.endswith(viewer.LAST_PART) and "</script" not in found.code and "$B64GLTF" not in found.code
    assert "Permission is hereby granted" in found.licences and "three.js authors" in found.licences


def test_another_library_is_refused(monkeypatch):
    monkeypatch.setattr("trimesh.viewer.notebook.scene_to_html", lambda scene: "<script>something else</script>")
    library.cache_clear()
    with pytest.raises(ViewerError, match=r"export/mesh\.glb"):
        library()
    library.cache_clear()


def test_our_own_script_ends_no_element():
    assert "</" not in template_text("viewer.js") and "http" not in template_text("viewer.js")


def test_hash():
    assert hash_of("") == "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
