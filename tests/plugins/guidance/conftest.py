"""Tiny models, written once per session."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bozzetto.testing.fakes import TEXT_WIDTH, tiny_stable_diffusion, tiny_zero123
from bozzetto.types import Cameras
from bozzetto_plugins.guidance.camera_unet import CameraUNet
from bozzetto_plugins.guidance.patch_codec import PatchCodec
from bozzetto_plugins.guidance.solid_memory import BITS, LARGEST, SolidMemory

BALLS = (((0.5, 0.1, -0.4), (0.9, 0.1, 0.1)), ((-0.3, -0.5, 0.0), (0.1, 0.7, 0.2)), ((-0.2, 0.4, 0.5), (0.1, 0.2, 0.9)))
"""Centre and colour of each; one is behind another from most sides."""
BALL_RADIUS = 0.35
BRICK, BRICK_COLOUR = ((2, 6), (1, 7), (3, 5)), (0.9, 0.6, 0.1)
"""Cells of eight along x, y and z that a remembered brick fills, and its colour."""


def remember(memory: SolidMemory, thing: int, colour: tuple[float, ...], takes: float, tone: float) -> None:
    """Make a thing a `BRICK` of one colour all over, dense enough to hide what is behind.

    Args:
        takes: how far it takes paint, in (0, 1).
        tone: logit of the tone that paint gets.
    """
    raw = torch.tensor([6.5, *torch.logit(torch.tensor([*colour, takes])).tolist(), tone])
    width, features = memory.first.shape[1:]
    memory.table[thing], memory.scale[thing] = int(LARGEST), 1.0  # every feature is 1 everywhere
    memory.first[thing], memory.second[thing] = 1.0 / features, 1.0 / width
    memory.last[thing] = raw[:, None].expand(-1, width) / width
    memory.half_side[thing] = 0.5
    solid = torch.zeros(memory.cells, memory.cells, memory.cells, dtype=torch.uint8)
    solid[tuple(slice(*some) for some in BRICK)] = 1
    memory.occupied[thing] = (solid.view(-1, BITS) << torch.arange(BITS)).sum(dim=1).to(torch.uint8)


@pytest.fixture(scope="session")
def brick() -> Callable[..., None]:
    """`brick(memory, thing, colour, takes, tone)`: see `remember`."""
    return remember


@pytest.fixture
def camera_unet() -> CameraUNet:
    """Pictures of 16 pixels; thing 1 is a brick that takes no paint, thing 2 one that does. All texts mean thing 1."""
    torch.manual_seed(0)
    unet = CameraUNet(
        in_channels=12, out_channels=12, sample_size=8, cross_attention_dim=TEXT_WIDTH, block_out_channels=(8, 8),
        norm_num_groups=4, things=3, grid_levels=2, grid_base_resolution=2, grid_finest_resolution=4,
        grid_log2_table_size=8, hidden_width=4, occupancy_cells=8,
    ).eval()  # fmt: skip
    for name, value in unet.named_parameters():
        if name.startswith(("recall", "refine.conv_out")):
            torch.nn.init.zeros_(value)
    with torch.no_grad():
        unet.recall_thing.bias.copy_(torch.tensor([0.0, 1.0, 0.0]))
        unet.recall_paint.bias.copy_(torch.tensor([-4.0, 4.0, -4.0, -9.0]))  # green, and not put on
    remember(unet.memory, 1, BRICK_COLOUR, takes=0.001, tone=0.0)
    remember(unet.memory, 2, BRICK_COLOUR, takes=0.999, tone=1.3863)  # of 1.25 four fifths: a tone of 1
    return unet


@pytest.fixture
def camera_folder(camera_unet: CameraUNet, tiny_folder: Callable[..., Path], tmp_path: Path) -> Path:
    """A whole model in diffusers' format with `camera_unet` as its denoiser; a copy of its own."""
    folder = Path(shutil.copytree(tiny_folder(prediction_type="v_prediction"), tmp_path / "camera"))
    for part, network in (("unet", camera_unet), ("vae", PatchCodec(latent_channels=12, block_out_channels=(12, 12)))):
        shutil.rmtree(folder / part)
        network.half().save_pretrained(folder / part)
    camera_unet.float()
    index = json.loads((folder / "model_index.json").read_text())
    index["unet"] = ["bozzetto_plugins.guidance.camera_unet", "CameraUNet"]
    index["vae"] = ["bozzetto_plugins.guidance.patch_codec", "PatchCodec"]
    (folder / "model_index.json").write_text(json.dumps(index))
    settings = folder / "scheduler" / "scheduler_config.json"
    zero_snr = {"rescale_betas_zero_snr": True, "beta_schedule": "scaled_linear", "timestep_spacing": "trailing"}
    zero_snr |= {"_class_name": "DDIMScheduler", "beta_start": 0.00085, "beta_end": 0.012}
    settings.write_text(json.dumps({**json.loads(settings.read_text()), **zero_snr}))
    return folder


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`tiny_folder(prediction_type="v_prediction", ...)`: the folder of such a model; read it, never write to it."""
    made: dict[str, Path] = {}

    def folder(**options: object) -> Path:
        key = repr(sorted(options.items()))
        if key not in made:
            made[key] = tiny_stable_diffusion(tmp_path_factory.mktemp("tiny"), **options)
        return made[key]

    return folder


@pytest.fixture(scope="session")
def zero123_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny Zero123; read it, never write to it."""
    return tiny_zero123(tmp_path_factory.mktemp("zero123") / "model")


@pytest.fixture(scope="session")
def photograph_balls() -> Callable[[Cameras], Tensor]:
    """`photograph_balls(cameras)`: pictures "V H W 3" of three coloured balls over white."""

    def pictures(cameras: Cameras) -> Tensor:
        rays = cameras.rays()
        nearest = torch.full((len(rays.origin),), float("inf"))
        colours = torch.ones(len(rays.origin), 3)
        for centre, colour in BALLS:
            to_ray = rays.origin - torch.tensor(centre)
            along = (to_ray * rays.direction).sum(-1)
            inside = along.square() - to_ray.square().sum(-1) + BALL_RADIUS**2
            distance = -along - inside.clamp(min=0.0).sqrt()
            hit = (inside > 0.0) & (distance < nearest)
            nearest, colours[hit] = torch.where(hit, distance, nearest), torch.tensor(colour)
        return colours.view(len(cameras), cameras.height, cameras.width, 3)

    return pictures
