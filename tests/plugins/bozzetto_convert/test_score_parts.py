"""Methods other than SDS become scores: settings against threestudio's formulas."""

from __future__ import annotations

import pytest

from bozzetto.math.schedules import Schedule
from bozzetto_convert.recipe_yaml import to_yaml
from bozzetto_convert.rules import UNSET, Changed, Lost
from bozzetto_convert.score_parts import image_term, inversion_scale, of_point, of_window, unified_weighting, variance
from bozzetto_convert.translate import translate

TASK = "system.tasks.random"
SCORE = f"{TASK}.score."
SDI = {"guidance_type": "stable-diffusion-sdi-guidance", "loss": {"lambda_sdi": 1.0}}


def reading(**values):
    """Read a key by the last part of its path."""
    return lambda path: values.get(path.rpartition(".")[2])


def draft_of(theirs, registry, **system):
    return translate(theirs.source(theirs.minimal(**system)), registry)


def score_of(draft):
    return {path.removeprefix(SCORE): line.value for path, line in draft.lines.items() if path.startswith(SCORE)}


def test_sds_needs_no_score(theirs, registry):
    draft = draft_of(theirs, registry, guidance={"guidance_scale": 50.0, "use_sjc": False})
    assert score_of(draft) == {} and draft.lines[f"{TASK}.guidance.cfg_scale"].value == 51.0
    assert draft.lines[f"{TASK}.losses.sds"].value == 1.0


@pytest.mark.parametrize("curve", ["sqrt", "linear"])
def test_a_falling_timestep_is_threestudios_at_every_step(curve):
    switch = {"sqrt_anneal": True} if curve == "sqrt" else {"t_anneal": True}
    read = reading(**switch, min_step_percent=0.25, max_step_percent=0.98, trainer_max_steps=10000)
    ours = Schedule.parse(of_point(0.98, read))
    for step in (0, 100, 2500, 9999, 10000):
        progress = (step / 10000) ** (0.5 if curve == "sqrt" else 1.0)
        assert ours.at(step) == pytest.approx((0.98 - 0.25) * (1.0 - progress) + 0.25)
    assert of_window(0.98, read) is UNSET
    assert isinstance(of_point(0.98, reading(**switch, min_step_percent=[0, 0.3, 0.2, 9])), Lost)


def test_sjc_is_weight_1_whatever_the_weighting(theirs, registry):
    guidance = {"use_sjc": True, "weighting_strategy": "fantasia3d", "min_step_percent": 0.01, "max_step_percent": 0.97}
    draft = draft_of(theirs, registry, system_type="sjc-system", guidance=guidance)
    expected = {"type": "distillation", "weighting": "uniform", "timesteps.min": 0.01, "timesteps.max": 0.97}
    assert score_of(draft) == {**expected, "guider.scale": 101.0}
    assert draft.lines[f"{TASK}.losses.score"].value == 1.0 and f"{TASK}.losses.sds" not in draft.lines
    assert not [note for note in draft.of("lost") if "guidance" in note.key]


def test_sjc_without_its_reduction_of_variance_is_lost():
    assert isinstance(variance(False, reading(use_sjc=True)), Lost)
    assert variance(False, reading()) is UNSET and variance(True, reading(use_sjc=True)) is UNSET


@pytest.mark.parametrize("scale", [1.0, 0.025])
def test_hifas_image_loss_is_a_multiple_of_the_latents_loss(theirs, registry, scale):
    """Both weights count there; here the weight of the score multiplies its image term as well."""
    loss = {"lambda_sds": scale, "lambda_sds_img": 0.01}
    draft = draft_of(theirs, registry, guidance={"use_img_loss": True}, loss=loss)
    assert score_of(draft)["image_term"] * draft.lines[f"{TASK}.losses.score"].value == pytest.approx(0.01)
    assert not [note for note in draft.of("lost") if "img" in note.key]


def test_an_image_loss_that_is_off_or_without_its_latents_loss(theirs, registry):
    draft = draft_of(theirs, registry, loss={"lambda_sds": 1.0, "lambda_sds_img": 0.01})
    assert score_of(draft) == {}
    assert [note.why for note in draft.of("idle") if "img" in note.key] == [
        "there is no such loss without use_img_loss"
    ]
    on = {"use_img_loss": True, "lambda_sds_img": 0.01}
    assert isinstance(image_term(True, reading(**on, lambda_sds=[0, 1.0, 2.0, 100])), Lost)
    assert isinstance(image_term(True, reading(**on, lambda_sds=0.0)), Lost)
    assert isinstance(image_term(True, reading(**on, lambda_sds=1.0, grad_clip=[0, 1, 2, 9])), Changed)
    falling = {"from": 0.02, "to": 0.04, "until_step": 100}
    given = {**on, "lambda_sds_img": [0, 0.01, 0.02, 100]}
    assert image_term(True, reading(**given, lambda_sds=0.5)) == falling


