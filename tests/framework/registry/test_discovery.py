"""Tests of discovery: plugins as data, isolated failures, name conflicts."""

import itertools
import subprocess
import sys
import types
from importlib.metadata import EntryPoint

import pytest

from bozzetto import ComponentSpec, ModelSpec, hookimpl
from bozzetto.cli.plugins import list_plugins, rows, show_component
from bozzetto.errors import ConfigError, PluginError
from bozzetto.kinds import KINDS
from bozzetto.registry.discovery import Registry, Source, installed_sources, status_of
from bozzetto.registry.sources import import_limit_s

GOOD = "bozzetto_plugins.loss.config:SparsityConfig"


def spec(
    name="blocky", kind="geometry", api=1, requires=(), target="bozzetto_plugins.loss.sparsity:Sparsity", config=GOOD
):
    return ComponentSpec(kind, name, target, config, "A test.", api, requires)


@pytest.fixture
def plugin(monkeypatch):
    """Create a module that declares the given specs, and its source."""

    def make(dist, *specs, version="1.0", **attributes):
        module = types.ModuleType(f"fake_{dist.replace('-', '_')}")
        module.bozzetto_components = hookimpl(lambda: list(specs))
        module.bozzetto_components.__name__ = "bozzetto_components"
        for name, value in attributes.items():
            setattr(module, name, value)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return Source(dist, version, "main", module.__name__)

    return make


def test_finds_a_component_by_bare_and_by_full_name(plugin):
    registry = Registry.discover([plugin("one", spec())])
    assert registry.find("geometry", "blocky") is registry.find("geometry", "one/blocky")


def test_unknown_name_gives_the_nearest_and_all_known(plugin):
    registry = Registry.discover([plugin("one", spec(), spec("smooth"))])
    with pytest.raises(PluginError) as error:
        registry.find("geometry", "bloky", "system.geometry.type")
    assert str(error.value) == (
        "system.geometry.type: there is no geometry named 'bloky'. Did you mean 'blocky'? Known: blocky, smooth."
    )


def test_a_name_of_another_kind_says_so(plugin):
    registry = Registry.discover([plugin("one", spec("solid", kind="background"))])
    with pytest.raises(PluginError, match="'solid' is a background"):
        registry.find("geometry", "solid")


def test_two_distributions_with_one_name_conflict_only_when_the_bare_name_is_used(plugin):
    registry = Registry.discover([plugin("one", spec()), plugin("two", spec(), version="2.0")])
    assert registry.find("geometry", "two/blocky").version == "2.0"
    with pytest.raises(PluginError, match=r"provided by one 1\.0, two 2\.0\. Write 'one/blocky' or 'two/blocky'"):
        registry.find("geometry", "blocky")
    assert [row["status"] for row in rows(registry)] == ["CONFLICT", "CONFLICT"]


def test_a_broken_plugin_is_listed_and_stops_nothing(plugin):
    broken = Source("bad", "0", "main", "there_is_no_such_module")
    registry = Registry.discover([broken, plugin("one", spec())])
    assert registry.find("geometry", "blocky").dist == "one"
    assert "broken: ModuleNotFoundError: No module named 'there_is_no_such_module'" in list_plugins(registry)
    with pytest.raises(PluginError, match=r"1 plugin\(s\) failed to load"):
        registry.find("geometry", "zzz")


def test_a_plugin_that_raises_half_way_leaves_nothing_behind(plugin):
    def half():
        yield spec("half")
        raise RuntimeError("no more")

    source = plugin("bad")
    sys.modules[source.module].bozzetto_components = hookimpl(half)
    registry = Registry.discover([source])
    assert registry.names("geometry") == [] and source in registry.broken


def test_strict_raises_for_authors():
    with pytest.raises(PluginError, match="Plugin bad:main failed to load"):
        Registry.discover([Source("bad", "0", "main", "there_is_no_such_module")], strict=True)


def test_a_misspelt_hook_is_broken_not_ignored(plugin):
    source = plugin("bad", bozzetto_component=hookimpl(lambda: []))
    assert source in Registry.discover([source]).broken


