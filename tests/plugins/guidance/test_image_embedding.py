"""Tests of Zero123's image encoder: supported networks, and the embedding."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import ResNetConfig, ResNetForImageClassification

from bozzetto.errors import ModelError
from bozzetto_plugins.guidance.image_embedding import ImageEmbedding

CPU = torch.device("cpu")


@pytest.fixture
def folder(zero123_folder: Path, tmp_path: Path) -> Path:
    """Return a copy of the tiny model."""
    return Path(shutil.copytree(zero123_folder, tmp_path / "model"))


def test_of_clip_it_is_the_image_embedding(folder: Path) -> None:
    embedding = ImageEmbedding(folder, CPU, torch.float32)
    image = torch.rand(2, 3, 16, 16)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (embedding.mean, embedding.std))
    expected = embedding.encoder(pixel_values=(image - mean) / std).image_embeds
    torch.testing.assert_close(embedding.encode(image), expected)
    assert embedding.width == expected.shape[1]


def test_of_a_residual_network_it_is_the_logits(folder: Path) -> None:
    config = ResNetConfig(
        embedding_size=4, hidden_sizes=[4, 4], depths=[1, 1], layer_type="basic", num_labels=6, image_size=16,
        projection_dim=6,
    )  # fmt: skip
    network = ResNetForImageClassification(config).eval()
    shutil.rmtree(folder / "image_encoder")
    network.save_pretrained(folder / "image_encoder")
    look = folder / "feature_extractor" / "preprocessor_config.json"
    look.parent.mkdir(exist_ok=True)
    look.write_text(json.dumps({"image_mean": [0.5] * 3, "image_std": [0.5] * 3}), encoding="utf-8")
    embedding = ImageEmbedding(folder, CPU, torch.float32)
    image = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(embedding.encode(image), network(pixel_values=image * 2 - 1).logits)
    assert embedding.width == 6 and embedding.size == 16


def test_a_network_of_another_kind_is_named(folder: Path) -> None:
    config = folder / "image_encoder" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text(encoding="utf-8")), "model_type": "vit"}))
    with pytest.raises(ModelError, match="is of type 'vit'. Known: clip_vision_model, resnet"):
        ImageEmbedding(folder, CPU, torch.float32)
