"""Train steps of shipped recipes on the pretend device, in a process of its own, and print what waited for the host.

python -m tests.framework.pretend.steps FOLDER   # from the project's root; reads lines RECIPE:PROFILE

Each line is answered by one of JSON: what waited, by stage, or the `error`.
"""

from __future__ import annotations

import json
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import torch
from tests.framework.pretend import device as pretend
from tests.plugins.guidance.editing_models import tiny_controlnet, tiny_instruct_pix2pix
from tests.plugins.guidance.model_families import tiny

from bozzetto.config.loading import load_recipe
from bozzetto.engine.build import build_system
from bozzetto.engine.loop import Loop
from bozzetto.engine.optimizer import make_optimizer
from bozzetto.errors import NonFiniteError
from bozzetto.recipe import Recipe
from bozzetto.registry.discovery import Registry
from bozzetto.registry.sources import installed_sources
from bozzetto.testing.fakes import tiny_stable_diffusion, tiny_zero123
from bozzetto.testing.run import small
from bozzetto_plugins.guidance import image_embedding, photo_tokens
from gpu_check.families import FAMILIES, IMAGEDREAM
from gpu_check.priors import random_networks

ROOT = Path(__file__).parents[3]
STEPS = 2
"""Steps of each stage: in the first one everything is new and the occupancy is updated, the last one is counted."""


def stages(
    recipe: Recipe, registry: Registry, weights: dict[str, Path], with_nan: bool
) -> Iterator[tuple[str, dict[str, int]]]:
    """Train each stage from scratch, and yield its name and the host synchronisations of its last step.

    Args:
        with_nan: then train a step that is not finite, and yield what is said of it.
    """
    for stage in recipe.stages:
        system = build_system(stage, recipe, registry, weights, pretend.DEVICE, None, lambda line: None)
        system.begin()
        loop = Loop(system, make_optimizer(system.scene_parameters(), stage.optimizer))
        for _ in range(STEPS - 1):
            loop.step()
        with pretend.counting() as syncs:
            loop.step()
            found = {f"{what} at {where}": count for (what, where), count in syncs.items()}
        assert system.metrics["gradient_norm"] > 0.0
        yield stage.name, found
    if with_nan:
        yield "not finite", {told_of_nan(loop): 1}


def told_of_nan(loop: Loop) -> str:
    """Train a step with a geometry that is not finite, and return what reading the metrics raises."""
    with torch.no_grad():
        for parameter in loop.system.geometry.parameters():
            parameter.fill_(float("nan"))
    loop.step()  # does not wait, so cannot know
    try:
        return str(dict(loop.system.metrics))
    except NonFiniteError as error:
        return str(error)


def number_positions() -> None:
    """Let image encoders number their positions anew: on the device, transformers leaves that buffer unfilled."""
    real = image_embedding.load_with_info

    def load(*arguments):
        encoder, facts = real(*arguments)
        for module in encoder.modules():
            if "position_ids" in module._buffers:
                module.position_ids = torch.arange(module.position_ids.shape[-1])[None]
        return encoder, facts

    image_embedding.load_with_info = photo_tokens.load_with_info = load


def models_below(folder: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """Write tiny models; return them by the name of their guidance, and those of other families by their recipe."""
    models = {
        "": tiny_stable_diffusion(folder / "text"),
        "zero123": tiny_zero123(folder / "photo"),
        "latents": tiny_stable_diffusion(folder / "latents", latent_channels=48),
        "image-dream": tiny.imagedream(folder / "views"),
        "edits": tiny_instruct_pix2pix(folder / "edits"),
    }
    models["controls"] = tiny_controlnet(folder / "control", models[""], seed=1)
    made = [family for family in FAMILIES if family is not IMAGEDREAM]  # whose files are read, as those of others
    return models, {family.recipe: family.write(folder / family.recipe, tiny=True) for family in made}


def waits(
    case: str, registry: Registry, folder: Path, models: dict[str, Path], settings: dict[str, Path]
) -> dict[str, dict[str, int]]:
    """Train each stage of a case; return what waited for the host, by the case and the stage."""
    name, _, profile = case.partition(":")
    profile, with_nan = profile.removesuffix("+nan"), profile.endswith("+nan")
    chosen = models | ({"": settings[name]} if name in settings else {})
    if case == "latent-nerf:cpu":  # as many latents as the bundled prior has
        chosen[""] = models["latents"]
    if name == "edit-ip2p":
        chosen[""] = models["edits"]
    recipe = small(load_recipe(ROOT / "configs" / f"{name}.yaml", registry, profile=profile), chosen, folder)
    networks = random_networks(torch.device("cpu")) if name in settings else nullcontext()
    result = {}
    with networks, pretend.Mode():
        for stage, found in stages(recipe, registry, {str(path): path for path in chosen.values()}, with_nan):
            result[f"{case}:{stage}"] = found
            print(case, stage, sum(found.values()), found, file=sys.stderr, flush=True)
    return result


def main() -> None:
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    answers, sys.stdout = sys.stdout, sys.stderr
    folder = Path(sys.argv[1])
    models, settings = models_below(folder)
    registry = Registry.discover(installed_sources({}), strict=True)
    pretend.install()
    number_positions()
    for line in sys.stdin:
        try:
            answer = waits(line.strip(), registry, folder, models, settings)
        except Exception:  # of this case; the next one is another
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
