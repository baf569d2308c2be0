"""Text encoder of a latent diffusion model: CLIP's tokenizer and text transformer, in memory only while encoding."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.files import sha256_of
from bozzetto.model_files import read_settings, weight_files, whole_part
from bozzetto_plugins.guidance.clip_transformer import ClipTransformer
from bozzetto_plugins.guidance.loras import Loras
from bozzetto_plugins.guidance.weights import reading, require_size, require_whole

if TYPE_CHECKING:  # transformers takes a second to import, and cached embeddings do not need it
    from transformers import CLIPTokenizer

log = logging.getLogger(__name__)


class ClipText:
    """CLIP text encoder of a model folder.

    Prompts are encoded once per run and the embeddings cached, so the transformer (up to 0.7 GB) is loaded by `encode`
    and freed before it returns.
    """

    def __init__(self, folder: Path, device: torch.device, dtype: torch.dtype, loras: Loras | None = None) -> None:
        self.loras = loras
        self.folder = folder
        self.device = device
        self.dtype = dtype
        path = folder / "text_encoder" / "config.json"
        with reading("The text encoder's settings", path):
            config = read_settings(path)
            self.width = int(config["hidden_size"])
            self.positions = int(config.get("max_position_embeddings", 77))

    @cached_property
    def model_id(self) -> str:
        """SHA-256 of the weights, the tokenizer's files, the LoRAs and the data type."""
        changed = self.loras.text_id if self.loras is not None else ""
        digest = hashlib.sha256(f"{self.dtype}{changed}".encode())
        for part in ("text_encoder", "tokenizer"):
            folder = self.folder / part
            for name, path in sorted(
                {**{path.name: path for path in folder.iterdir()}, **weight_files(folder)}.items()
            ):
                if name.endswith((".safetensors", ".json", ".txt")):
                    digest.update(f"{part}/{name}\0{sha256_of(path)}\0".encode())
        return digest.hexdigest()

    @cached_property
    def tokenizer(self) -> CLIPTokenizer:
        """Tokenizer; kept in memory because it is small."""
        from transformers import CLIPTokenizer

        path = self.folder / "tokenizer"
        with reading("The tokenizer", path):
            tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(path, local_files_only=True)
            return tokenizer

    @property
    def length(self) -> int:
        """N, tokens per text including start, end and padding."""
        return min(self.tokenizer.model_max_length, self.positions)

    @torch.no_grad()
    def encode(self, texts: Sequence[str]) -> Float[Tensor, "T N E"]:
        """Return float32 embeddings on `device`. Texts that are too long are truncated, with a warning."""
        with reading("The tokenizer", self.folder / "tokenizer"):
            for text in texts:
                self._warn_if_cut(text)
            tokens = self.tokenizer(
                list(texts), padding="max_length", max_length=self.length, truncation=True, return_tensors="pt"
            )
        encoder = self._load()
        mask = tokens.attention_mask.to(self.device) if encoder.config.use_attention_mask else None
        with reading("The text encoder, which does not fit the tokenizer,", self.folder / "text_encoder"):
            hidden: Tensor = encoder(tokens.input_ids.to(self.device), mask)
        return hidden.float()

    def _load(self) -> ClipTransformer:
        path = self.folder / "text_encoder"
        with reading("The text encoder", path):
            require_size(lambda: ClipTransformer.from_config(read_settings(path / "config.json")), path)
            with whole_part(path) as whole:
                encoder, facts = ClipTransformer.loaded(whole, self.dtype)
        require_whole(facts, "The text encoder", path)
        if self.loras is not None:
            self.loras.merge_into_text_encoder(encoder)
        return encoder.requires_grad_(False).eval().to(self.device)

    def _warn_if_cut(self, text: str) -> None:
        tokens = self.tokenizer(text, verbose=False).input_ids[1:-1]
        room = self.length - 2
        if len(tokens) > room:
            lost = cast(str, self.tokenizer.decode(tokens[room:]))  # a list for several texts
            log.warning("The prompt is longer than %d tokens. The model does not see: %r", room, lost.strip())
