"""Tests of what a recipe with a score must and must not give."""

import pytest

from bozzetto.errors import ConfigError, PluginError

SCORED = {"guidance": {"cfg_scale": None}, "score": "distillation", "losses": {"sds": None, "score": 1.0}}


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
        ({"score": {"type": "distillation", "guider": {"type": "cgf"}}}, "random.score.guider.type: 'cgf' is not one of"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused(tiny, changes, message):
    with pytest.raises(ConfigError) as caught:
        recipe(tiny, changes)
    assert message in str(caught.value)


def test_a_scored_run_trains(tiny):
    made = recipe(tiny, {"guidance": {"cfg_scale": None, "encode": "mode"},
                         "score": {"type": "distillation", "noise": "inverted", "timesteps": {"type": "point"}}})  # fmt: skip
    pipeline = tiny.pipeline(made)
    pipeline.train(made, 0)
    header = (pipeline.folder.metrics / "main.csv").read_text().splitlines()[0]
    assert "random/score" in header and "random/sds" not in header
