"""Measure every shipped score on the bundled prior: its cost, and what judges say of the objects.

taskset -c 1 python tools/scores.py run --out RUN/scores
python tools/scores.py report --out RUN/scores --data RUN/debian

`run` trains the same prompts and seeds with each recipe that has a score, and with `dreamfusion-sd`, twice: with the
same number of steps, then with the same seconds of training, whose steps follow from the seconds per step of the first.
Schedules of a recipe are shortened in proportion to its steps. Each score and budget has a process of its own, on one
thread. A finished run is skipped when the command is repeated, a failed one is tried again. `report` judges the views
of all finished runs and writes the table in `docs/scores.md` and the sheets in `docs/gallery/scores`; `--data` is as
for tools/quality.py, whose judges these are. Seconds are processor time; since other processes still slow memory down,
`--costs` takes them from shorter runs in another folder, made while nothing else ran.

The defaults take about 45 minutes on one core for 14 scores: 100 of the recipes' 220 steps are enough for the objects
to be named, and 15 seconds are about those of 100 steps of `sds`.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from score_runs import Budget, Case, shipped_scores, steps_of, train_all

ROOT = Path(__file__).parents[1]
RECIPES = ROOT / "configs"
PROMPTS = ("a hamburger", "a teddy bear", "a red chair", "a purple vase")
"""Things whose true models both judges recognise, two of them painted in another colour; two have a clear front."""
SEEDS = (0,)
STEPS, SECONDS = 100, 15.0


def cases_of(score: str, args: argparse.Namespace, budget: Budget) -> list[Case]:
    """Return the cases of a score with a budget."""
    return [Case(score, prompt, seed, budget) for seed in args.seeds for prompt in args.prompts]


def run(args: argparse.Namespace) -> None:
    """Train what has not finished: every score with equal steps first, then with equal seconds."""
    if args.core is not None:
        os.sched_setaffinity(0, {args.core})
    scores = args.scores or shipped_scores(RECIPES)
    steps, seconds = Budget(args.steps, "steps"), Budget(args.seconds, "seconds")
    for budget in (steps, seconds):
        for score in scores:
            left = [case for case in cases_of(score, args, budget) if case.result(args.out) is None]
            if left:
                command = [sys.executable, __file__, "train", score, "--budget", budget.unit, *settings(args)]
                subprocess.run(command, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"})


def settings(args: argparse.Namespace) -> list[str]:
    """Return the arguments that choose the runs, for another process."""
    return [
        "--out", str(args.out), "--steps", str(args.steps), "--seconds", str(args.seconds), "--prompts", *args.prompts,
        "--seeds", *map(str, args.seeds),
    ]  # fmt: skip


def train(args: argparse.Namespace) -> None:
    """Train the unfinished cases of one score and budget in this process."""
    measured = cases_of(args.score, args, Budget(args.steps, "steps"))
    chosen = measured if args.budget == "steps" else cases_of(args.score, args, Budget(args.seconds, "seconds"))
    left = [case for case in chosen if case.result(args.out) is None]
    try:
        train_all(
            RECIPES / f"{args.score}.yaml", [(case, steps_of(case, args.out, measured)) for case in left], args.out
        )
    except ValueError as error:
        print(error, flush=True)


def report(args: argparse.Namespace) -> None:
    """Judge what has finished, and write the table and the sheets."""
    from score_report import costs_of, write_report

    scores = args.scores or shipped_scores(RECIPES)
    budgets = (Budget(args.steps, "steps"), Budget(args.seconds, "seconds"))
    cases = {(score, budget): cases_of(score, args, budget) for budget in budgets for score in scores}
    costs = {score: costs_of(args.costs / score) for score in scores} if args.costs else {}
    write_report(cases, args.out, args.docs, args.data, command_of(args), costs)


def command_of(args: argparse.Namespace) -> str:
    """Return the commands that make the table, without what is as by default."""
    words = ""
    for name, default in (("prompts", PROMPTS), ("seeds", SEEDS), ("steps", STEPS), ("seconds", SECONDS)):
        value = getattr(args, name)
        if isinstance(default, tuple):
            words += f" --{name} {shlex.join(map(str, value))}" if tuple(value) != default else ""
        else:
            words += f" --{name} {value:g}" if value != default else ""
    costs = " --costs RUN/costs" if args.costs else ""
    return (
        f"taskset -c 1 python tools/scores.py run --out RUN/scores{words}\n"
        f"python tools/scores.py report --out RUN/scores --data RUN/debian{words}{costs}"
    )


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(required=True)
    for action, text in ((run, "train what has not finished"), (train, "one score"), (report, "judge, write pages")):
        one = actions.add_parser(action.__name__, help=text)
        one.set_defaults(action=action)
        one.add_argument("--out", type=Path, required=True, help="folder of the runs")
        one.add_argument("--prompts", nargs="+", default=PROMPTS, metavar="PROMPT", help="default: %(default)s")
        one.add_argument("--seeds", nargs="+", type=int, default=SEEDS, metavar="N", help="default: %(default)s")
        one.add_argument("--steps", type=int, default=STEPS, help="equal steps; default: %(default)s")
        one.add_argument("--seconds", type=float, default=SECONDS, help="equal seconds; default: %(default)s")
        if action is train:
            one.add_argument("score", help="a recipe")
            one.add_argument("--budget", choices=("steps", "seconds"), required=True)
        else:
            one.add_argument("--scores", nargs="+", metavar="RECIPE", help="instead of all")
        if action is run:
            one.add_argument("--core", type=int, metavar="N", help="stay on this processor core")
        if action is report:
            one.add_argument("--data", type=Path, required=True, help="folder the Debian package of models is in")
            one.add_argument("--costs", type=Path, help="runs that give seconds a step and memory; default: --out")
            one.add_argument("--docs", type=Path, default=ROOT / "docs", help="default: %(default)s")
    return parser.parse_args(words)


def main() -> None:
    args = parsed()
    args.action(args)


if __name__ == "__main__":
    main()
