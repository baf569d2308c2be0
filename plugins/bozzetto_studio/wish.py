"""What a visitor asks for on the page of a new run, as words of the command line. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bozzetto.errors import UserError, did_you_mean
from bozzetto_studio.offers import Offer
from bozzetto_studio.uploads import Kind, Uploads, kind_of


@dataclass(frozen=True)
class Wish:
    """Content of the form, as it was filled in."""

    prompt: str = ""
    file: str = ""
    """Name of a kept upload; empty: none."""
    recipe: str = ""
    profile: str = "auto"
    seed: str = ""
    lines: str = ""
    """Further overrides, one `key=value` a line."""

    @classmethod
    def of(cls, form: Mapping[str, str], file: str) -> Wish:
        """Return the wish of a form."""
        given = {name: form.get(name, "").strip() for name in ("prompt", "recipe", "profile", "seed", "lines")}
        return cls(**{**given, "profile": given["profile"] or "auto"}, file=file)

    @property
    def kind(self) -> Kind:
        """What the run starts from."""
        return kind_of(self.file)

    def words(self, known: Sequence[Offer], uploads: Uploads, output: Path) -> list[str]:
        """Return the words after `bozzetto`.

        Args:
            output: folder of all runs.

        Raises:
            UserError: something is missing, or does not fit what the run starts from.
        """
        offer = next((one for one in known if one.name == self.recipe), None)
        fitting = [one.name for one in known if one.fits == self.kind]
        if offer is None:
            near = did_you_mean(self.recipe, fitting)
            raise UserError(f"recipe: there is no {self.recipe!r}.{near} Known: {', '.join(fitting)}.")
        if offer.fits != self.kind:
            what = {"words": "a prompt alone", "photo": "a photo", "mesh": "a mesh"}
            raise UserError(
                f"recipe: {offer.name} starts from {what[offer.fits]}, and what is given is {what[self.kind]}. "
                f"Choose one of: {', '.join(fitting)}."
            )
        if not self.prompt and self.kind != "photo":
            raise UserError("prompt: is missing. Say what to make, e.g. a red chair; or give a photo.")
        words = ["run", "--config", offer.name, f"--profile={self.profile}", f"output={output}"]
        words += [f"prompt={' '.join(self.prompt.split())}"] if self.prompt else []
        words += [f"{offer.file_key}={uploads.path(self.file).absolute()}"] if self.file else []
        words += [f"seed={self.seed}"] if self.seed else []
        return [*words, *overrides(self.lines)]


def overrides(lines: str) -> list[str]:
    """Return the overrides of a text field, one a line.

    Raises:
        UserError: a line is none, or would put the run where the studio does not look.
    """
    found = [line.strip() for line in lines.splitlines() if line.strip()]
    for line in found:
        key, equals, _ = line.partition("=")
        if not equals or line.startswith("-"):
            raise UserError(f"{line!r} is not an override. Write key=value, e.g. system.geometry.levels=12.")
        if key.strip() == "output":
            raise UserError("output: the studio keeps runs in one folder. For another: bozzetto studio FOLDER")
    return found
