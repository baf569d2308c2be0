"""Tests of the command line: arguments, messages and exit codes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bozzetto.cli import main

ROOT = Path(__file__).parents[3]
RECIPE = str(ROOT / "configs" / "dreamfusion-sd.yaml")


def run(capsys, *arguments):
    code = main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["system.geometry.denisty_bias=none"], "system.geometry.denisty_bias is not a field of HashGridConfig. Did you mean 'density_bias'?"),
        (["system.geometry.type=hash-gird"], "there is no geometry named 'hash-gird'. Did you mean 'hash-grid'?"),
        (["prompt="], 'prompt is missing. Say what to make: prompt="a hamburger".'),
        (["system.tasks.random.guidance.model=bozzeto-mini"], "Did you mean 'bozzetto-mini'?"),
        (["system.tasks.random.guidance.model=./no/such/folder"], "/no/such/folder"),
        (["system.tasks.random.guidance.model=bozzetto-mini-zero123"], "guidance.model: bozzetto-mini-zero123 is a model for the guidance zero123"),
        (["--profile", "gpu"], "has no profile 'gpu'"),
        (["steps"], "'steps' is not an override. Write key=value"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("dry", [["--dry-run"], []], ids=["dry", "real"])
def test_a_mistake_is_one_message_and_exit_code_2(capsys, tmp_path, monkeypatch, arguments, message, dry):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, "--config", RECIPE, *dry, *arguments)
    assert code == 2 and err.startswith("error: ") and message in err and "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_cannot_be_fetched_says_what_to_do(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "empty"))
    model = "system.tasks.random.guidance.model=nobody/nothing-at-all"
    code, _, err = run(capsys, "--config", RECIPE, model)
    assert code == 2 and "nobody/nothing-at-all" in err and "bozzetto-mini" in err and "Traceback" not in err


def test_a_recipe_that_is_not_there_names_its_neighbours(capsys):
    code, _, err = run(capsys, "--config", str(ROOT / "configs" / "dreamfusion.yaml"))
    assert code == 2 and "There is no recipe" in err and "dreamfusion-sd.yaml" in err


def test_check_needs_no_torch_and_says_ok():
    code = f"import sys; from bozzetto.cli import main; rc = main(['check', {RECIPE!r}, '--profile', 'cpu']); sys.exit(rc or 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "ok: the recipe is valid" in done.stdout and "bozzetto-mini" in done.stdout


def test_check_tells_which_words_the_prior_never_saw(capsys):
    code, out, _ = run(capsys, "check", RECIPE, "--profile", "cpu", "prompt=a hamburgr")
    assert code == 0 and "the words 'hamburgr' are unknown to the model" in out and "Nearest: hamburger" in out
    assert "unknown to the model" not in run(capsys, "check", RECIPE, "--profile", "cpu", "prompt=a red hamburger")[1]


def test_a_dry_run_of_the_cuda_profile_names_everything_it_would_load(capsys):
    code, out, _ = run(capsys, "--config", RECIPE, "--profile", "cuda", "--dry-run")
    assert code == 0
    for text in ("profile   cuda", "device    cuda", "stable-diffusion", "GB", "hash-grid", "10000 steps", "licence"):
        assert text in out


def test_help_and_version(capsys):
    assert run(capsys, "--help")[1].startswith("Bozzetto: words in")
    assert run(capsys, "--version")[1].startswith("bozzetto ")


def test_a_run_from_the_command_line_and_its_second_export(capsys, tiny):
    code, out, err = run(capsys, "--config", str(tiny.recipe_file()), "prompt=../a red chair", "trainer.steps=2")
    assert code == 0, err
    assert '"../a red chair"' in out and "weights" in out and "done in" in out
    (folder,) = (tiny.folder / "outputs" / "tiny").iterdir()
    assert folder.name.startswith("a-red-chair-") and f"run       {folder}" in out
    code, out, err = run(capsys, "export", str(folder), "export.mesh.formats=[ply]", "export.turntable=null")
    assert code == 0 and "mesh.ply" in out, err


def started(*arguments):
    """Start a run in a process that receives Ctrl-C, unlike background jobs of a shell."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / "launch.py"), *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "COLUMNS": "80"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_signal_saves_and_says_how_to_go_on(tiny, number):
    path = tiny.recipe_file({"trainer": {"steps": 100000, "image_every": 0, "checkpoint_every": 100000}})
    process = started("--config", path)
    metrics = tiny.folder / "outputs" / "tiny"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not list(metrics.glob("*/metrics/main.csv")):
        time.sleep(0.2)
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number, out
    (folder,) = metrics.iterdir()
    assert f"--resume {folder}" in out and "Traceback" not in out
    assert (folder / "checkpoints" / "main.ckpt").is_file()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_signal_in_the_first_seconds(tiny, number):
    """While torch is being imported, where an exception would abort the process."""
    process = started("--config", tiny.recipe_file())
    while "weights" not in (line := process.stdout.readline()) and line:
        pass
    time.sleep(0.3)
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number and "stopped" in out and "Traceback" not in out, out
