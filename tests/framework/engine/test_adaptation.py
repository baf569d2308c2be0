"""Tests of parameters whose rows change during training: Adam's state goes along, and runs resume to the same tensors."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from bozzetto.engine.adaptation import replace_rows, take_rows
from bozzetto.engine.checkpoints import restore
from bozzetto.engine.loop import Loop
from bozzetto.engine.optimizer import make_optimizer
from bozzetto.engine.pipeline import load_scene, load_state
from bozzetto.engine.run_folder import RunFolder
from bozzetto.engine.undeclared import check_undeclared
from bozzetto.errors import PluginError, RunFolderError
from bozzetto.kinds.geometry import RowChange
from bozzetto.math.schedules import Schedule
from bozzetto.recipe import OptimizerConfig
from bozzetto.registry.discovery import Registry, installed_sources
from bozzetto.testing.geometry import GeometryContract

HERE = Path(__file__).parent / "growing"


@pytest.fixture(autouse=True)
def growing(monkeypatch):
    """Return the module of the geometry, which a worker finds too."""
    monkeypatch.syspath_prepend(HERE)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]))
    monkeypatch.setenv("BOZZETTO_PLUGINS", "growing=growing_manifest")
    import growing_blobs

    yield growing_blobs
    for name in ("growing_blobs", "growing_manifest"):
        sys.modules.pop(name, None)


@pytest.fixture
def blobs(tiny, growing):
    """Return the factory of tiny runs, which knows the geometry."""
    tiny.registry = Registry.discover(installed_sources(os.environ), strict=True)
    return tiny


def recipe_of(tiny, steps=7, name="growing", fault="", every=3, devices=1, stages=None):
    rates = {"geometry.position": {"from": 0.02, "to": 0.01, "until_step": 7}, "geometry.color": 0.03}
    return tiny.recipe(
        {
            "trainer": {"steps": steps, "devices": devices, "image_every": 0, "checkpoint_every": 100},
            "system": {
                "geometry": {"type": name, "count": 6, "every": every, "fault": fault},
                "material": {"type": "no-material"},
                "tasks": {"random": {"views": {"batch_size": 2}}},
                "optimizer": {"lr": 0.01, "lr_of": rates, "clip_norm": 1.0},
            },
            "export": None,
            **({"stages": stages} if stages else {}),
        }
    )


def trained(tiny, recipe, folder=None):
    pipeline = tiny.pipeline(recipe, folder)
    pipeline.train(recipe, 0)
    return pipeline.folder


def state_of(folder, stage="main"):
    return load_state(folder.checkpoint(stage))


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


class HandAdam:
    """Adam (Kingma and Ba 2015, algorithm 1) of each row by itself, in double precision."""

    def __init__(self, values, lr, betas, eps):
        self.rows = [[row.double(), torch.zeros(2).double(), torch.zeros(2).double()] for row in values]
        self.lr, self.betas, self.eps, self.step = lr, betas, eps, 0

    def move(self, gradient):
        self.step += 1
        (b1, b2), t = self.betas, self.step
        for row, g in zip(self.rows, gradient.double(), strict=True):
            row[1] = b1 * row[1] + (1 - b1) * g
            row[2] = b2 * row[2] + (1 - b2) * g * g
            row[0] = row[0] - self.lr * (row[1] / (1 - b1**t)) / ((row[2] / (1 - b2**t)).sqrt() + self.eps)

    @property
    def values(self):
        return torch.stack([row[0] for row in self.rows]).float()


class TestOptimizer:
    def test_the_averages_go_with_the_rows_as_in_an_adam_by_hand(self):
        draw = torch.Generator().manual_seed(0)
        owner = nn.Module()
        owner.wide, owner.other = nn.Parameter(torch.randn(3, 2, generator=draw)), nn.Parameter(torch.ones(4))
        config = OptimizerConfig(lr=Schedule.constant(0.1), lr_of={"wide": Schedule.constant(0.03)})
        optimizer = make_optimizer(list(owner.named_parameters()), config)
        hand = HandAdam(owner.wide.detach(), 0.03, config.betas, config.eps)
        for _ in range(5):
            owner.wide.grad, owner.other.grad = torch.randn(3, 2, generator=draw), torch.ones(4)
            optimizer.step()
            hand.move(owner.wide.grad)
        source, fresh = torch.tensor([2, 0, 2, 0, 1]), torch.tensor([False, False, True, True, False])
        old, other = owner.wide, optimizer.state[owner.other]["exp_avg"]
        new = replace_rows(owner, "wide", RowChange(owner.wide.detach()[source] + 0.5, source, fresh), optimizer)
        hand.rows = [[hand.rows[i][0] + 0.5, *hand.rows[i][1:]] for i in source.tolist()]
        for row in (2, 3):
            hand.rows[row][1:] = [torch.zeros(2).double()] * 2
        assert owner.wide is new and old not in optimizer.state and optimizer.state[owner.other]["exp_avg"] is other
        assert [group["prefix"] for group in optimizer.param_groups if new in set(group["params"])] == ["wide"]
        for _ in range(5):
            new.grad, owner.other.grad = torch.randn(5, 2, generator=draw), torch.ones(4)
            optimizer.step()
            hand.move(new.grad)
            torch.testing.assert_close(new.detach(), hand.values, rtol=1e-5, atol=1e-6)
        assert float(optimizer.state[new]["step"]) == 10.0

    def test_before_the_first_step_there_is_no_state_to_move(self):
        owner = nn.Linear(2, 3)
        optimizer = make_optimizer(list(owner.named_parameters()), OptimizerConfig())
        rows = torch.tensor([0, 0])
        new = replace_rows(owner, "weight", RowChange(torch.ones(2, 2), rows, rows > 0), optimizer)
        assert owner.weight is new and new in set(optimizer.param_groups[0]["params"]) and not optimizer.state

    def test_averages_of_another_shape_in_a_checkpoint_are_damage(self, tmp_path):
        """The fused Adam would read beyond their end."""
        owner = nn.Linear(2, 3)
        optimizer = make_optimizer(list(owner.named_parameters()), OptimizerConfig())
        owner(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        state, draw = optimizer.state_dict(), torch.Generator()
        state["state"][0]["exp_avg"] = torch.zeros(1, 2)
        saved = {"optimizer_states": [state], "generator_state": draw.get_state(), "global_step": 1}
        with pytest.raises(RunFolderError, match=r"damaged: ValueError, exp_avg \(1, 2\) of a parameter \(3, 2\)"):
            restore([optimizer], draw, saved, tmp_path / "stages" / "main.ckpt")


def test_only_rows_are_taken_from_a_state():
    owner = nn.BatchNorm1d(3)
    take_rows(owner, {"weight": torch.zeros(5), "running_mean": torch.zeros(4), "bias": torch.zeros(5, 1)})
    assert owner.weight.shape == (5,) and owner.bias.shape == (3,) and owner.running_mean.shape == (4,)
    assert set(owner.state_dict()) == set(nn.BatchNorm1d(3).state_dict())


class TestContract(GeometryContract):
    gives_normals = False
    starts_as_ball = False
    adapts_after = 3

    @pytest.fixture(autouse=True)
    def _growing(self, growing):
        self.growing = growing

    def make(self):
        from growing_manifest import GrowingConfig

        return self.growing.Growing(GrowingConfig())


class TestRuns:
    @pytest.mark.parametrize("name", ["growing", "restored"])
    @pytest.mark.parametrize("stop", [2, 3, 4])
    def test_stopped_before_at_and_after_a_change_it_ends_with_the_same_tensors(self, blobs, stop, name):
        whole = trained(blobs, recipe_of(blobs, name=name))
        folder = trained(blobs, recipe_of(blobs, steps=stop, name=name))
        again = recipe_of(blobs, name=name, fault="needs a file" if name == "restored" else "")
        folder = trained(blobs, again, RunFolder.existing(folder.path))
        expected, actual = state_of(whole), state_of(folder)
        assert len(expected["geometry.position"]) == len(expected["geometry.seen"]) == 8
        assert_same(actual, expected)
        one, other = (
            torch.load(run.checkpoint("main"), weights_only=True)["optimizer_states"][0] for run in (whole, folder)
        )
        assert one["param_groups"] == other["param_groups"] and one["state"].keys() == other["state"].keys()
        for index, state in one["state"].items():
            assert_same(other["state"][index], state)

    def test_a_finished_scene_has_the_rows_of_its_checkpoint(self, blobs):
        recipe = recipe_of(blobs, steps=4)
        scene = load_scene(recipe, blobs.registry, trained(blobs, recipe), torch.device("cpu"))
        assert len(scene.geometry.position) == len(scene.geometry.color.weight) == 7

    def test_the_next_stage_inherits_the_rows_and_goes_on(self, blobs):
        other = {"system": {"geometry": {"count": 5}}, "inherit": ["geometry"]}  # the count at first, without effect
        recipe = recipe_of(blobs, steps=4, stages={"one": {}, "two": other})
        check_undeclared(recipe, blobs.registry, torch.device("cpu"))
        pipeline = blobs.pipeline(recipe)
        pipeline.train(recipe, 0)
        before = state_of(pipeline.folder, "one")
        started = pipeline.begun(recipe, 1).system.state_dict()
        for name in ("position", "color.weight", "seen"):
            assert (
                torch.equal(started[f"geometry.{name}"], before[f"geometry.{name}"])
                and len(before["geometry.seen"]) == 7
            )
        pipeline.train(recipe, 1)
        assert len(state_of(pipeline.folder, "two")["geometry.position"]) == 8

    @pytest.mark.slow
    def test_two_processes_change_the_same_rows(self, blobs):
        alone = state_of(trained(blobs, recipe_of(blobs)))
        together = state_of(trained(blobs, recipe_of(blobs, devices=2)))
        for name, value in alone.items():
            torch.testing.assert_close(together[name].float(), value.float(), rtol=1e-3, atol=1e-4)

    @pytest.mark.slow
    def test_processes_that_decide_differently_are_told(self, blobs):
        with pytest.raises(PluginError, match="would change the rows of the geometry's parameters differently"):
            trained(blobs, recipe_of(blobs, devices=2, fault="of this process"))


class TestOutsideOfTheContract:
    @pytest.mark.parametrize(
        ("fault", "message"),
        [
            ("data", r"parameter geometry\.position has the shape \(7, 3\) and had \(6, 3\) at step 2"),
            ("grown", r"parameter geometry\.position has the shape \(7, 3\) and had \(6, 3\) at step 2"),
            ("object", r"parameter geometry\.position was replaced by another object at step 2"),
            ("adapt", r"parameter geometry\.position was replaced by another object at step 2"),
            ("removed", r"parameter geometry\.color\.weight was removed at step 2"),
            ("added", r"parameter geometry\.extra was added at step 2"),
        ],
    )
    def test_a_changed_parameter_is_named_with_the_contract(self, blobs, fault, message):
        with pytest.raises(PluginError, match=f"^geometry Growing: its {message}.*kinds.geometry.Adaptive") as error:
            trained(blobs, recipe_of(blobs, fault=fault, every=0))
        assert "\n" not in str(error.value)

    def test_any_other_part_is_watched_too(self, tiny):
        system = tiny.system(tiny.recipe())
        loop = Loop(system, make_optimizer(list(system.named_parameters()), system.optimizer_config))
        loop.step()
        system.background.extra = nn.Parameter(torch.zeros(2))
        with pytest.raises(PluginError, match=r"^background RandomSolid: its parameter background\.extra was added"):
            loop.step()

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"name": "positon"}, "changes 'positon', which is no parameter. Did you mean 'position'?"),
            ({"values": torch.zeros(2, 4)}, r"values \(2, 4\), source \(2,\) and fresh \(2,\) are not the rows"),
            ({"values": torch.zeros(3, 3)}, r"values \(3, 3\)"),
            ({"values": torch.zeros(2, 3).double()}, "the values are torch.float64 on cpu, not torch.float32 on cpu"),
            ({"source": torch.tensor([0, 6])}, "source names rows outside of 0 to 5"),
            ({"source": torch.tensor([-1, 0])}, "source names rows outside of 0 to 5"),
            ({"source": torch.tensor([0, 1], dtype=torch.int32)}, "source is torch.int32"),
            (
                {"values": torch.zeros(0, 3), "source": torch.zeros(0).long(), "fresh": torch.zeros(0).bool()},
                r"values \(0, 3\)",
            ),
        ],
    )
    def test_changes_that_do_not_fit_are_named(self, blobs, change, message):
        system = blobs.system(recipe_of(blobs))
        loop = Loop(system, make_optimizer(list(system.named_parameters()), system.optimizer_config))
        whole = {"values": torch.zeros(2, 3), "source": torch.tensor([0, 5]), "fresh": torch.tensor([True, False])}
        whole |= {key: value for key, value in change.items() if key != "name"}
        wrong = object.__new__(RowChange)  # not checked by annotations
        wrong.__dict__.update(whole)
        system.geometry.adapt = lambda done, generator: {change.get("name", "position"): wrong}
        with pytest.raises(PluginError, match=message):
            loop.step()
