"""Tiny models, written once per session."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler
from safetensors.torch import save_file
from torch import Tensor
from transformers import ResNetConfig, ResNetForImageClassification

from bozzetto.testing.fakes import TEXT_WIDTH, tiny_stable_diffusion, tiny_zero123
from bozzetto.types import Cameras, Reference
from bozzetto_plugins.priors.camera_denoiser import Recalled
from bozzetto_plugins.priors.camera_unet import CameraUNet
from bozzetto_plugins.priors.patch_codec import PatchCodec
from bozzetto_plugins.priors.photo_recall import SIDES
from bozzetto_plugins.priors.solid_fit import draw
from bozzetto_plugins.priors.solid_memory import BITS, LARGEST, Placement, SolidMemory

BALLS = (((0.5, 0.1, -0.4), (0.9, 0.1, 0.1)), ((-0.3, -0.5, 0.0), (0.1, 0.7, 0.2)), ((-0.2, 0.4, 0.5), (0.1, 0.2, 0.9)))
"""Centre and colour of each; one is behind another from most sides."""
BALL_RADIUS = 0.35
BRICK, BRICK_COLOUR = ((2, 6), (1, 7), (3, 5)), (0.9, 0.6, 0.1)
"""Cells of eight along x, y and z that a remembered brick fills, and its colour."""


def remember(memory: SolidMemory, thing: int, colour: tuple[float, ...], takes: float, tone: float) -> None:
    """Store a `BRICK` of one colour as a thing, dense enough to be opaque.

    Args:
        takes: share of paint that it takes, in (0, 1).
        tone: logit of the brightness of the paint.
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
    """Return `brick(memory, thing, colour, takes, tone)`: see `remember`."""
    return remember


@pytest.fixture
def camera_unet() -> CameraUNet:
    """Denoiser of 16-pixel images: thing 1 is a brick without paint, thing 2 one that takes it; texts mean thing 1."""
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
        unet.recall_paint.bias.copy_(torch.tensor([-4.0, 4.0, -4.0, -9.0]))  # green, and not applied
    remember(unet.memory, 1, BRICK_COLOUR, takes=0.001, tone=0.0)
    remember(unet.memory, 2, BRICK_COLOUR, takes=0.999, tone=1.3863)  # of 1.25 four fifths: a tone of 1
    return unet


@pytest.fixture
def camera_folder(camera_unet: CameraUNet, tiny_folder: Callable[..., Path], tmp_path: Path) -> Path:
    """Return a model folder in diffusers' format with a copy of `camera_unet` as denoiser; texts select colours."""
    with torch.no_grad():
        camera_unet.recall_thing.bias.copy_(torch.tensor([0.0, 0.0, 1.0]))
        torch.nn.init.normal_(camera_unet.recall_paint.weight, std=3.0)
        camera_unet.recall_paint.bias.zero_()
    folder = Path(shutil.copytree(tiny_folder(prediction_type="v_prediction"), tmp_path / "camera"))
    for part, network in (("unet", camera_unet), ("vae", PatchCodec(latent_channels=12, block_out_channels=(12, 12)))):
        shutil.rmtree(folder / part)
        network.half().save_pretrained(folder / part)
    camera_unet.float()
    index = json.loads((folder / "model_index.json").read_text())
    index["unet"] = ["bozzetto_plugins.priors.camera_unet", "CameraUNet"]
    index["vae"] = ["bozzetto_plugins.priors.patch_codec", "PatchCodec"]
    (folder / "model_index.json").write_text(json.dumps(index))
    settings = folder / "scheduler" / "scheduler_config.json"
    zero_snr = {"rescale_betas_zero_snr": True, "beta_schedule": "scaled_linear", "timestep_spacing": "trailing"}
    zero_snr |= {"_class_name": "DDIMScheduler", "beta_start": 0.00085, "beta_end": 0.012}
    settings.write_text(json.dumps({**json.loads(settings.read_text()), **zero_snr}))
    return folder


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`tiny_folder(prediction_type="v_prediction", ...)`: return the folder of such a model; read-only."""
    made: dict[str, Path] = {}

    def folder(**options: object) -> Path:
        key = repr(sorted(options.items()))
        if key not in made:
            made[key] = tiny_stable_diffusion(tmp_path_factory.mktemp("tiny"), **options)
        return made[key]

    return folder


@pytest.fixture(scope="session")
def zero123_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny Zero123; read-only."""
    return tiny_zero123(tmp_path_factory.mktemp("zero123") / "model")


@pytest.fixture(scope="session")
def photograph_balls() -> Callable[[Cameras], Tensor]:
    """Return `photograph_balls(cameras)`: images "V H W 3" of three coloured balls on white."""

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


