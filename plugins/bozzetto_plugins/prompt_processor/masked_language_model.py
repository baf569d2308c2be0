"""Masked language model in transformers' format, such as BERT: probabilities of words at the gap of a sentence."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bozzetto.errors import ModelError
from bozzetto.files import sha256_of
from bozzetto.math.prompt_debiasing import view_probabilities
from bozzetto_plugins.guidance.weights import load_with_info, reading, require_whole, without_bars

if TYPE_CHECKING:  # transformers takes a second to import, and cached probabilities do not need it
    from transformers import PreTrainedTokenizerBase

GAP = "[MASK]"
"""Stands for the gap in a sentence, whatever the model's own token is."""


class MaskedLanguageModel:
    """Language model that fills gaps (Devlin et al. 2019); in memory only during `probabilities`.

    Args:
        folder: weights and tokenizer.
        device: where the network runs.
    """

    def __init__(self, folder: Path, device: torch.device) -> None:
        self.folder = folder
        self.device = device

    @cached_property
    def model_id(self) -> str:
        """SHA-256 of the weights and of the tokenizer's and other settings."""
        digest = hashlib.sha256()
        for path in sorted(self.folder.iterdir()):
            if path.suffix in (".safetensors", ".json", ".txt"):
                digest.update(f"{path.name}\0{sha256_of(path)}\0".encode())
        return digest.hexdigest()

    @torch.no_grad()
    def probabilities(self, sentences: Sequence[str], words: Sequence[str]) -> Float[Tensor, "S V"]:
        """Return how probable each of V words is at the gap of each of S sentences; each row sums to 1. On the CPU.

        Raises:
            ModelError: the model is damaged or of another kind, or a word is not one token of it.
        """
        tokenizer = self._tokenizer()
        with reading("The tokenizer", self.folder):
            token = str(tokenizer.mask_token)
            tokens = tokenizer([text.replace(GAP, token) for text in sentences], padding=True, return_tensors="pt")
            tokens = tokens.to(self.device)
            gap = tokens.input_ids == tokenizer.mask_token_id
        if not bool((gap.sum(dim=1) == 1).all()):
            raise ModelError(
                f"{self.folder}: its tokenizer does not find one gap {token!r} in a sentence that has one."
            )
        columns = [self._token_of(tokenizer, word) for word in words]
        network = self._network()
        longest = getattr(network.config, "max_position_embeddings", tokens.input_ids.shape[1])
        if tokens.input_ids.shape[1] > longest:
            raise ModelError(f"{self.folder}: the prompt has more than the {longest} tokens that the model reads.")
        logits: Tensor = network(**tokens).logits[gap][:, columns]
        return view_probabilities(logits.float()).cpu()

    def _tokenizer(self) -> PreTrainedTokenizerBase:
        from transformers import AutoTokenizer

        with reading("The tokenizer", self.folder):
            tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(self.folder, local_files_only=True)
            if tokenizer.mask_token is None:
                raise ValueError("it has no mask token")
            return tokenizer

    def _token_of(self, tokenizer: PreTrainedTokenizerBase, word: str) -> int:
        """Return the token of a word within a sentence; some tokenizers write the space before it into the token."""
        for text in (word, f" {word}"):
            found = tokenizer(text, add_special_tokens=False).input_ids
            if len(found) == 1 and found[0] != tokenizer.unk_token_id:
                token: int = found[0]
                return token
        raise ModelError(f"{self.folder}: {word!r} is not one word of its vocabulary. Choose another language model.")

    def _network(self) -> Any:
        from transformers import AutoModelForMaskedLM

        with reading("The language model", self.folder), without_bars():
            network, facts = load_with_info(AutoModelForMaskedLM, self.folder, torch.float32)
        require_whole(facts, "The language model", self.folder)
        assert isinstance(network, nn.Module)
        return network.requires_grad_(False).eval().to(self.device)
