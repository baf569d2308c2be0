"""Tests of the table in docs/priors.md: licences and sizes against the aliases, and against networks on the meta device."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.plugins.guidance.published_networks import CONTROLS, EDITING, PUBLISHED, STABLE_DIFFUSION, parameters_of

from bozzetto_plugins.models import CONTROL_MODELS, EDITING_MODELS, PRIOR_MODELS, TEXT_MODELS

ROOT = Path(__file__).parents[3]
SPECS = {spec.alias: spec for spec in (*TEXT_MODELS, *PRIOR_MODELS, *EDITING_MODELS, *CONTROL_MODELS)}
COLUMNS = ("family", "alias", "licence", "download", "denoiser", "memory", "checked by", "how to get it")
DENOISERS = {
    "sd-1.5": 859_520_964, "sd-2.1-base": 865_910_724, "sdxl": 2_567_463_684, "mvdream": 867_572_164,
    "imagedream": 867_572_164, "sd-3.5-medium": 2_469_663_936, "flux.2-klein-base-4b": 3_875_544_576,
    "z-image": 6_154_908_736, "deepfloyd-if": 4_304_695_110,
    "instruct-pix2pix": 859_532_484, "controlnet-normal": 361_279_120, "controlnet-depth": 361_279_120,
}  # fmt: skip
"""Values of each denoiser; published are 860 and 866 million, 2.6, 2.5, 4, 6 and 4.3 billion; of a ControlNet 361 million."""
ENCODERS = {
    "sdxl": (123_650_304, 694_659_840), "sd-3.5-medium": (123_650_304, 694_659_840, 4_762_310_656),
    "flux.2-klein-base-4b": (4_022_468_096,), "z-image": (4_022_468_096,), "deepfloyd-if": (4_762_310_656,),
}  # fmt: skip
"""Values of the text encoders: CLIP-L and CLIP-G with their projections, T5-XXL's encoder, Qwen3-4B."""


def rows() -> dict[str, dict[str, str]]:
    """Return the cells of the page's table by alias."""
    page = (ROOT / "docs" / "priors.md").read_text(encoding="utf-8")
    lines = page[page.index(f"| {' | '.join(COLUMNS)} |") :].split("\n\n")[0].splitlines()[2:]
    cells = (dict(zip(COLUMNS, (cell.strip() for cell in line.strip("|").split("|")), strict=True)) for line in lines)
    return {row["alias"].strip("`"): row for row in cells}


ROWS = rows()


def test_every_alias_of_a_family_has_a_row() -> None:
    guiding = (*PRIOR_MODELS, *EDITING_MODELS, *CONTROL_MODELS)
    assert set(ROWS) == {"sd-1.5", "sd-2.1-base", *(spec.alias for spec in guiding)}
    assert set(ROWS) == {*PUBLISHED, *STABLE_DIFFUSION, *EDITING, *CONTROLS}


@pytest.mark.parametrize("alias", ROWS)
def test_licence_size_and_memory_are_those_of_the_alias(alias: str) -> None:
    row, spec = ROWS[alias], SPECS[alias]
    assert row["licence"] == spec.licence
    assert row["download"] == f"{spec.size_gb} GB" + (", converted" if spec.converter else "")
    programs = re.findall(r"tools/\w+\.py", spec.converter)
    assert re.findall(r"tools/\w+\.py", row["how to get it"]) == programs
    assert all((ROOT / path).is_file() for path in programs)
    assert re.search(rf"\b{re.escape(row['memory'])}\b", spec.memory), spec.memory
    named = re.findall(r"\]\(\.\./(.*?)\)", row["checked by"])
    assert named and all((ROOT / path).is_file() for path in named)
    sources = [(ROOT / path).read_text(encoding="utf-8") for path in named]
    assert any(re.search(r"from diffusers import|diffusers' own pipeline", source) for source in sources), named


@pytest.mark.parametrize("alias", ROWS)
def test_the_networks_have_the_published_sizes(alias: str) -> None:
    """Half precision takes two bytes a value; the difference to the download is below 3 %."""
    parts, spec = parameters_of(alias), SPECS[alias]
    denoiser = next(iter(parts.values()))
    assert denoiser == DENOISERS[alias]
    said = ROWS[alias]["denoiser"]
    assert said == (f"{denoiser / 1e9:.2f} billion" if denoiser >= 1e9 else f"{denoiser / 1e6:.0f} million")
    texts = tuple(count for part, count in parts.items() if part.startswith("text_encoder"))
    assert texts == ENCODERS.get(alias, texts)
    if spec.kept_gb is not None:
        stay = sum(count for part, count in parts.items() if not part.startswith("text_encoder"))
        assert spec.kept_gb == round(2e-9 * stay, 1)
    assert spec.size_gb is not None and abs(2e-9 * sum(parts.values()) - spec.size_gb) < 0.03 * spec.size_gb
