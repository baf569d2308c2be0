"""Tests of what a recipe with a score must and must not give."""

import numpy as np
import pytest
import torch
from PIL import Image

from bozzetto.engine.pipeline import load_state
from bozzetto.engine.run_folder import RunFolder
from bozzetto.errors import ConfigError, PluginError
from bozzetto.testing.fakes import cameras_around
from bozzetto.types import Rendered
from bozzetto_plugins.prompt_processor.config import ViewDependentConfig

SCORED = {"guidance": {"cfg_scale": None}, "score": "distillation", "losses": {"sds": None, "score": 1.0}}


@pytest.fixture
def photo(tmp_path):
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[16:48, 16:48] = (200, 30, 30, 255)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return str(tmp_path / "photo.png")


def recipe(tiny, changes=None, overrides=()):
    task = {**SCORED, **(changes or {})}
    return tiny.recipe({"system": {"tasks": {"random": task}}}, overrides)


def test_the_losses_are_those_of_the_score(tiny):
    stage = recipe(tiny).stages[0]
    (task,) = stage.tasks
    assert task.score in stage.components
    assert task.score.name == "distillation" and task.terms[-1].name == "score" and task.terms[-1].component is None
    with pytest.raises(PluginError, match="The score makes: score"):
        recipe(tiny, {"losses": {"score": 1.0, "sds": 1.0}})


@pytest.mark.parametrize(
    "field", ["cfg_scale=7", "weighting=uniform", "min_step_fraction=0.1", "guider=cfg", "debug=false"]
)
def test_what_the_score_replaces_is_refused_even_at_its_default(tiny, field):
    name = field.partition("=")[0]
    with pytest.raises(ConfigError, match=rf"system.tasks.random.guidance.{name}: has no effect beside score"):
        recipe(tiny, overrides=[f"system.tasks.random.guidance.{field}"])


