"""Tests of the packages in `examples`: their own tests pass, and they import public modules only."""

import configparser
import json
import re
from pathlib import Path

import pytest
import trimesh

import bozzetto
from bozzetto import check
from bozzetto.engine.run_folder import RunFolder
from bozzetto.kinds import KINDS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted(path.parent.name for path in ROOT.glob("examples/*/pyproject.toml"))
RULES = ROOT / "examples" / ".importlinter"
HOST = (
    "bozzetto",
    "bozzetto_bench",
    "bozzetto_convert",
    "bozzetto_plugins",
    "bozzetto_prior",
    "bozzetto_report",
    "bozzetto_studio",
    "bozzetto_view",
)
PAGE = ROOT / "docs" / "reference" / "public-api.md"


def test_there_are_some():
    assert {
        "bozzetto-averaged-score",
        "bozzetto-dreamshaper",
        "bozzetto-faces",
        "bozzetto-gsplat",
        "bozzetto-silhouette",
        "bozzetto-voxels",
    } <= set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_its_own_tests_pass_in_its_own_folder(run, place, name):
    """Contracts, closed forms, and a training step of its recipe with a fake prior."""
    code, out, err = run("-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=place.source(name), only="none")
    assert code == 0, out[-3000:] + err[-3000:]
    assert " passed" in out and "failed" not in out


def test_they_are_listed_checked_and_their_recipes_have_names(bozzetto):
    code, out, err = bozzetto("plugins", "list", "--json", only="none")
    assert code == 0, err
    status = {
        f"{row['kind']}/{row['name']}": row["status"] for row in json.loads(out) if row["distribution"] in EXAMPLES
    }
    assert status == dict.fromkeys(
        ["command/faces", "exporter/silhouettes", "exporter/splat-ply", "geometry/gaussians", "geometry/voxels", "loss/silhouette",
         "model/dreamshaper-8", "renderer/splatting", "score/averaged"], "ok",
    )  # fmt: skip
    code, out, err = bozzetto("check", "bozzetto-voxels/voxels", "--profile", "cpu", only="none")
    assert code == 0 and "voxels (bozzetto-voxels 0.1.0)" in out and "ok: the recipe is valid" in out, err


def test_a_command_of_a_package_measures_the_mesh_of_a_run(bozzetto, tmp_path):
    code, out, err = bozzetto("--help", only="none")
    assert (
        code == 0 and "  faces     list the sizes of the meshes that runs have exported (bozzetto-faces 0.1.0)" in out
    ), err
    folder = RunFolder.create(check("dreamfusion-sd", overrides={"output": str(tmp_path)}), ["test"], {})
    trimesh.creation.box().export(folder.export / "mesh.glb")
    code, out, err = bozzetto("faces", folder.path, tmp_path / "none", only="none")
    assert code == 1 and "hamburger" in out and out.splitlines()[1].split()[:3] == ["12", "8", "yes"], out + err
    assert "-" in out.splitlines()[2]


def test_what_the_gaussians_lack_is_told_before_anything_loads(bozzetto):
    overrides = ["system.renderer.type=bozzetto-gsplat/splatting", "system.geometry.type=bozzetto-voxels/voxels"]
    code, _, err = bozzetto("check", "dreamfusion-sd", "--profile", "cpu", *overrides, only="none")
    assert code == 2 and "renderer 'splatting' needs gaussians, which no component of this system provides" in err


class TestPublicApi:
    @pytest.fixture(scope="class")
    def rules(self):
        parser = configparser.ConfigParser()
        parser.read(RULES, encoding="utf-8")
        return parser

    def test_examples_and_templates_import_public_modules_alone(self, run, tmp_path, rules):
        made = [f"bozzetto_my_{kind}".replace("-", "_") for kind in KINDS]
        packages = [name.replace("-", "_") for name in EXAMPLES]
        contract = rules["importlinter:contract:public"]
        assert contract["source_modules"].split() == packages, "examples/.importlinter lists every example"
        contract["source_modules"] = "\n".join(["", *packages, *made])
        rules["importlinter"]["root_packages"] = "\n".join(["", *HOST, *packages, *made])
        with (tmp_path / ".importlinter").open("w") as stream:
            rules.write(stream)
        lint = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
        code, out, err = run("-c", lint, "--no-cache", only="none")
        assert code == 0, out + err
        assert "Contracts: 1 kept, 0 broken" in out

    def test_every_module_of_the_host_is_documented_as_public_or_forbidden(self, rules):
        forbidden = rules["importlinter:contract:public"]["forbidden_modules"].split()
        documented = re.findall(r"^\| `(bozzetto[\w.]*)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
        host = Path(bozzetto.__file__).parent
        modules = {path.stem for path in host.glob("*.py") if path.stem != "__init__"}
        modules |= {path.parent.name for path in host.glob("*/__init__.py")}
        named = {name.split(".")[1] for name in [*documented, *forbidden] if name.startswith("bozzetto.")}
        assert modules == named, (
            f"say of {modules ^ named} in {PAGE.name} or {RULES.name} whether plugins may import it"
        )
        assert not set(documented) & set(forbidden)
        commands = {
            "bozzetto_bench",
            "bozzetto_convert",
            "bozzetto_prior",
            "bozzetto_report",
            "bozzetto_studio",
            "bozzetto_view",
        }
        assert {"bozzetto_plugins", *commands} <= set(forbidden)
