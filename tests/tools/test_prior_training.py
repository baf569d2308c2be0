"""Several processes train one network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import training

TOGETHER = """
import sys, torch, torch.distributed as together
sys.path.insert(0, sys.argv[1])
import training
own = float(sys.argv[3])
alone = [torch.tensor(own)]
training.share(alone)
training.copy_first(alone)
assert alone[0] == own and training.join_others() == (0, 1)
together.init_process_group("gloo", init_method="file://" + sys.argv[2], rank=int(own), world_size=2)
values = [torch.full((2, 3), own), torch.tensor(4 * own)]
training.share(values)
assert (values[0] == 0.5).all() and values[1] == 2.0, values
first = [torch.full((2,), own, requires_grad=True)]
training.copy_first(first)
assert not first[0].any(), first
together.barrier()
together.destroy_process_group()  # at exit its threads would abort a process now and then
"""


def test_processes_share_means_and_copy_the_first(tmp_path: Path) -> None:
    tools = Path(training.__file__).parent
    started = [
        subprocess.Popen([sys.executable, "-c", TOGETHER, str(tools), str(tmp_path / "meet"), str(rank)])
        for rank in range(2)
    ]
    assert [process.wait(60) for process in started] == [0, 0]