def test_what_belongs_to_the_model_is_kept(tiny):
    overrides = ["system.tasks.random.guidance.encode=mode", "system.tasks.random.guidance.dtype=float32"]
    assert recipe(tiny, overrides=overrides).stages[0].tasks[0].guidance.config.encode == "mode"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"guidance": None}, "random.score: 'guidance' is missing, and a score needs its predictions"),
        ({"losses": {"sds": None, "sparsity": 1.0}}, "random.losses: the score 'distillation' makes score, which has no weight"),
        ({"score": {"type": "distillation", "guider": "perp-neg"}}, "random.score.guider: 'perp-neg' needs negative prompts"),
        ({"score": {"type": "distillation", "noise": "inverted"}}, "random.score.noise: 'inverted' finds the noise of given latents"),
        (
            {"score": {"type": "distillation", "noise": "consistent"}},
            "random.score.noise: 'consistent' is the same whenever a camera returns, and the guidance adds fresh noise to the "
            "latents. Set system.tasks.random.guidance.encode=mode",
        ),
        (
            {"score": {"type": "distillation", "guider": {"rescale": 0.5, "rescale_over": "group"}}},
            "random.score.guider: rescale_over 'group' needs views in groups, and the views of this task, 'orbit', have none. "
            "Set system.tasks.random.views.views_per_group, e.g. to 4, or guider.rescale_over=view",
        ),
        (
            {"score": {"type": "distillation", "timesteps": {"shared": "group"}}},
            "random.score.timesteps: shared 'group' needs views in groups",
        ),
        (
            {"score": {"type": "distillation", "image_term": 0.1},
             "guidance": {"cfg_scale": None, "as_latent_until_step": 5}},
            "random.score.image_term: compares images, and in the warm-up of the guidance",
        ),
        ({"score": {"type": "distillation", "guider": {"type": "cgf"}}}, "random.score.guider.type: 'cgf' is not one of"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused(tiny, changes, message):
    with pytest.raises(ConfigError) as caught:
        recipe(tiny, changes)
    assert message in str(caught.value)


GROUPS = {
    "views": {"views_per_group": 2, "batch_size": 4},
    "score": {"type": "distillation", "guider": {"rescale": 0.5, "rescale_over": "group"}, "timesteps": {"shared": "group"}},
}  # fmt: skip


def test_the_prior_is_told_of_groups_and_never_given_a_part_of_one(tiny, monkeypatch):
    """All branches are predicted in one batch, in which the views of a group stay neighbours."""
    system = tiny.system(recipe(tiny, GROUPS))
    prior_of, seen = system.tasks[0].guidance.source.prior, []
    denoiser = system.tasks[0].guidance.source.denoiser
    predict = denoiser.predict
    monkeypatch.setattr(
        denoiser, "predict", lambda noisy, t, *rest: seen.append((len(noisy), t)) or predict(noisy, t, *rest)
    )
    cameras = system.tasks[0].views.sample(0, system.generator)
    assert prior_of(system.tasks[0].condition.for_view(cameras), cameras, 0).views_per_group == 2
    system.prepare(0)
    system.run_tasks(0)
    ((count, timestep),) = seen
    assert count == 8 and torch.equal(timestep[:4], timestep[4:])
    pairs = timestep.unflatten(0, (4, 2))
    assert torch.equal(pairs[:, 0], pairs[:, 1]) and pairs[0, 0] != pairs[1, 0]


CONSISTENT = {
    "guidance": {"cfg_scale": None, "encode": "mode"},
    "score": {"type": "distillation", "noise": {"type": "consistent", "refresh_steps": 3}},
}


def trained(tiny, changes, steps, folder=None, seed=0):
    """Return the folder of a run, begun or resumed."""
    made = tiny.recipe({
        "trainer": {"steps": steps, "image_every": 0, "checkpoint_every": 100}, "export": None, "seed": seed,
        "system": {"tasks": {"random": {**SCORED, **changes}}},
    })  # fmt: skip
    pipeline = tiny.pipeline(made, folder)
    if folder is not None:
        pipeline.folder.write_recipe(made)
    pipeline.train(made, 0)
    return pipeline.folder


@pytest.mark.parametrize("changes", [GROUPS, CONSISTENT], ids=["groups", "consistent"])
def test_training_goes_on_bit_for_bit_after_a_resume(tiny, changes):
    """Also in the middle of an epoch of consistent noise, of which nothing is saved."""
    whole = load_state(trained(tiny, changes, 4).checkpoint("main"))
    begun = RunFolder.existing(trained(tiny, changes, 2).path)
    resumed = load_state(trained(tiny, changes, 4, begun).checkpoint("main"))
    assert whole.keys() == resumed.keys() and all(torch.equal(resumed[name], value) for name, value in whole.items())


def test_consistent_noise_is_of_the_run_s_seed_and_of_its_own(tiny):
    def noise(seed, own):
        score = {"type": "distillation", "noise": {"type": "consistent", "seed": own, "background_opacity": 0.0}}
        made = tiny.recipe({"seed": seed, "system": {"tasks": {"random": {**SCORED, **CONSISTENT, "score": score}}}})
        system = tiny.system(made)
        guidance, cameras = system.tasks[0].guidance, cameras_around([0.0], size=16)
        flat = torch.ones(1, 16, 16, 1)
        like = torch.zeros(1, 4, 8, 8)
        rendered = Rendered(torch.zeros(1, 16, 16, 3), flat, flat)
        return guidance.score._consistent(guidance.score.config.noise, cameras, rendered, like, 0)

    assert torch.equal(noise(1, 0), noise(1, 0))
    assert not torch.equal(noise(1, 0), noise(2, 0)) and not torch.equal(noise(1, 0), noise(1, 1))


def test_groups_are_shared_out_whole(tiny):
    with pytest.raises(ConfigError, match=r"views\.batch_size: must be a multiple of views_per_group \(2\) times "
                                          r"trainer\.devices \(4\), for a group is not divided among"):  # fmt: skip
        recipe(tiny, GROUPS, ["trainer.devices=4"])


def test_texts_that_the_prompt_processor_does_not_give_are_refused(tiny, monkeypatch):
    monkeypatch.setattr(ViewDependentConfig, "text_branches", frozenset({"cond", "uncond"}))
    empty = {"score": {"type": "distillation", "guider": {"type": "mix", "empty": -1}, "reference": "none"}}
    message = "random.score.guider: needs the text of empty, which prompt processor 'view-dependent' does not give"
    with pytest.raises(ConfigError, match=message):
        recipe(tiny, empty)
    assert recipe(tiny).stages[0].tasks[0].score is not None


def test_a_branch_of_another_tasks_guidance_is_refused(tiny, tiny_zero123_model, photo):
    """Whatever the order of the tasks."""
    nfsd = {"type": "distillation", "guider": "nfsd", "reference": "none"}
    posed = {"views": "orbit", "score": nfsd, "losses": {"score": 1.0},
             "guidance": {"type": "zero123", "model": str(tiny_zero123_model)}}  # fmt: skip
    photos = {"views": {"type": "single-image", "image": photo}, "losses": {"reference-mask": 1.0}}
    for name in ("another", "zero"):
        tasks = {"random": {**SCORED, "score": nfsd}, name: posed, "photo": photos}
        with pytest.raises(ConfigError) as caught:
            tiny.recipe({"system": {"tasks": tasks}})
        assert (
            f"system.tasks.{name}.score.guider: needs predictions of empty, which guidance 'zero123' of task {name!r} "
            "cannot give; 'stable-diffusion' of task 'random' gives them to that task alone"
        ) in str(caught.value)
        assert tiny.recipe({"system": {"tasks": {**tasks, name: {**posed, "score": "distillation"}}}})


def test_a_scored_run_trains(tiny):
    made = recipe(tiny, {"guidance": {"cfg_scale": None, "encode": "mode"},
                         "score": {"type": "distillation", "noise": "inverted", "timesteps": {"type": "point"}}})  # fmt: skip
    pipeline = tiny.pipeline(made)
    pipeline.train(made, 0)
    header = (pipeline.folder.metrics / "main.csv").read_text().splitlines()[0]
    assert "random/score" in header and "random/sds" not in header
