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
    there = {path for path in (home / "priors").rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert installed == {path for path in there if path.suffix != ".py"}


def test_every_manifest_is_an_entry_point(setup):
    declared = re.findall(
        r"= bozzetto_plugins\.(\w+)\.manifest$", setup["options.entry_points"]["bozzetto.plugins"], re.M
    )
    there = [path.parent.name for path in (ROOT / "plugins" / "bozzetto_plugins").glob("*/manifest.py")]
    assert sorted(declared) == sorted(there)
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
    "view_draws.py": "draws on the host with the state of a generator that lies elsewhere",
    "loading.py": "falls back to the cpu profile",
    "data_parallel.py": "chooses the exchange between processes",
    "trainers.py": "counts the devices that a recipe asks for",
    "workers.py": "gives each process its share of the processor",
    "worker.py": "takes the GPU of its number",
    "checkpoints.py": "reads checkpoints into main memory",
    "profiles.py": "writes the profiles of converted recipes",
    "command.py": "measures with the cpu profile unless told otherwise",
    "examination.py": "examines a model on any machine",
    "pickled.py": "reads weights into main memory",
    "precision.py": "which precision is fast where",
    "offload.py": "moves weights between devices",
    "source.py": "reads checkpoints into main memory",
    "window.py": "draws smaller pictures on a CPU",
    "turntable.py": "brings pictures to main memory to write them",
}


@pytest.mark.parametrize("path", HOST_AND_PLUGINS, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_adapters_name_a_device(path):
    literals = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
    assert path.name in MAY_NAME_DEVICES or not literals & {"cpu", "cuda", "mps"}


def _public_modules():
    """The host's modules in the table of public-api.md; of a package, all modules that define something."""
    table = (ROOT / "docs" / "reference" / "public-api.md").read_text(encoding="utf-8")
    for name in re.findall(r"^\| `(bozzetto(?:\.\w+)*)` \|", table, re.MULTILINE):
        path = ROOT / "framework" / Path(*name.split("."))
        pattern = "__init__.py" if name == "bozzetto" else "*.py"
        for file in sorted(path.glob(pattern)) if path.is_dir() else [path.with_suffix(".py")]:
            if len(ast.parse(file.read_text(encoding="utf-8")).body) > 1:
                yield file


PUBLIC_MODULES = {
    ".".join(path.relative_to(ROOT / "framework").with_suffix("").parts).removesuffix(".__init__"): path
    for path in _public_modules()
}


def _bound_names(statements):
    """Names that a module defines, and names that it imports from the host, at its top level."""
    defined, imported = set(), set()
    for node in statements:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            defined.add(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            defined |= {name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "bozzetto":
            imported |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.If):  # TYPE_CHECKING
            inner_defined, inner_imported = _bound_names(node.body)
            defined, imported = defined | inner_defined, imported | inner_imported
    return defined, imported


def _all_of(tree):
    (value,) = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["__all__"]
    ]
    return ast.literal_eval(value)


@pytest.fixture(scope="module")
def imported_elsewhere():
    """Names that source files import, by the public module that they import them from."""
    found = {name: set() for name in PUBLIC_MODULES}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module in found:
                found[node.module] |= {alias.name for alias in node.names if not alias.name.startswith("__")}
    return found


@pytest.mark.parametrize("name", PUBLIC_MODULES)
def test_public_modules_list_what_others_may_import(name, imported_elsewhere):
    tree = ast.parse(PUBLIC_MODULES[name].read_text(encoding="utf-8"))
    listed, (defined, imported) = _all_of(tree), _bound_names(tree.body)
    assert len(listed) == len(set(listed))  # ruff checks the order (RUF022)
    assert [item for item in listed if item.startswith("_")] == []
    assert set(listed) - defined - imported == set()
    submodules = {module.rpartition(".")[2] for module in PUBLIC_MODULES if module.rpartition(".")[0] == name}
    assert imported_elsewhere[name] - submodules - set(listed) == set()
    functions_and_classes = {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    assert {item for item in functions_and_classes if not item.startswith("_")} - set(listed) == set()