def test_wrong_api_and_missing_packages_are_refused_on_use(plugin):
    registry = Registry.discover([plugin("one", spec("old", api=99), spec("hungry", requires=("not_a_package",)))])
    with pytest.raises(
        PluginError, match=r"incompatible: geometry api 99, this host has 1\. Install a newer bozzetto\."
    ):
        registry.find("geometry", "old")
    with pytest.raises(PluginError, match="pip install not_a_package"):
        registry.find("geometry", "hungry")


def test_environment_adds_and_disables():
    sources = installed_sources({"BOZZETTO_PLUGINS": "mine=my_module:thing", "BOZZETTO_DISABLE": "bozzetto"})
    assert Source("local", "0", "mine", "my_module:thing") in sources
    assert not [source for source in sources if source.dist == "bozzetto"]


def test_a_newer_contract_and_an_unknown_kind_ask_for_a_newer_host_an_old_one_for_a_newer_plugin(plugin):
    walk = spec("walk")
    object.__setattr__(walk, "kind", "animator")  # bypasses the type checker of the tests
    registry = Registry.discover([plugin("one", spec("old", api=0), walk)])
    assert [row["status"] for row in rows(registry)] == [
        "incompatible: this host has no kind 'animator'",
        "incompatible: geometry api 0, this host has 1",
    ]
    with pytest.raises(PluginError, match="Install a newer one"):
        registry.find("geometry", "old")
    with pytest.raises(PluginError, match="Install a newer bozzetto"):
        show_component(registry, "animator/walk")


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"target": "no_such_package.module:Class"}, "there is no module no_such_package"),
        ({"target": "bozzetto_plugins.loss.gone:Class"}, "there is no module bozzetto_plugins.loss.gone"),
        ({"target": "bozzetto_plugins.loss.sparsity:Spersity"}, "bozzetto_plugins.loss.sparsity has no Spersity"),
        ({"config": "bozzetto_plugins.loss.config:Gone"}, "bozzetto_plugins.loss.config has no Gone"),
    ],
)
def test_a_target_that_is_not_there_is_told_when_listed_and_when_used(plugin, fields, why):
    source = plugin("one", spec(**fields), spec("fine"))
    registry = Registry.discover([source])
    assert [row["status"] for row in rows(registry)] == [f"broken: {why}", "ok"]
    with pytest.raises(PluginError, match=f"geometry 'blocky' from one 1.0 is broken: {why}. Tell the authors of one"):
        registry.find("geometry", "blocky")
    with pytest.raises(PluginError, match="geometry 'blocky' from one 1.0 is broken"):
        Registry.discover([source], strict=True)


def test_a_config_that_is_no_dataclass_is_told_from_its_text_and_when_it_is_loaded(plugin, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "plain_config.py").write_text("class Plain:\n    levels: int = 3\n\n\nmade = type('Made', (), {})\n")
    registry = Registry.discover(
        [plugin("one", spec(config="plain_config:Plain"), spec("made", config="plain_config:made"))]
    )
    assert [row["status"] for row in rows(registry)] == ["broken: plain_config:Plain is not a dataclass", "ok"]
    with pytest.raises(PluginError, match="its config plain_config:made is not a dataclass"):
        registry.config_type("geometry", "made")


def test_a_module_that_raises_is_a_plugin_error_when_it_is_used(plugin, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "raising_part.py").write_text("class Part: pass\nraise RuntimeError('no luck')\n")
    registry = Registry.discover([plugin("one", spec(target="raising_part:Part"))])
    with pytest.raises(PluginError, match="raising_part:Part cannot be imported: RuntimeError: no luck"):
        registry.implementation("geometry", "blocky")


