"""Tests of single files of SDXL: a tiny model in the original layout becomes the folder that it was made of; no network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.plugins.guidance.ldm_names import as_ldm
from tests.plugins.guidance.model_families import tiny
from tests.plugins.guidance.published_networks import PUBLISHED
from torch import Tensor

from bozzetto.errors import OtherGuidanceError
from bozzetto.testing.fakes import cameras_around
from bozzetto.weights.catalogue import Catalogue
from bozzetto.weights.download import fetch
from bozzetto.weights.folder import missing_parts
from bozzetto.weights.plans import plan
from bozzetto_plugins.guidance import single_file
from bozzetto_plugins.guidance.config import StableDiffusionConfig
from bozzetto_plugins.guidance.diffusion_prior import DiffusionPrior
from bozzetto_plugins.guidance.diffusion_prior_config import DiffusionPriorConfig
from bozzetto_plugins.guidance.family_table import SECOND_CLIP
from bozzetto_plugins.guidance.single_file import LAYOUTS, SECOND

CPU = torch.device("cpu")


def stored(folder: Path, part: str) -> dict[str, Tensor]:
    return load_file(next((folder / part).glob("*.safetensors")))


def original(folder: Path) -> dict[str, Tensor]:
    """Return the tensors of a folder in the original layout of SDXL."""
    unet, vae, second = (stored(folder, part) for part in ("unet", "vae", "text_encoder_2"))
    added = {name: unet.pop(name) for name in list(unet) if name.startswith("add_embedding.")}
    settings = {part: json.loads((folder / part / "config.json").read_text()) for part in ("unet", "vae")}
    projection = second.pop("text_projection.weight")
    found = as_ldm(unet, vae, second, settings["unet"], settings["vae"], open_clip=True)
    renamed = {name.replace("cond_stage_model.model.", SECOND, 1): value for name, value in found.items()}
    layers = {name.split(".")[6] for name in renamed if name.startswith(f"{SECOND}transformer.resblocks.")}
    spare = f"{SECOND}transformer.resblocks.{max(map(int, layers))}."  # one more than there are, as in version 2
    renamed = {name: value for name, value in renamed.items() if not name.startswith(spare)}
    renamed[f"{SECOND}text_projection"] = projection.T.contiguous()
    for ours, theirs in (("linear_1", "0.0"), ("linear_2", "0.2")):
        for kind in ("weight", "bias"):
            renamed[f"model.diffusion_model.label_emb.{theirs}.{kind}"] = added[f"add_embedding.{ours}.{kind}"]
    first = {name.removeprefix("text_model."): value for name, value in stored(folder, "text_encoder").items()}
    clip = "conditioner.embedders.0.transformer.text_model."
    return {**renamed, **{f"{clip}{name}": value for name, value in first.items()}, SECOND_CLIP: torch.zeros(1)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("sdxl")
    return tiny.saved(tiny.sdxl(place), place / "model")


def loaded(folder: Path) -> DiffusionPrior:
    return DiffusionPrior(DiffusionPriorConfig(model=str(folder), dtype="float32"), folder, CPU)


def test_a_single_file_guides_as_the_folder_that_it_was_made_of(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix != ".safetensors":
            (tmp_path / "layouts" / "sdxl" / path.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "layouts" / "sdxl" / path.relative_to(folder)).write_bytes(path.read_bytes())
    monkeypatch.setattr(single_file, "LAYOUTS", tmp_path / "layouts")
    file = tmp_path / "style.safetensors"
    save_file({name: value.contiguous() for name, value in original(folder).items()}, file)
    with pytest.raises(OtherGuidanceError, match="is SDXL, for the guidance diffusion-prior"):
        plan(str(file), Catalogue({}), reader=StableDiffusionConfig())
    made = fetch(plan(str(file), Catalogue({}), offline=True, reader=DiffusionPriorConfig(model=str(file))))
    assert made == tmp_path / "style-diffusers" and missing_parts(made) == []
    for part in ("unet", "vae", "text_encoder", "text_encoder_2"):
        found, expected = (
            {name.removeprefix("text_model."): value for name, value in stored(one, part).items()}
            for one in (made, folder)
        )
        assert found.keys() == expected.keys(), part
        assert all(torch.equal(found[name], expected[name]) for name in found), part
    one, other = loaded(made), loaded(folder)
    noisy, time, cameras = torch.randn(1, 4, 8, 8), torch.tensor([500]), cameras_around([0.0])
    texts = [prior.encode_text(["a ball"]) for prior in (one, other)]
    assert torch.equal(*texts)
    said = [prior.networks.predict(noisy, time, texts[0], cameras) for prior in (one, other)]
    torch.testing.assert_close(*said, rtol=0.0, atol=5e-6)


def test_the_settings_are_those_of_the_published_networks() -> None:
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    kinds: dict[str, Any] = {
        "unet": UNet2DConditionModel, "vae": AutoencoderKL, "text_encoder": CLIPTextModel,
        "text_encoder_2": CLIPTextModelWithProjection,
    }  # fmt: skip
    layout = LAYOUTS / "sdxl"
    assert missing_parts(layout) == [
        f"{part} has no .safetensors or .bin weights" for part in ("unet", "vae", "text_encoder", "text_encoder_2")
    ]
    with torch.device("meta"):
        for part, kind in kinds.items():
            values = json.loads((layout / part / "config.json").read_text())
            made = kind(CLIPTextConfig(**values)) if part.startswith("text") else kind.from_config(values)
            known = PUBLISHED["sdxl"][part]().state_dict()
            known = {name.removeprefix("text_model."): value.shape for name, value in known.items()}
            shapes = {name.removeprefix("text_model."): value.shape for name, value in made.state_dict().items()}
            if part == "text_encoder":  # CLIP-L has no projection here
                known.pop("text_projection.weight")
            assert shapes == known, part
