"""Command line: one command per step. Listing the steps imports no torch."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module

from bozzetto.errors import did_you_mean

USAGE = "tools/priors"


@dataclass(frozen=True)
class Step:
    """One command: the module below this package whose `main` takes its arguments, and a one-line summary."""

    module: str
    summary: str


STEPS: dict[str, Step] = {
    "render-views": Step("views.render_views", "render 120 training views of each piece"),
    "pack-views": Step("views.pack_views", "compress the views for training on another machine"),
    "train-radiance-fields": Step("training.train_radiance_fields", "fit a small radiance field to each piece"),
    "train-text-encoder": Step("training.train_text_encoder", "train the recognition of thing and colour in prompts"),
    "train-refinement": Step("training.train_refinement", "train the network that adds details to renderings"),
    "train-image-encoder": Step("training.train_image_encoder", "train the recognition of piece and side in photos"),
    "export-text-prior": Step("export.export_text_prior", "write the folder of the text prior, bozzetto-mini"),
    "export-photo-prior": Step(
        "export.export_photo_prior", "write the folder of the photo prior, bozzetto-mini-zero123"
    ),
    "write-attribution": Step("export.write_attribution", "write the credits of the models into a folder"),
    "render-example-photos": Step("views.render_example_photos", "render photos for recipes and documentation"),
    "sample-phrases": Step("judges.sample_phrases", "sample the text prior beside the true models: docs/samples.md"),
    "judge-true-models": Step("judges.judge_true_models", "classify the true models with the photograph judge"),
    "evaluate-photo-prior": Step("judges.evaluate_photo_prior", "compare silhouettes of what the photo prior makes"),
}
"""Steps in the order in which they are run."""


def step_parser(step: str, description: str | None) -> argparse.ArgumentParser:
    """Return the parser of a step, with its module's docstring as description."""
    return argparse.ArgumentParser(
        prog=f"{USAGE} {step}", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def main(arguments: Sequence[str]) -> int:
    """Run the step that the first argument names, and return the exit status."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(overview(), file=sys.stdout if arguments else sys.stderr)
        return 0 if arguments else 2
    name, *options = arguments
    if name not in STEPS:
        nearest = did_you_mean(name, STEPS)
        print(f"There is no step {name!r}.{nearest} `{USAGE} --help` lists the steps.", file=sys.stderr)
        return 2
    import_module(f"{__package__}.{STEPS[name].module}").main(options)
    return 0


def overview() -> str:
    """Return the list of the steps."""
    rows = "\n".join(f"  {name:<22} {step.summary}" for name, step in STEPS.items())
    return (
        f"usage: {USAGE} STEP [OPTIONS]\n\n"
        f"Train, export and evaluate the bundled priors.\n\n"
        f"steps, in order; `{USAGE} STEP --help` shows the options of one:\n{rows}"
    )
