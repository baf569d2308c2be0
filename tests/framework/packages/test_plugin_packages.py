"""Tests of third-party packages: write, install with pip, list, check, test and train; effects of broken ones."""

import json

import pytest

from bozzetto.kinds import KINDS

pytestmark = pytest.mark.slow

STATUS = {
    "raises": "broken: RuntimeError: no luck",
    "interrupts": "broken: KeyboardInterrupt: mine",
    "wrongapi": "incompatible: loss api 99, this host has 1",
    "clash": "CONFLICT",
    "plainconfig": "broken: bozzetto_plainconfig.part_config:Plain is not a dataclass",
    "madeconfig": "ok",  # not visible in its source text
    "notarget": "broken: bozzetto_notarget.part has no Nowhere",
    "slow": "slow: imports torch",
}
BROKEN = tuple(STATUS)
"""The broken packages."""


def test_every_package_is_listed_and_no_broken_one_stops_the_list(bozzetto):
    code, out, err = bozzetto("plugins", "list", "--json")
    assert code == 0, err
    rows = json.loads(out)
    found = {
        (row["kind"], row["name"]): row["status"] for row in rows if row["distribution"].startswith("bozzetto-my-")
    }
    assert found == {(kind, f"my-{kind}"): "ok" for kind in KINDS}
    told = {row["distribution"].removeprefix("bozzetto-"): row["status"] for row in rows if row["version"] == "1.2"}
    assert told == STATUS
    (ours,) = [row for row in rows if row["name"] == "sparsity" and row["distribution"] == "bozzetto"]
    assert ours["status"] == "CONFLICT"


def test_packages_that_work_import_nothing_heavy_to_be_listed(run):
    code = "import sys; from bozzetto.cli import main; rc = main(['plugins', 'list']); sys.exit(rc or 'torch' in sys.modules)"
    assert run("-c", code, only="none")[0] == 0


def test_the_contracts_hold_and_every_recipe_trains(run, place, tmp_path):
    """Runs the tests of all packages in one process."""
    folders = [place.source(f"bozzetto-my-{kind}") / "tests" for kind in KINDS]
    ini = tmp_path / "pytest.ini"
    ini.write_text("[pytest]\nmarkers = gpu: needs a CUDA device\n")
    packages = ",".join(f"bozzetto_my_{kind}".replace("-", "_") for kind in KINDS)
    options = ["-q", "--import-mode=importlib", f"--jaxtyping-packages={packages},beartype.beartype"]
    options += ["-p", "no:cacheprovider", "-c", ini, "--rootdir", place.folder]
    code, out, err = run("-m", "pytest", *options, *folders, only="none")
    assert code == 0, out[-3000:] + err[-3000:]
    assert " passed" in out and "failed" not in out


def test_a_run_that_uses_no_broken_plugin_is_not_disturbed_by_them(bozzetto, place, tmp_path):
    """A shipped recipe, from the command line to its export, beside broken packages."""
    code, out, err = bozzetto(
        "--config", "bozzetto-my-exporter/my-exporter", "--profile", "cpu", "trainer.steps=1", "trainer.image_every=0",
        "system.tasks.random.views.height=16", "system.tasks.random.views.width=16", "export.mesh=null",
        "export.turntable=null", "export.my-exporter.resolution=12", "export.my-exporter.threshold=0.01",
        f"system.tasks.random.guidance.model={place.model}",
        only=" ".join(name for name in BROKEN if name not in ("clash", "slow")),
    )  # fmt: skip
    assert code == 0, out + err
    (written,) = (tmp_path / "outputs" / "my-exporter").glob("*/export/my-exporter.xyz")
    assert len(written.read_text().splitlines()[0].split()) == 6
    manifest = json.loads((written.parents[1] / "manifest.json").read_text())
    assert manifest["plugins"]["bozzetto-my-exporter"] == "0.1.0"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("raises", "there is no loss named 'raises'"),
        ("wrongapi", "incompatible: loss api 99, this host has 1. Install a newer bozzetto."),
        (
            "plainconfig",
            "bozzetto_plainconfig.part_config:Plain is not a dataclass. Tell the authors of bozzetto-plainconfig.",
        ),
        ("madeconfig", "its config bozzetto_madeconfig.part_config:made is not a dataclass"),
        ("notarget", "bozzetto_notarget.part has no Nowhere"),
    ],
)
def test_a_recipe_that_uses_a_broken_one_is_told_before_anything_heavy(bozzetto, tmp_path, name, message):
    (tmp_path / "mine.yaml").write_text(
        f"extends: dreamfusion-sd\nsystem:\n  tasks:\n    random:\n      losses:\n        {name}: 1.0\n"
    )
    code, _, err = bozzetto("check", "mine.yaml", "--profile", "cpu", only=name)
    assert code == 2 and message in err and "mine.yaml:6" in err and "Traceback" not in err, err


def test_a_clash_is_an_error_only_for_a_bare_name_of_ones_own(bozzetto, tmp_path):
    """The shipped recipe contains `sparsity`, too, and uses the component it was shipped with."""
    recipe = ["check", "dreamfusion-sd", "--profile", "cpu"]
    code, out, err = bozzetto(*recipe, only="clash")
    assert code == 0 and "ok: the recipe is valid" in out, err
    text = "extends: texture-mesh\nsystem:\n  tasks:\n    random:\n      losses:\n        sparsity: {}\n"
    for losses, expected in (("{type: sparsity}", 2), ("{type: bozzetto/sparsity}", 0)):
        (tmp_path / "mine.yaml").write_text(text.format(losses))
        code, _, err = bozzetto("check", "mine.yaml", "--profile", "cpu", only="clash")
        assert code == expected, err
        assert expected == 0 or "Write 'bozzetto/sparsity' or 'bozzetto-clash/sparsity'" in err


def test_strict_turns_every_broken_plugin_into_an_error(bozzetto):
    broken = " ".join(name for name in BROKEN if name != "slow")
    code, out, err = bozzetto("plugins", "list", only=broken, BOZZETTO_STRICT_PLUGINS="1")
    assert code == 2 and out == ""
    for name in ("raises", "plainconfig", "notarget"):
        assert f"bozzetto-{name}" in err
    assert bozzetto("plugins", "list", only="none", BOZZETTO_STRICT_PLUGINS="1")[0] == 0


def test_requirements_of_a_recipe_come_first(bozzetto, tmp_path):
    text = "extends: bozzetto-my-loss/my-loss\nplugins: ['bozzetto-my-loss>=7']\nnonsense: 1\n"
    (tmp_path / "mine.yaml").write_text(text)
    code, _, err = bozzetto("check", "mine.yaml", only="none")
    assert code == 2 and "mine.yaml:2: plugins[0]: 'bozzetto-my-loss>=7' is wanted, 0.1.0 is installed." in err
    (tmp_path / "mine.yaml").write_text("extends: bozzetto-my-loss/my-loss\nplugins: [bozzetto-raises]\n")
    code, _, err = bozzetto("check", "mine.yaml", only="raises")
    assert code == 2 and "bozzetto-raises 1.2 failed to load: RuntimeError: no luck" in err
