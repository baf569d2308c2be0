"""Tests of the bundled weights: each is stored once, and both folders load."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch

import bozzetto_plugins.priors
from bozzetto.files import sha256_of
from bozzetto.registry.discovery import Registry, installed_sources
from bozzetto.weights.catalogue import Catalogue
from bozzetto.weights.faults import check_folder
from bozzetto.weights.folder import missing_parts
from bozzetto.weights.plans import plan
from bozzetto_plugins.guidance.denoiser import Denoiser

PRIORS = Path(bozzetto_plugins.priors.__file__).parent
TEXT, PHOTO = PRIORS / "bozzetto-mini", PRIORS / "bozzetto-mini-zero123"


def test_no_weight_file_is_stored_twice() -> None:
    files = Counter(sha256_of(path) for path in PRIORS.rglob("*.safetensors"))
    assert files and set(files.values()) == {1}


@pytest.mark.parametrize("folder", [TEXT, PHOTO], ids=lambda folder: folder.name)
def test_each_folder_is_whole(folder: Path) -> None:
    assert missing_parts(folder) == []
    check_folder(folder)


@pytest.mark.parametrize("folder", [TEXT, PHOTO], ids=lambda folder: folder.name)
def test_each_is_found_by_its_name(folder: Path) -> None:
    found = plan(folder.name, Catalogue.of(Registry.discover(installed_sources({}))), offline=True)
    assert (found.source, found.folder) == ("bundled", folder)


def test_both_priors_have_the_same_memory() -> None:
    text, photo = (
        Denoiser(folder, torch.device("cpu"), torch.float16, image_conditioned=folder == PHOTO)
        for folder in (TEXT, PHOTO)
    )
    there, here = text.unet.memory.state_dict(), photo.unet.memory.state_dict()
    assert there.keys() == here.keys() and all(torch.equal(there[name], here[name]) for name in there)
