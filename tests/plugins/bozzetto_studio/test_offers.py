"""Tests of the recipes that are offered: all that are installed, by what they can start from."""

import bozzetto
from bozzetto_studio.offers import offers


def test_every_shipped_recipe_is_offered_with_its_line(registry):
    found = {offer.name: offer for offer in offers(registry)}
    assert set(bozzetto.recipes()) == set(found)
    assert all(offer.summary for offer in found.values())
    assert found["dreamfusion-sd"].fits == found["magic3d"].fits == found["fantasia3d"].fits == "words"
    assert (found["zero123"].fits, found["zero123"].file_key, found["magic123"].fits) == ("photo", "image", "photo")
    mesh = found["texture-mesh"]
    assert (mesh.fits, mesh.file_key) == ("mesh", "system.geometry.asset.path") and "cpu" in mesh.profiles


def test_a_recipe_without_a_summary_has_its_comment_and_a_broken_one_is_left_out(registry, tmp_path, monkeypatch):
    (tmp_path / "mine.yaml").write_text("# Mine: a first line\n# and a second\nextends: zero123\n")
    (tmp_path / "broken.yaml").write_text("extends: there-is-none\n")
    (tmp_path / "zero123.yaml").write_text("extends: bozzetto/zero123\nsummary: another of that name\n")
    monkeypatch.setattr(registry, "recipe_folders", [*registry.recipe_folders, ("else", tmp_path)])
    found = {offer.name: offer for offer in offers(registry)}
    assert found["mine"].summary == "Mine: a first line" and found["mine"].fits == "photo"
    assert "broken" not in found and "zero123" not in found
    assert found["else/zero123"].summary == "another of that name" and "bozzetto/zero123" in found
