"""Low-rank adapter of a frozen denoiser with an embedding of the camera: the student of variational score distillation.

One network serves as teacher and student: without its adapter it is the frozen network bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bozzetto.errors import ConfigError
from bozzetto_plugins.guidance.families import adapted_part

POSE_NUMBERS = 16
"""Length of a camera-to-world matrix, flattened by rows; not normalised (ProlificDreamer)."""
NAME = "student"
SPARE_BITS = 4
"""Powers of two between the scaled gradient at the network's output and 1, so that larger ones inside stay finite."""


class Adapter:
    """Adapter of a network that reads noisy latents and a timestep.

    Each adapted layer adds the product of two small matrices to its own (LoRA, Hu et al. 2021); the second is zero at
    first, and so is the last layer of the camera's embedding, which is added to that of the timestep. All parameters
    are float32, whatever the network's data type.

    Args:
        rank: of the matrices.
        device: where the parameters stay, also while the network is offloaded.

    Raises:
        ConfigError: the package peft is missing, or the network has no layer to adapt.
    """

    def __init__(self, network: nn.Module, rank: int, device: torch.device) -> None:
        try:
            from peft import LoraConfig, inject_adapter_in_model
            from peft.tuners.tuners_utils import BaseTunerLayer
        except ImportError:
            raise ConfigError(
                "score.reference: 'adapter' needs the package peft. Run: pip install 'bozzetto[vsd]', or choose "
                "another reference."
            ) from None
        part, targets = adapted_part(network)
        config = LoraConfig(
            r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=list(targets), lora_dropout=0.0
        )
        try:
            inject_adapter_in_model(config, part, adapter_name=NAME)
        except ValueError as error:
            raise ConfigError(f"score.reference: the network has no layer to adapt: {error}") from error
        self.layers: list[Any] = [layer for layer in part.modules() if isinstance(layer, BaseTunerLayer)]
        self.device = device
        self.timestep: nn.Module = part.get_submodule("time_embedding")
        self.camera = _camera_embedding(int(part.get_submodule("time_embedding.linear_2").out_features))  # type: ignore[arg-type] # a linear layer's
        trained = {name: value for name, value in part.named_parameters() if f".{NAME}." in name}
        for value in trained.values():
            value.requires_grad_()
        self.module = _module_of([*trained.items(), *(("camera." + n, p) for n, p in self.camera.named_parameters())])
        self.scale = 1.0
        """Factor of the loss in the latest prediction, by which its gradients are divided."""
        for value in self.module.parameters():
            value.data = value.data.float()
            value.register_hook(self._unscaled)
        self.stay()

    def stay(self) -> None:
        """Move the parameters to their device, after the network was moved elsewhere."""
        for value in self.module.parameters():
            value.data = value.data.to(self.device)

    @contextmanager
    def absent(self) -> Iterator[None]:
        """Make the network the frozen one within a context."""
        for layer in self.layers:
            layer.enable_adapters(False)
        try:
            yield
        finally:
            for layer in self.layers:
                layer.enable_adapters(True)

    def predict(
        self, network: Callable[[], Tensor], pose: Float[Tensor, "B 16"], half: bool
    ) -> Float[Tensor, "B C h w"]:
        """Return the output of `network`, float32, told the cameras; the parameters' gradients keep small numbers.

        Args:
            pose: camera-to-world matrices; zeros: no camera.
            half: the network computes in float16, whose gradients below 6e-8 are zero: they are scaled within it.
        """
        told: Tensor = self.camera(pose.to(self.device))

        def add(module: nn.Module, inputs: Any, embedded: Tensor) -> Tensor:
            return embedded + told.to(embedded)

        with ExitStack() as stack:
            stack.callback(self.timestep.register_forward_hook(add).remove)
            output = network().float()
        self.scale = 2.0 ** (round(math.log2(output.numel())) - SPARE_BITS) if half else 1.0
        if half and output.requires_grad:
            scale = self.scale
            output.register_hook(lambda gradient: gradient * scale)
        return output

    def _unscaled(self, gradient: Tensor) -> Tensor:
        return gradient / self.scale


def _camera_embedding(width: int) -> nn.Sequential:
    """Return two layers on a pose, the last of which is zero."""
    embedding = nn.Sequential(nn.Linear(POSE_NUMBERS, width), nn.SiLU(), nn.Linear(width, width))
    for value in embedding[2].parameters():
        nn.init.zeros_(value)
    return embedding


def _module_of(named: Iterable[tuple[str, nn.Parameter]]) -> nn.Module:
    """Return a module that holds parameters under their dotted names, and nothing else of their network."""
    root = nn.Module()
    for name, parameter in named:
        *path, last = name.split(".")
        node = root
        for part in path:
            if part not in node._modules:
                node._modules[part] = nn.Module()
            node = node.get_submodule(part)
        node.register_parameter(last, parameter)
    return root
