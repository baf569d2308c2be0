"""Tests of networks that are loaded without diffusers: what diffusers saves, and what it tells of a damaged folder."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from bozzetto_plugins.guidance.weights import require_whole
from bozzetto_plugins.priors.camera_network import CameraNetwork
from bozzetto_plugins.priors.camera_unet import CameraUNet

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def folder(camera_unet: CameraUNet, tmp_path: Path) -> Path:
    camera_unet.save_pretrained(tmp_path / "unet")
    return tmp_path / "unet"


def load(folder: Path, dtype: torch.dtype | None = None) -> CameraNetwork:
    network = CameraNetwork.from_pretrained(folder, torch_dtype=dtype)
    assert isinstance(network, CameraNetwork)
    return network


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_all_weights_and_settings_are_those_that_were_saved(
    camera_unet: CameraUNet, folder: Path, dtype: torch.dtype
) -> None:
    network, expected = load(folder, dtype), camera_unet.state_dict()
    assert network.state_dict().keys() == expected.keys()
    for name, value in network.state_dict().items():
        assert torch.equal(value, expected[name].to(value.dtype)), name
        assert value.dtype in (dtype, expected[name].dtype)
    read = replace(network.config, block_out_channels=tuple(network.config.block_out_channels))  # a list in JSON
    assert read == camera_unet.settings and network.config.in_channels == camera_unet.config.in_channels


def test_what_is_missing_or_of_another_shape_is_told(folder: Path) -> None:
    held = load_file(folder / WEIGHTS)
    held["refine.conv_in.bias"], held["another"] = torch.zeros(3), torch.zeros(1)
    del held["refine.conv_out.bias"]
    save_file(held, folder / WEIGHTS)
    _, facts = CameraNetwork.from_pretrained(folder, output_loading_info=True)
    assert facts["missing_keys"] == ["refine.conv_out.bias"] and facts["unexpected_keys"] == ["another"]
    assert [name for name, *_ in facts["mismatched_keys"]] == ["refine.conv_in.bias"]
    with pytest.raises(Exception, match="lacks refine.conv_out.bias"):
        require_whole(facts, "The denoiser", folder)


def test_without_weights_it_does_not_load(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    with pytest.raises(FileNotFoundError, match=r"has no \.safetensors weights"):
        load(folder)


def test_unknown_settings_are_ignored_and_others_have_defaults() -> None:
    network = CameraNetwork.from_config({"hidden_width": 16, "_class_name": "CameraUNet", "new": 1})
    assert (network.config.hidden_width, network.config.things) == (16, 1)


def test_the_guidance_of_the_bundled_prior_needs_no_model_library() -> None:
    code = (
        "import sys, json, torch\n"
        "from pathlib import Path\n"
        "import bozzetto_plugins.guidance.stable_diffusion\n"
        "from bozzetto_plugins.guidance.denoiser import Denoiser\n"
        f"Denoiser(Path({json.dumps(str(prior()))}), torch.device('cpu'), torch.float32)\n"
        "slow = ('diffusers', 'transformers', 'torch._dynamo', 'scipy')\n"
        "sys.exit(', '.join(name for name in slow if name in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def prior() -> Path:
    import bozzetto_plugins.priors

    return Path(bozzetto_plugins.priors.__file__).parent / "bozzetto-mini"