def test_a_plugin_that_exits_or_prints_or_gives_the_wrong_things_stops_nothing(plugin, tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "exiting.py").write_text("print('hello')\nraise SystemExit(3)\n")
    no_specs, a_word = plugin("strings"), plugin("recipes")
    sys.modules[no_specs.module].bozzetto_components = hookimpl(lambda: ["geometry"])
    sys.modules[a_word.module].bozzetto_recipes = hookimpl(lambda: ["no/such/folder"])
    unmarked = plugin("unmarked", bozzetto_run_failed=lambda reason: None)
    silent = Source("silent", "1.0", "main", "json")
    sources = [Source("exits", "1.0", "main", "exiting"), no_specs, a_word, unmarked, silent, plugin("one", spec())]
    registry = Registry.discover(sources)
    told = {row["distribution"]: row["status"] for row in rows(registry)}
    assert told["exits"] == "broken: SystemExit: 3" and told["one"] == "ok"
    assert "must give ComponentSpecs, not 'geometry'" in told["strings"]
    assert "folders that exist" in told["recipes"]
    assert "bozzetto_run_failed is not marked with @hookimpl" in told["unmarked"]
    assert "implements no hook" in told["silent"]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("raise KeyboardInterrupt", "broken: KeyboardInterrupt: "),
        ("raise GeneratorExit('gone')", "broken: GeneratorExit: gone"),
        ("class Own(BaseException): pass\nraise Own('mine')", "broken: Own: mine"),
        ("import time\nwhile True: time.sleep(0.01)", "broken: TimeoutError: it took longer than 0.3 s"),
        ("def __getattr__(name): raise SystemExit(4)", "broken: SystemExit: 4"),
    ],
)
def test_an_import_that_raises_anything_or_never_ends_stops_nothing(plugin, tmp_path, monkeypatch, text, told):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "hostile_manifest.py").write_text(text + "\n")
    monkeypatch.delitem(sys.modules, "hostile_manifest", raising=False)
    module = "hostile_manifest:thing" if "getattr" in text else "hostile_manifest"
    registry = Registry.discover([Source("bad", "1.0", "main", module), plugin("one", spec())], limit_s=0.3)
    told_of = {row["distribution"]: row["status"] for row in rows(registry)}
    assert told_of["bad"].startswith(told) and told_of["one"] == "ok"


def raising(fault):
    def hook():
        raise fault

    return hook


def endless():
    while True:
        yield spec()


def test_hooks_that_raise_anything_never_end_or_name_closed_folders_stop_nothing(plugin, tmp_path, monkeypatch):
    shut = tmp_path / "shut"
    shut.mkdir()
    sources = []
    for name, hook, value in [
        ("components", "bozzetto_components", raising(KeyboardInterrupt())),
        ("recipes", "bozzetto_recipes", raising(GeneratorExit())),
        ("endless", "bozzetto_components", endless),
        ("number", "bozzetto_components", lambda: 7),
        ("shut", "bozzetto_recipes", lambda: [shut]),
    ]:
        sources.append(plugin(name))
        setattr(sys.modules[sources[-1].module], hook, hookimpl(value))
    monkeypatch.setattr("bozzetto.registry.discovery.next", raising_next(PermissionError("not yours")), raising=False)
    registry = Registry.discover([*sources, plugin("one", spec())])
    told = {row["distribution"]: row["status"] for row in rows(registry)}
    assert told["components"].startswith("broken: KeyboardInterrupt") and told["recipes"].startswith("broken: Gener")
    assert told["endless"].endswith("bozzetto_components gives more than 1000 things; does it ever end?")
    assert told["number"].startswith("broken: TypeError") and told["shut"] == "broken: PermissionError: not yours"
    assert told["one"] == "ok" and registry.recipe_folders == []


def raising_next(fault):
    """Replacement of `next` that simulates an unreadable folder, for a user who can read all folders."""

    def next_(items, *default):
        raise fault

    return next_


