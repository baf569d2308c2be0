"""Tests of the contents of an installation, and of rules that can be checked automatically."""

import ast
import configparser
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path
    for folder in ("framework", "plugins", "tools", *ROOT.glob("examples/*/src"))
    for path in (ROOT / folder).rglob("*.py")
    if "__pycache__" not in path.parts
)


@pytest.fixture(scope="module")
def setup():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def test_every_package_folder_is_listed(setup):
    listed = set(setup["options"]["packages"].split())
    found = {"bozzetto_recipes"}
    for root in (ROOT / "framework", ROOT / "plugins"):
        found |= {".".join(init.parent.relative_to(root).parts) for init in root.rglob("__init__.py")}
    assert listed == found


def test_weights_configs_and_texts_of_the_priors_are_installed_and_nothing_else(setup):
    home = ROOT / "plugins" / "bozzetto_plugins"
    globs = setup["options.package_data"]["bozzetto_plugins"].split(", ")
    installed = {path for glob in globs if glob.startswith("priors/") for path in home.glob(glob)}
    assert {path.suffix for path in installed} == {".json", ".md", ".safetensors"}
    kept = {path for path in (home / "priors").rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert installed == kept


def test_every_manifest_is_an_entry_point(setup):
    declared = setup["options.entry_points"]["bozzetto.plugins"]
    for manifest in (ROOT / "plugins" / "bozzetto_plugins").glob("*/manifest.py"):
        assert f"bozzetto_plugins.{manifest.parent.name}.manifest" in declared
    commands = setup["options.entry_points"]["bozzetto.commands"]
    for manifest in (ROOT / "plugins").glob("*/manifest.py"):
        assert f"{manifest.parent.name}.manifest:" in commands


def test_every_package_is_checked_for_types_and_shapes(setup):
    packages = sorted(path.parent.name for path in (ROOT / "plugins").glob("*/__init__.py"))
    (option,) = (word for word in setup["tool:pytest"]["addopts"].split() if word.startswith("--jaxtyping-packages="))
    assert {"bozzetto", *packages} < set(option.partition("=")[2].split(","))
    types = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert all(f'"plugins/{name}"' in types and (ROOT / "plugins" / name / "py.typed").is_file() for name in packages)


def test_every_requirement_is_pinned_in_the_constraints(setup):
    pinned = {line.partition("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines()}
    extras = setup["options.extras_require"]
    wanted = (setup["options"]["install_requires"] + extras["test"]).split()
    names = {re.split(r"[<>=\[]", item)[0].lower().replace("_", "-") for item in wanted}
    assert names - pinned == set()


def test_the_readme_gives_one_command_to_run_and_one_to_test():
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)
    run, test = blocks
    assert "launch.py" in run and "configs/dreamfusion-sd.yaml" in run and "pytest" in test


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_house_rules(path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 300
    tree = ast.parse(text)
    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    assert [node.name for node in functions if (node.end_lineno or 0) - node.lineno >= 60] == []
    assert [node.name for node in functions if node.args.kwarg is not None] == []
    assert path.name == "__init__.py" or ast.get_docstring(tree)
    for word in ("nan_to_num(", "NotImplementedError", "TODO", "FIXME"):
        assert word not in text


HOST_AND_PLUGINS = [path for path in SOURCES if not {"tools", "testing", "kernels", "cli"} & set(path.parts)]
MAY_NAME_DEVICES = {
    "accelerators.py": "finds out what the machine has",
    "recipe.py": "the names a recipe may write",
    "loading.py": "falls back to the cpu profile",
    "pipeline.py": "hands the device to Lightning",
    "checkpoints.py": "reads checkpoints into main memory",
    "profiles.py": "writes the profiles of converted recipes",
    "command.py": "measures with the cpu profile unless told otherwise",
    "pickled.py": "reads weights into main memory",
    "precision.py": "which precision is fast where",
    "offload.py": "moves weights between devices",
    "turntable.py": "brings pictures to main memory to write them",
}


@pytest.mark.parametrize("path", HOST_AND_PLUGINS, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_adapters_name_a_device(path):
    literals = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
    assert path.name in MAY_NAME_DEVICES or not literals & {"cpu", "cuda", "mps"}
