"""ProlificDreamer's guidances become a score with the reference `adapter`; without such a score SDS stands in."""

from __future__ import annotations

import typing

import pytest

from bozzetto.registry.discovery import Registry
from bozzetto_convert import command
from bozzetto_convert.recipe_yaml import to_yaml
from bozzetto_convert.translate import translate
from bozzetto_plugins.score.axes import ReferenceConfig

TASK = "system.tasks.random"
REFERENCE = f"{TASK}.score.reference."
TYPES = typing.get_args(typing.get_type_hints(ReferenceConfig)["type"])
with_adapters = pytest.mark.skipif("adapter" not in TYPES, reason="the installed score has no reference 'adapter'")
OPTIMIZER = {
    "name": "AdamW", "args": {"lr": 0.01, "betas": [0.9, 0.99]}, "params": {"guidance": {"lr": 0.0002}},
}  # fmt: skip
VSD = {
    "system_type": "prolificdreamer-system", "guidance_type": "stable-diffusion-vsd-guidance",
    "loss": {"lambda_vsd": 2.0, "lambda_lora": 1.0}, "optimizer": OPTIMIZER,
}  # fmt: skip
UNIFIED = {
    "guidance_type": "stable-diffusion-unified-guidance", "loss": {"lambda_sd": 2.0, "lambda_train_phi": 1.0},
    "optimizer": OPTIMIZER,
}  # fmt: skip


def draft_of(theirs, registry, given, **guidance):
    return translate(theirs.source(theirs.minimal(**given, guidance=guidance)), registry)


def reference_of(draft):
    return {
        path.removeprefix(REFERENCE): line.value for path, line in draft.lines.items() if path.startswith(REFERENCE)
    }


@with_adapters
@pytest.mark.parametrize(("given", "guidance", "dropout"), [(VSD, {}, None), (UNIFIED, {"guidance_type": "vsd"}, 0.0)])
def test_the_network_phi_is_an_adapter_with_its_part_of_the_optimizer(theirs, registry, given, guidance, dropout):
    draft = draft_of(theirs, registry, given, guidance_scale=7.5, **guidance)
    found = reference_of(draft)
    assert found.pop("camera_dropout", None) == dropout  # ours is 0.1, as that of stable-diffusion-vsd-guidance
    assert found == {"type": "adapter", "warm_up_steps": 0, "lr": 0.0002, "betas": [0.9, 0.99], "weight_decay": 0.01}
    assert draft.lines[f"{TASK}.score.guider.scale"].value == 7.5  # from the unconditional prediction in both
    assert draft.lines[f"{TASK}.losses.score"].value == 2.0 and not draft.stand_ins
    assert not [note for note in draft.of("lost") if "guidance" in note.key or "loss" in note.key]


@with_adapters
def test_settings_that_an_adapter_does_not_have_are_said(theirs, registry):
    given = {"lora_n_timestamp_samples": 2, "guidance_scale_lora": 3.0, "camera_condition_type": "mvp"}
    draft = draft_of(theirs, registry, VSD, use_img_loss=True, **given)
    lost = " ".join(note.key for note in draft.of("lost"))
    assert all(name in lost for name in ("guidance_scale_lora", "camera_condition_type", "use_img_loss"))
    assert reference_of(draft)["steps"] == 2
    changed = {note.key: note.why for note in draft.of("changed")}
    assert "more steps" in changed["system.guidance.lora_n_timestamp_samples"]


@with_adapters
@pytest.mark.parametrize("installed", [True, False])
def test_it_converts_where_the_package_of_adapters_is_missing(theirs, registry, monkeypatch, installed):
    monkeypatch.setattr(command, "installed", lambda package: installed)
    draft = draft_of(theirs, registry, VSD)
    if not installed:
        command.require_loadable(to_yaml(draft), draft, registry)
    assert reference_of(draft)["type"] == "adapter"


def test_without_such_a_score_sds_stands_in_and_is_said(theirs, registry):
    kept = {key: entries for key, entries in registry.entries.items() if key != ("score", "distillation")}
    draft = draft_of(theirs, Registry(registry.manager, kept), VSD, guidance_scale=7.5)
    (said,) = draft.stand_ins
    assert said.startswith("system.guidance_type stable-diffusion-vsd-guidance: there is no score 'distillation'")
    assert reference_of(draft) == {} and draft.lines[f"{TASK}.losses.sds"].value == 1.0
    lost = {note.key for note in draft.of("lost")}
    assert {"system.loss.lambda_vsd", "system.loss.lambda_lora", "system.optimizer.params.guidance.lr"} <= lost


def test_what_only_vsd_trains_is_not_needed_without_it(theirs, registry):
    draft = draft_of(theirs, registry, UNIFIED, guidance_type="sds")
    idle = {note.key for note in draft.of("idle")}
    assert {"system.loss.lambda_train_phi", "system.optimizer.params.guidance.lr"} <= idle
    assert not draft.of("lost") and reference_of(draft) == {}
