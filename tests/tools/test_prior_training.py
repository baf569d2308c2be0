"""Several processes train one denoiser; a pool of latents is encoded once."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import torch
from diffusers import AutoencoderKL

import data
import latent_pool
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


def test_a_pool_is_filled_once_and_goes_on_as_it_was_saved(tmp_path: Path, tiny_vae: AutoencoderKL) -> None:
    grey = torch.full((2, 3, 64, 64), 128, dtype=torch.uint8)
    camera, one = torch.tensor([[0.0, 0.0, 3.2], [180.0, 0.0, 3.2]]), torch.ones(2)
    views = data.Views(grey, grey, grey[:, :1], camera, camera, one, torch.tensor([0, 1]), one)
    source = latent_pool.Source(tiny_vae, views, random.Random(0), coloured_every=2)
    pool = source.fill(tmp_path / "pool.pt", 128)
    assert pool.filled == 128 and pool.white.float().mean() == 0.5
    again = source.fill(tmp_path / "pool.pt", 128)
    assert again.captions == pool.captions and again.filled == 128
    assert torch.equal(again.latents, pool.latents) and torch.equal(again.white, pool.white)
    source.renew(again, turn=1, count=3)
    assert again.captions[3:] == pool.captions[3:] and not torch.equal(again.latents[:3], pool.latents[:3])


def test_processes_share_means_and_copy_the_first(tmp_path: Path) -> None:
    tools = Path(training.__file__).parent
    started = [
        subprocess.Popen([sys.executable, "-c", TOGETHER, str(tools), str(tmp_path / "meet"), str(rank)])
        for rank in range(2)
    ]
    assert [process.wait(60) for process in started] == [0, 0]
