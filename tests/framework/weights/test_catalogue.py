"""Tests of the models that plugins declare: names, conflicts, faults."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.framework.weights.conftest import write_model

from bozzetto.errors import ModelError
from bozzetto.spec import ModelEntry, ModelSpec
from bozzetto.weights.catalogue import Catalogue, faults_of, status_of

ONE = ModelEntry("one", "1.0", ModelSpec("sd-2", repositories=("a/sd-2@v1", "b/sd-2"), withdrawn=("gone/sd-2",)))
TWO = ModelEntry("bozzetto-two", "2.0", ModelSpec("sd-2", repositories=("c/sd-2",)))
OTHER = ModelEntry("one", "1.0", ModelSpec("other", repositories=("a/other",)))
BOTH = Catalogue({"sd-2": [ONE, TWO], "other": [OTHER]})


def test_an_alias_and_its_full_name_are_found() -> None:
    assert BOTH.find("other") is BOTH.find("one/other") is OTHER
    assert BOTH.find("bozzetto-two/sd-2") is BOTH.find("Bozzetto_Two/sd-2") is TWO


@pytest.mark.parametrize("name", ["nothing", "two/other", "a/other", "one/two/other", "/one/other", "./other", ""])
def test_what_is_no_alias_is_none(name: str) -> None:
    assert BOTH.find(name) is None


def test_an_alias_of_two_distributions_is_a_conflict_unless_one_is_preferred() -> None:
    with pytest.raises(ModelError) as caught:
        BOTH.find("sd-2", ["", "three"])
    assert str(caught.value) == (
        "model 'sd-2' is provided by one 1.0, bozzetto-two 2.0. Write 'one/sd-2' or 'bozzetto-two/sd-2'."
    )
    assert BOTH.find("sd-2", ["three", "bozzetto_two", "one"]) is TWO


def test_names_are_as_long_as_needed() -> None:
    assert BOTH.names == ["other", "one/sd-2", "bozzetto-two/sd-2"]
    assert all(BOTH.find(BOTH.name_of(entry)) is entry for entry in BOTH)


@pytest.mark.parametrize(
    ("repository", "name"),
    [("a/sd-2", "one/sd-2"), ("a/sd-2@v2", "one/sd-2"), ("gone/sd-2", "one/sd-2"), ("a/other", "other"), ("x/y", "")],
)
def test_a_repository_has_the_name_that_lists_it(repository: str, name: str) -> None:
    assert BOTH.name_of_repository(repository) == name


def test_a_shipped_folder_must_be_whole(tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    entry = ModelEntry("one", "1.0", ModelSpec("tiny", folder))
    assert faults_of(entry) == [f"there is no folder {folder}"]
    assert status_of(entry) == f"broken: there is no folder {folder}"
    write_model(folder, "tokenizer/tokenizer_config.json")
    assert faults_of(entry) == ["tokenizer is missing or empty"]
    write_model(folder)
    (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"cut")
    assert faults_of(entry) == [] and status_of(entry) == "ok"
    (fault,) = faults_of(entry, deep=True)
    assert "is cut short" in fault
    assert faults_of(OTHER, deep=True) == []


def test_every_alias_says_where_from_what_size_and_licence(catalogue: Catalogue) -> None:
    assert {"bozzetto-mini", "bozzetto-mini-zero123", "sd-1.5", "sd-2.1-base", "sd-2.1"} <= set(catalogue.names)
    for entry in catalogue:
        spec = entry.spec
        assert "not recorded" not in spec.licence and spec.memory != "unknown" and spec.note
        assert spec.folder is not None or spec.size_gb is not None
