"""Benchmark candidates: implementations of a kernel, their forward and backward passes, and third-party peers."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Candidate:
    """Implementation of a kernel bound to one problem."""

    run: Callable[[Tensor], Tensor]
    """Maps the input tensor (positions, vertices or texture coordinates) to the output."""
    parameters: tuple[Tensor, ...] = ()
    """Tensors that `run` also reads and that receive gradients; they require grad."""


@dataclass(frozen=True)
class Peer:
    """Third-party implementation of a kernel."""

    kernel: str
    label: str
    make: Callable[[Any], Candidate]
    """Builds a candidate from the problem of its kernel (see `bozzetto_bench.cases`)."""


def forward(candidate: Candidate, x: Tensor) -> Callable[[], object]:
    """Return a callable that runs the forward pass without gradients."""

    def run() -> Tensor:
        with torch.no_grad():
            return candidate.run(x)

    return run


def backward(candidate: Candidate, x: Tensor, with_input: bool = False) -> Callable[[], object]:
    """Return a callable that runs forward and backward; gradients to parameters, and to the input if `with_input`."""
    start = x.detach().clone().requires_grad_(with_input)
    wanted = (*candidate.parameters, start) if with_input else candidate.parameters
    with torch.no_grad():
        cotangent = torch.ones_like(candidate.run(x))  # keeps the memory layout of the candidate's own output

    def run() -> Sequence[Tensor]:
        return torch.autograd.grad(candidate.run(start), wanted, cotangent)

    return run


def find_peers(folder: Path | None) -> tuple[list[Peer], list[str]]:
    """Return the peers that can run on this machine, and a note for each one that cannot.

    A peer is a Python file with `KERNEL`, `LABEL`, `NEEDS` (a required module, or ""), an optional `UNLESS` (the peer
    is skipped if this module is available) and `make(problem) -> Candidate`.
    """
    peers, notes = [], []
    for path in sorted(folder.glob("*.py")) if folder is not None else []:
        module = _load(path)
        reason = missing(module.NEEDS)
        if reason:
            notes.append(f"{module.LABEL}: {reason}")
        elif not getattr(module, "UNLESS", "") or missing(module.UNLESS):
            peers.append(Peer(module.KERNEL, module.LABEL, module.make))
    return peers, notes


def with_peers(own: dict[str, Candidate], kernel: str, problem: object, peers: Iterable[Peer]) -> dict[str, Candidate]:
    """Return the built-in candidates and those of the kernel's peers, by label."""
    return {**own, **{peer.label: peer.make(problem) for peer in peers if peer.kernel == kernel}}


def missing(module: str) -> str:
    """Return the reason why a module cannot be imported; empty if it can be, or if `module` is empty."""
    package = module.partition(".")[0]
    if not module:
        return ""
    if importlib.util.find_spec(package) is None:
        return f"{package} is not installed"
    try:
        importlib.import_module(module)
    except (ImportError, OSError, RuntimeError) as error:
        return f"{package} is installed but does not work here ({error})"
    return ""


def _load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"bozzetto_bench_peer_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
