"""Data-parallel training of one stage by several processes of this machine. Imports Lightning Fabric."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor, distributed, nn

from bozzetto.engine.processes import ProcessLostError
from bozzetto.engine.shares import Share
from bozzetto.engine.stopping import StopSignals
from bozzetto.engine.system import System
from bozzetto.errors import PluginError
from bozzetto.kinds.geometry import RowChange

HOST = "127.0.0.1"
PATIENCE = timedelta(days=2)
"""Longest wait for another process in an exchange by gloo: the first process exports pictures meanwhile. The wait ends
at once if the other process ends.
"""
PATIENCE_OF_GPUS = timedelta(minutes=10)
"""Longest wait in an exchange by NCCL, which all processes enter together."""


class SeveralProcesses:
    """This process and others, connected by gloo on a CPU, and by NCCL with a GPU each.

    Every step has the same exchanges in every process. A process that fails ends, whereupon the exchanges of the others
    raise `ProcessLostError`.
    """

    def __init__(self, fabric: Fabric, share: Share, stop: StopSignals) -> None:
        self.fabric, self.share, self.stop = fabric, share, stop
        nccl = distributed.get_backend() == "nccl"
        self.control = distributed.new_group(backend="gloo", timeout=PATIENCE) if nccl else distributed.group.WORLD
        """Group for tensors in main memory."""

    def copy_state(self, system: System) -> None:
        """Give every process the first one's parameters, buffers and random numbers; before the first step."""
        with _lost():
            for value in (*system.parameters(), *system.buffers()):
                distributed.broadcast(value.detach(), src=0)
        self.align(system)

    def align(self, system: System) -> None:
        """Give every process the first one's occupancy and random numbers."""
        state = system.generator.get_state()
        with _lost():
            distributed.broadcast(state, src=0, group=self.control)
            for name, buffer in system.named_buffers():
                if name.startswith("renderer."):
                    distributed.broadcast(buffer, src=0)
        system.generator.set_state(state)

    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Average the gradients, and make a request to stop known everywhere.

        A parameter has a gradient if it has one in any process.
        """
        parameters = [parameter for parameter in parameters if parameter.requires_grad]
        found = torch.tensor([self.stop.requested, *(parameter.grad is not None for parameter in parameters)])
        with _lost():
            distributed.all_reduce(found, distributed.ReduceOp.MAX, group=self.control)
        requested, *present = found.tolist()
        self.stop.requested = self.stop.requested or requested
        gradients = []
        for parameter, there in zip(parameters, present, strict=True):
            if there and parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            if parameter.grad is not None:
                gradients.append(parameter.grad)
        if gradients:
            flat = torch.cat([gradient.flatten() for gradient in gradients])
            with _lost():
                mean = self.fabric.all_reduce(flat, reduce_op="mean")
            assert isinstance(mean, Tensor)  # as a tensor is given
            for gradient, part in zip(gradients, mean.split([one.numel() for one in gradients]), strict=True):
                gradient.copy_(part.view_as(gradient))

    def agree(self, changes: Mapping[str, RowChange]) -> Mapping[str, RowChange]:
        """Return the first process's changes of rows, which must be of the same parameters and numbers everywhere."""
        mine = zlib.crc32(repr([(name, len(changes[name].source)) for name in sorted(changes)]).encode())
        both = torch.tensor([mine, -mine])
        with _lost():
            distributed.all_reduce(both, distributed.ReduceOp.MAX, group=self.control)
        if int(both.sum()):  # the largest is not the smallest
            raise PluginError(
                "The processes of this training would change the rows of the geometry's parameters differently. Its "
                "method adapt may depend on parameters, gradients, buffers, step and generator alone. Report this to "
                "its author, or set trainer.devices=1."
            )
        return {name: self._from_first(changes[name]) for name in sorted(changes)}

    def _from_first(self, change: RowChange) -> RowChange:
        values, source, fresh = change.values.contiguous(), change.source.contiguous(), change.fresh.to(torch.uint8)
        with _lost():
            for tensor in (values, source, fresh):
                distributed.broadcast(tensor, src=0)
        return RowChange(values, source, fresh.bool())


@contextmanager
def connected(share: Share, port: int, device: torch.device, stop: StopSignals) -> Iterator[SeveralProcesses]:
    """Connect this process with the others of a training within a context.

    Args:
        port: of the first process, which waits for the others.
        device: of the training; with `cuda`, each process uses the GPU of its number.

    Raises:
        ProcessLostError: another process has ended before it was connected.
    """
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    backend = "nccl" if device.type == "cuda" else "gloo"
    timeout = PATIENCE_OF_GPUS if backend == "nccl" else PATIENCE
    strategy = DDPStrategy(process_group_backend=backend, timeout=timeout)
    environment = _Environment(share, port)
    fabric = Fabric(accelerator=device.type, strategy=strategy, devices=share.count, plugins=[environment])
    try:
        with _lost():
            fabric.launch()
        yield SeveralProcesses(fabric, share, stop)
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()


@contextmanager
def _lost() -> Iterator[None]:
    """Raise `ProcessLostError` for the errors of torch's exchanges, which have no type of their own."""
    try:
        yield
    except RuntimeError as error:
        raise ProcessLostError(f"another process of this training has ended: {error}") from error


class _Environment(ClusterEnvironment):
    """Processes of this machine that are started by the first one."""

    def __init__(self, share: Share, port: int) -> None:
        super().__init__()
        self.share, self.port = share, port

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        return HOST

    @property
    def main_port(self) -> int:
        return self.port

    @staticmethod
    def detect() -> bool:
        return False

    def world_size(self) -> int:
        return self.share.count

    def set_world_size(self, size: int) -> None:
        pass

    def global_rank(self) -> int:
        return self.share.rank

    def set_global_rank(self, rank: int) -> None:
        pass

    def local_rank(self) -> int:
        return self.share.rank

    def node_rank(self) -> int:
        return 0