def test_configs_that_raise_anything_or_never_end_are_plugin_errors(plugin, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "hanging_config.py").write_text("import time\nConfig = None\nwhile True: time.sleep(0.01)\n")
    (tmp_path / "exiting_config.py").write_text("Config = None\nraise SystemExit(5)\n")
    specs = [spec("hangs", config="hanging_config:Config"), spec("exits", config="exiting_config:Config")]
    registry = Registry.discover([plugin("one", *specs)], limit_s=0.3)
    with pytest.raises(PluginError, match="exiting_config:Config cannot be imported: SystemExit: 5"):
        registry.config_type("geometry", "exits")
    for _ in range(2):  # recognised the second time
        with pytest.raises(
            PluginError, match=r"hangs' from one 1.0 is broken: .* TimeoutError: it took longer than 0.3 s"
        ):
            registry.config_type("geometry", "hangs")
    assert set(registry.unimportable) == {"hanging_config:Config", "exiting_config:Config"}


def test_checks_of_a_config_that_raise_anything_are_plugin_errors(plugin):
    registry = Registry.discover([plugin("one", spec())])
    entry = registry.find("geometry", "blocky")
    with pytest.raises(PluginError, match="system.geometry: .* is broken: its config raises SystemExit: 1"):
        registry.configured(entry, raising(SystemExit(1)), "system.geometry")
    with pytest.raises(ConfigError, match="levels: too many"):
        registry.configured(entry, raising(ConfigError("levels: too many")), "system.geometry")
    assert registry.configured(entry, lambda: 5, "system.geometry") == 5


def test_looking_for_a_target_runs_nothing_of_its_package(plugin, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    inner = tmp_path / "loud_package" / "inner"
    inner.mkdir(parents=True)
    (inner.parent / "__init__.py").write_text("raise RuntimeError('I was run')\n")
    (inner / "__init__.py").write_text("")
    (inner / "part.py").write_text("class Part: pass\n")
    targets = ["loud_package.inner.part:Part", "loud_package.inner.part:Other", "loud_package.outer.part:Part"]
    specs = [spec(f"at-{index}", target=target) for index, target in enumerate(targets)]
    registry = Registry.discover([plugin("one", *specs)])
    assert [row["status"] for row in rows(registry)] == [
        "ok", "broken: loud_package.inner.part has no Other", "broken: there is no module loud_package.outer",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["never", "nan", "0", "-1", "inf"])
def test_a_limit_that_is_none_is_refused(text):
    with pytest.raises(PluginError, match="BOZZETTO_PLUGIN_SECONDS: must be seconds above 0"):
        import_limit_s({"BOZZETTO_PLUGIN_SECONDS": text})
    assert import_limit_s({}) == 10.0 and import_limit_s({"BOZZETTO_PLUGIN_SECONDS": "60"}) == 60.0


def test_a_slow_plugin_is_named_and_can_be_used(plugin, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("bozzetto.registry.discovery.HEAVY", ("a_heavy_package",))
    (tmp_path / "a_heavy_package.py").write_text("")
    (tmp_path / "slow_manifest.py").write_text(
        "import a_heavy_package\nfrom bozzetto import ComponentSpec, hookimpl\n"
        "@hookimpl\ndef bozzetto_components():\n"
        f"    yield ComponentSpec('geometry', 'toon', 'bozzetto_plugins.loss.sparsity:Sparsity', {GOOD!r}, 'A test.')\n"
    )
    registry = Registry.discover([Source("toon", "1.0", "main", "slow_manifest"), plugin("one", spec())])
    assert [row["status"] for row in rows(registry)] == ["ok", "slow: imports a_heavy_package"]
    assert registry.find("geometry", "toon").dist == "toon"
    assert "slow: its manifest imports a heavy package" in list_plugins(registry)


def test_one_distribution_cannot_give_a_name_twice(plugin):
    registry = Registry.discover([plugin("one", spec(), spec(api=2))])
    (error,) = registry.broken.values()
    assert str(error) == "one declares geometry 'blocky' twice." and registry.entries == {}


def test_equal_entries_are_one(plugin):
    source = plugin("one", spec(), spec())
    again = Source(source.dist, source.version, "other", source.module)
    registry = Registry.discover([source, again])
    assert len(registry.entries["geometry", "blocky"]) == 1


def models(*specs):
    return hookimpl(lambda: specs, specname="bozzetto_models")


def test_models_are_declared_and_kept_apart(plugin):
    one, two = ModelSpec("sd-2", repositories=("a/b",)), ModelSpec("sd-2", repositories=("c/d",))
    sources = [plugin(dist, bozzetto_models=models(model)) for dist, model in (("one", one), ("two", two))]
    registry = Registry.discover(sources, strict=True)
    assert [(entry.title, entry.spec) for entry in registry.models["sd-2"]] == [
        ("model 'sd-2' from one 1.0", one), ("model 'sd-2' from two 1.0", two),
    ]  # fmt: skip
    assert {(row["kind"], row["name"], row["status"]) for row in rows(registry)} == {("model", "sd-2", "CONFLICT")}


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (
            (ModelSpec("a", repositories=("a/b",)), ModelSpec("a", repositories=("a/c",))),
            "one declares model 'a' twice",
        ),
        (("sd-1.5",), "must give ModelSpecs, not 'sd-1.5'"),
        (itertools.repeat(ModelSpec("a", repositories=("a/b",))), "gives more than 1000 things"),
    ],
)
def test_wrong_models_break_their_plugin_alone(plugin, given, why):
    module = plugin("one", spec(), bozzetto_models=hookimpl(lambda: given, specname="bozzetto_models"))
    registry = Registry.discover([module, plugin("two", spec("smooth"))])
    assert registry.names("geometry") == ["smooth"] and registry.models == {}
    (error,) = registry.broken.values()
    assert why in str(error)