def carved(
    memory: SolidMemory, row: int, solid: Tensor, half_side: tuple[float, ...], colour: tuple[float, ...]
) -> None:
    """Store a thing in a memory: the solid voxels of "G G G", all of one colour, which take paint."""
    features = memory.spec.feature_count
    raw = torch.tensor([6.0, *torch.logit(torch.tensor(colour), eps=1e-3).tolist(), 6.0, 0.0])
    with torch.no_grad():
        memory.table[row], memory.scale[row] = 127, 1.0
        for layer, value in ((memory.first, 1.0 / features), (memory.second, 1.0 / memory.second.shape[1])):
            layer[row] = value
        memory.last[row] = raw[:, None] / memory.last.shape[2]
        memory.half_side[row], memory.centre[row] = torch.tensor(half_side), torch.zeros(3)
        bits = solid.flatten().view(-1, 8).to(torch.uint8) << torch.arange(8, dtype=torch.uint8)
        memory.occupied[row] = bits.sum(dim=1).to(torch.uint8)


@pytest.fixture(scope="session")
def solids_unet() -> CameraUNet:
    """Photo denoiser of 32 pixels with a red step (row 1), a blue plate (2) and a green post (3)."""
    torch.manual_seed(0)
    unet = CameraUNet(
        in_channels=96, sample_size=8, cross_attention_dim=16, block_out_channels=(8,), norm_num_groups=4, things=4,
        grid_levels=1, grid_base_resolution=2, grid_finest_resolution=2, grid_log2_table_size=5, hidden_width=4,
        occupancy_cells=8, step_size=0.03, told="photo",
    )  # fmt: skip
    torch.nn.init.zeros_(unet.refine.conv_out.weight)
    torch.nn.init.zeros_(unet.refine.conv_out.bias)
    step = torch.ones(8, 8, 8, dtype=torch.bool)
    step[4:, :, 4:] = False
    carved(unet.memory, 1, step, (0.5, 0.35, 0.5), (0.8, 0.1, 0.1))
    carved(unet.memory, 2, torch.ones(8, 8, 8, dtype=torch.bool), (0.6, 0.4, 0.08), (0.1, 0.1, 0.8))
    carved(unet.memory, 3, torch.ones(8, 8, 8, dtype=torch.bool), (0.1, 0.1, 0.6), (0.1, 0.6, 0.1))
    return unet.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def photograph(solids_unet: CameraUNet) -> Callable[..., Reference]:
    """Return `photograph(recalled, cameras)`: a photo of a placed thing, 64 pixels wide, on masked black."""

    def photo(recalled: Recalled, cameras: Cameras) -> Reference:
        large = Cameras(cameras.c2w, cameras.fov_y_rad, 64, 64)
        drawn = draw(solids_unet.memory, recalled, large.rays())[0].permute(1, 2, 0)
        mask = drawn[..., 3:].clamp(0.0, 1.0)
        return Reference(drawn[..., :3] / mask.clamp(min=1e-3), mask, large)

    return photo


def placed(
    row: int, turn_deg: float = 0.0, stretch: tuple[float, ...] = (1.0, 1.0, 1.0), shift: tuple[float, ...] = (0.0,) * 3,
    paint: tuple[float, ...] | None = None,
) -> Recalled:  # fmt: skip
    """Return a thing of the memory, rotated, stretched, moved and painted."""
    place = Placement(torch.tensor([math.radians(turn_deg)]), torch.tensor([stretch]).log(), torch.tensor([shift]))
    colour, put = torch.tensor([paint or (0.0,) * 3]), torch.tensor([float(paint is not None)])
    return Recalled(torch.tensor([row]), colour, put, place)


@pytest.fixture(scope="session")
def solids_folder(tmp_path_factory: pytest.TempPathFactory, solids_unet: CameraUNet) -> Path:
    """Return the folder of a photo prior with the memory of `solids_unet` and an untrained encoder."""
    folder = tiny_zero123(tmp_path_factory.mktemp("solids") / "model")
    for part in ("unet", "vae", "image_encoder"):
        shutil.rmtree(folder / part)
    solids_unet.save_pretrained(folder / "unet")
    PatchCodec().save_pretrained(folder / "vae")
    scores = 4 * SIDES
    config = ResNetConfig(
        embedding_size=4, hidden_sizes=[4, 4], depths=[1, 1], layer_type="basic", num_labels=scores, image_size=16,
        projection_dim=scores,
    )  # fmt: skip
    encoder = ResNetForImageClassification(config)
    torch.nn.init.zeros_(encoder.classifier[1].weight)
    torch.nn.init.zeros_(encoder.classifier[1].bias)
    encoder.classifier[1].bias.data[:SIDES] = -1e4
    encoder.save_pretrained(folder / "image_encoder")
    layer = {"proj.weight": torch.eye(16), "proj.bias": torch.zeros(16)}
    save_file(layer, folder / "clip_camera_projection" / "diffusion_pytorch_model.safetensors")
    DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
    ).save_pretrained(folder / "scheduler")  # fmt: skip
    return folder
