"""Tests that the recipes of all templates and examples train and write their exports with the bundled prior."""

import sys
from pathlib import Path

import pytest
import torch

from bozzetto.authoring.scaffold import write_package
from bozzetto.config.loading import load_recipe
from bozzetto.config.recipe_file import find_recipe
from bozzetto.engine.pipeline import Pipeline
from bozzetto.engine.run_folder import RunFolder
from bozzetto.kinds import KINDS
from bozzetto.registry.discovery import Registry, installed_sources
from bozzetto.runs.start import plans_for
from bozzetto.testing.fakes import cameras_around
from bozzetto.weights.catalogue import Catalogue
from bozzetto.weights.download import fetch
from bozzetto.weights.plans import plan

EXAMPLES = sorted(path.parents[2] for path in (Path(__file__).parents[2] / "examples").glob("*/src/*/recipes"))
VIEWS = "system.tasks.random.views"
SMALL = [
    "trainer.steps=2", "trainer.log_every=1", "trainer.image_every=2", "trainer.image_views=1",
    f"{VIEWS}.height=16", f"{VIEWS}.width=16", f"{VIEWS}.eval_height=16", f"{VIEWS}.eval_width=16",
    "export.mesh=null", "export.turntable=null", "report=false",
]  # fmt: skip


def as_if_installed(folder: Path, site: Path) -> Path:
    """Create a folder with the metadata that pip would write for a package."""
    info = site / f"{folder.name.replace('-', '_')}-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {folder.name}\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text(f"[bozzetto.plugins]\nmain = {folder.name.replace('-', '_')}.manifest\n")
    return site


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """Train the one recipe of the package in a folder, and run the package's exporters."""

    def train(folder: Path):
        name = folder.name.removeprefix("bozzetto-")
        monkeypatch.syspath_prepend(folder / "src")
        monkeypatch.syspath_prepend(as_if_installed(folder, tmp_path / "site"))
        sources = [source for source in installed_sources({}) if source.dist in ("bozzetto", folder.name)]
        registry = Registry.discover(sources, strict=True)
        path = find_recipe(f"{folder.name}/{name}", registry)
        changes = [*SMALL, f"output={tmp_path / 'outputs'}"]
        recipe = load_recipe(path, registry, changes, "cpu")
        weights = {name: fetch(found) for name, found in plans_for(recipe, registry).items()}
        run = RunFolder.create(recipe, ["test"], {})
        files = Pipeline(registry, run, weights, None, torch.device("cpu"), print).run(recipe)
        rows = (run.metrics / "main.csv").read_text().splitlines()
        header, last = rows[0].split(","), rows[-1].split(",")
        return float(last[header.index("gradient_norm")]), files, weights

    before = set(sys.modules)
    yield train
    for name in set(sys.modules) - before:
        if name.startswith("bozzetto_") and not name.startswith("bozzetto_plugins"):
            del sys.modules[name]


@pytest.mark.parametrize("kind", KINDS)
def test_the_template_of_every_kind_trains_two_steps_with_the_bundled_prior(kind, tmp_path, trained):
    gradient_norm, files, weights = trained(write_package(tmp_path, f"my-{kind}", kind))
    assert gradient_norm > 0.0 and set(weights) == {"bozzetto-mini"}
    assert [path.is_file() for path in files] == ([True] if kind == "exporter" else [])


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda folder: folder.name)
def test_every_example_trains_two_steps_with_the_bundled_prior(folder, trained):
    gradient_norm, files, weights = trained(folder)
    assert gradient_norm > 0.0 and all(path.is_file() for path in files) and set(weights) == {"bozzetto-mini"}


def test_the_generated_guidance_says_what_the_built_in_one_says(tmp_path, monkeypatch):
    """Same denoiser, text and latents: equal embeddings and an equal prediction of the bundled prior."""
    from bozzetto_plugins.guidance.clip_text import ClipText
    from bozzetto_plugins.guidance.denoiser import Denoiser
    from bozzetto_plugins.guidance.families import camera_labels

    package = write_package(tmp_path, "my-score", "guidance")
    monkeypatch.syspath_prepend(package / "src")
    from bozzetto_my_score.weights import Weights

    catalogue = Catalogue.of(Registry.discover(installed_sources({})))
    folder, device = fetch(plan("bozzetto-mini", catalogue)), torch.device("cpu")
    ours, theirs = Denoiser(folder, device, torch.float32), Weights(folder, device, torch.float32)
    text = theirs.encode_text(["a red chair", ""])
    torch.testing.assert_close(text, ClipText(folder, device, torch.float32).encode(["a red chair", ""]))
    noisy = torch.randn(2, ours.latent_channels, *ours.latent_size, generator=torch.Generator().manual_seed(0))
    timestep = torch.tensor([500, 20])
    cameras = cameras_around([0.0, 90.0])
    expected = ours.predict(noisy, timestep, text, camera_labels(ours.unet, cameras))
    torch.testing.assert_close(theirs.predict(noisy, timestep, text, cameras), expected)
    twice = theirs.predict(noisy.repeat(2, 1, 1, 1), timestep.repeat(2), text.repeat(2, 1, 1), cameras)
    torch.testing.assert_close(twice, expected.repeat(2, 1, 1, 1))
    image = torch.rand(1, *ours.image_size, 3, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(theirs.latents(image), ours.encode(image.permute(0, 3, 1, 2), None))