def test_sdi(theirs, registry):
    draft = draft_of(theirs, registry, **SDI, guidance={"guidance_scale": 7.5})
    assert score_of(draft) == {
        "type": "distillation", "weighting": "sigma-over-alpha", "guider.scale": 8.5, "timesteps.type": "point",
        "timesteps.at": {"from": 0.98, "to": 0.02, "until_step": 10000}, "noise.type": "inverted",
        "noise.base": "uncond", "noise.overshoot": True, "noise.scale": -6.5, "noise.spacing": 0.1, "noise.eta": 0.3,
    }  # fmt: skip
    assert draft.lines[f"{TASK}.guidance.encode"].value == "mode" and not draft.stand_ins
    assert draft.lines[f"{TASK}.losses.score"].value == 1.0 / (4 * 64 * 64)  # a mean there, a sum here


def test_sdi_with_perp_neg_counts_from_the_unconditional_prediction(theirs, registry):
    prompts = {"prompt": "a chair", "use_perp_neg": True}
    score = score_of(draft_of(theirs, registry, **SDI, prompt_processor=prompts, guidance={"guidance_scale": 7.5}))
    assert (score["guider.type"], score["guider.scale"], score["noise.scale"]) == ("perp-neg", 7.5, -7.5)
    assert isinstance(inversion_scale(-7.5, reading(enable_sdi=True, use_perp_neg=True)), Changed)


@pytest.mark.parametrize(
    ("guidance", "expected"),
    [({"t_anneal": False}, {"timesteps.shared": True}), ({"t_anneal": False, "inversion_eta": 0.0}, {}),
     ({"enable_sdi": False, "t_anneal": False}, {})],
)  # fmt: skip
def test_what_sdi_is_without_a_part_of_it_loads(theirs, registry, tmp_path, guidance, expected):
    from bozzetto_convert.command import require_loadable

    draft = draft_of(theirs, registry, **SDI, guidance=guidance)
    score = score_of(draft)
    assert {name: score.get(name) for name in expected} == expected and "timesteps.type" not in score
    assert ("noise.type" in score) == guidance.get("enable_sdi", True)
    require_loadable(to_yaml(draft), draft, registry)


def test_the_views_of_a_unified_guidance_share_their_timestep(theirs, registry):
    values = theirs.minimal(guidance_type="stable-diffusion-unified-guidance", loss={"lambda_sd": 2.0})
    for batch_size, expected in ((1, None), ([1, 4], True)):
        draft = translate(theirs.source({**values, "data": {"batch_size": batch_size}}), registry)
        assert score_of(draft).get("timesteps.shared") is expected
        assert draft.lines[f"{TASK}.losses.{'score' if expected else 'sds'}"].value == 2.0


def test_the_unified_weighting_is_of_another_alpha():
    told = unified_weighting("dreamfusion", reading())
    assert isinstance(told, Changed) and told.value == "one-minus-alpha-bar"
    assert unified_weighting("uniform", reading()) == "uniform"


def test_perp_neg_is_the_guider_of_whatever_makes_the_loss(theirs, registry):
    prompts = {"prompt": "a chair", "use_perp_neg": True}
    plain = draft_of(theirs, registry, prompt_processor=prompts)
    assert plain.lines[f"{TASK}.guidance.guider"].value == "perp-neg" and score_of(plain) == {}
    scored = draft_of(theirs, registry, prompt_processor=prompts, guidance={"use_sjc": True, "guidance_scale": 40.0})
    assert score_of(scored)["guider.type"] == "perp-neg" and score_of(scored)["guider.scale"] == 40.0


def test_profiles_leave_the_method_and_take_the_guidance_away(theirs, registry):
    lines = draft_of(theirs, registry, **SDI).lines
    cpu = {
        path.removeprefix(f"profiles.cpu.{TASK}."): line.value for path, line in lines.items() if "profiles.cpu" in path
    }
    assert (cpu["score.guider.scale"], cpu["score.noise.scale"], cpu["score.noise.spacing"]) == (1.0, 1.0, 0.2)
    assert cpu["score.timesteps.at"] == {"from": 0.6, "to": 0.3, "until_step": 800} and not cpu["score.noise.overshoot"]
    assert not [path for path in cpu if path.startswith(("guidance.cfg_scale", "guidance.weighting"))]