def test_a_distribution_that_is_not_there_is_named(plugin):
    registry = Registry.discover([plugin("one", spec())])
    assert registry.find("geometry", "One/blocky").dist == "one"
    with pytest.raises(PluginError, match="The distribution 'two' has no components here; is it installed?"):
        registry.find("geometry", "two/blocky")


def test_damaged_metadata_does_not_end_the_list(monkeypatch):
    class Damaged:
        @property
        def name(self):
            raise KeyError("Name")

    entry_point = EntryPoint("main", "damaged.manifest", "bozzetto.plugins")
    vars(entry_point)["dist"] = Damaged()
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [entry_point])
    assert installed_sources({}) == [Source("unknown", "0", "main", "damaged.manifest")]


def test_strict_names_every_fault(plugin):
    bad = [Source("bad", "0", name, f"no_such_{name}") for name in ("one", "two")]
    with pytest.raises(PluginError, match=r"(?s)Plugin bad:one failed to load.*Plugin bad:two failed to load"):
        Registry.discover(bad, strict=True)


def test_every_built_in_is_found_usable_and_named_alike():
    registry = Registry.discover(installed_sources({}), strict=True)
    assert {kind for kind, _ in registry.entries} == set(KINDS)
    for (kind, name), entries in registry.entries.items():
        (entry,) = entries
        assert status_of(entry) == "ok", (kind, name, status_of(entry))
        module, _, class_name = entry.spec.target.partition(":")
        assert module.rpartition(".")[2] == name.replace("-", "_")
        assert class_name.lower() == name.replace("-", "") and class_name[0].isupper()
        assert registry.implementation(kind, name).__name__ == class_name
        assert "\n" in show_component(registry, f"{kind}/{name}")


def test_every_field_of_every_built_in_config_is_documented():
    from bozzetto.config.binding import describe
    from bozzetto.spec import load

    registry = Registry.discover(installed_sources({}), strict=True)
    bare = [
        f"{kind}/{name}.{item.name}"
        for (kind, name), (entry,) in registry.entries.items()
        for item in describe(load(entry.spec.config))
        if not item.text
    ]
    assert bare == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["plugins", "list"],
        ["plugins", "list", "--json"],
        ["plugins", "show", "geometry/hash-grid"],
        ["plugins", "show", "model/bozzetto-mini"],
        ["--help"],
        ["schema"],
        ["doctor"],
    ],
    ids=" ".join,
)
def test_listing_showing_and_help_import_no_torch(arguments):
    code = (
        f"import sys; from bozzetto.cli import main; rc = main({arguments!r}); sys.exit(rc or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL).returncode == 0
