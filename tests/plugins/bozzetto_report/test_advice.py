"""Tests of what is advised, and of when nothing is."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from bozzetto_report.advice import advice
from bozzetto_report.differences import Parent
from bozzetto_report.facts import Metrics, read_run

AGAIN = "seed=1"


def told(run, parent=None) -> str:
    return "\n".join(f"{tip.text} {tip.command}" for tip in advice(run, parent))


def with_opacity(run, values):
    metrics = Metrics(tuple(range(len(values))), {"random/opacity": tuple(values)})
    return replace(run, stages=(replace(run.stages[0], metrics=metrics),))


@pytest.fixture
def calm(fake_run):
    """A finished run about which there is nothing to say but how to make another."""
    return with_opacity(read_run(fake_run()), [0.2] * 40)


def test_a_calm_run(calm):
    assert [AGAIN in tip.command for tip in advice(calm, None)] == [True]
    assert advice(replace(calm, state="running"), None) == []


@pytest.mark.parametrize(
    ("opacity", "words"),
    [
        ([0.01] * 40, "nearly empty: random/opacity is 0.010"),
        ([0.95] * 40, "fills the picture: random/opacity is 0.950"),
        ([0.1 + 0.01 * step for step in range(40)], "not settled"),
        ([0.2] * 3, ""),
    ],
)
def test_opacity(calm, opacity, words):
    found = told(with_opacity(calm, opacity))
    assert words in found and (words or found.count("\n") == 0)


def test_steps_of_the_parent(calm):
    found = told(calm, Parent("dreamfusion-sd", {"trainer": {"steps": 220}}))
    assert "It trained 40 steps; dreamfusion-sd has 220" in found and "trainer.steps=220" in found
    assert "It trained" not in told(calm, Parent("short", {"trainer": {"steps": 40}}))


@pytest.mark.parametrize(
    ("measured", "words"),
    [
        ({"silhouette_overlap": 0.7}, "export.mesh.resolution=256"),
        ({"silhouette_overlap": 0.95, "object_psnr_db": 12.0}, "PSNR 12.0 dB"),
        ({"silhouette_overlap": "a lot"}, AGAIN),
        ({}, AGAIN),
    ],
)
def test_the_mesh_beside_the_scene(fake_run, measured, words):
    entry = {"files": [], "verified": {"mesh.glb": measured}, "watertight": False}
    found = told(read_run(fake_run(manifest={"exports": {"mesh": entry}})))
    assert words in found and "not watertight" in found


def test_unknown_words(fake_run, tmp_path):
    words = {"objects": ["cactus"], "colors": ["red"], "views": ["front"]}
    (tmp_path / "bozzetto.json").write_text(json.dumps(words))
    weights = {"mini": {"folder": str(tmp_path), "source": "bundled"}}
    run = read_run(fake_run(recipe={"prompt": "a cactis"}, manifest={"weights": weights}))
    assert "The words 'cactis' are unknown to the model" in told(run)
    assert "--profile cuda 'prompt=a cactis'" in told(run, Parent("dreamfusion-sd", {})).replace(
        "prompt='a cactis'", "'prompt=a cactis'"
    )
    (tmp_path / "bozzetto.json").write_text("{}")
    assert "unknown to the model" not in told(run)


def test_commands_are_quoted(fake_run):
    run = read_run(fake_run("a run; rm -rf", state="stopped"))
    assert f"--resume '{run.path}'" in told(run) and "in stage main, after step 20" in told(run)


def test_a_field_that_was_changed_is_not_overridden_when_the_run_is_resumed(steered_run):
    run = replace(read_run(steered_run), state="failed", reason="NonFiniteError: nan")
    assert "system.optimizer.clip_norm=1.0" in told(run)
    changed = replace(run, changes=(replace(run.changes[0], key="system.optimizer.clip_norm", value=2.0),))
    assert "clip_norm=1.0" not in told(changed) and "--view" in told(changed)
