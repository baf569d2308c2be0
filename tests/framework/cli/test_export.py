"""Tests of `bozzetto export`: formats by name; other settings unchanged."""

import json
import shutil

import trimesh

from bozzetto.cli import main
from bozzetto.engine.run_folder import RunFolder


def run(capsys, *arguments):
    code = main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_finished_run_is_exported_again_in_other_formats(capsys, tiny):
    code, _, err = run(capsys, "--config", str(tiny.recipe_file()), "trainer.steps=2", "trainer.image_every=0")
    assert code == 0, err
    (folder,) = (tiny.folder / "outputs" / "tiny").iterdir()
    turntable = folder / "export" / "turntable.mp4"
    before = turntable.stat().st_mtime_ns

    code, out, err = run(capsys, "export", str(folder), "--format", "glb,obj,ply,stl", "export.mesh.origin=bottom")
    assert code == 0, err
    assert [line.split("/")[-1].split()[0] for line in out.splitlines() if line.startswith("wrote")] == [
        "mesh.glb", "mesh.obj", "mesh.mtl", "texture.png", "mesh.ply", "mesh.stl",
    ]  # fmt: skip
    assert "Verify: mesh.glb beside the training renderer" in out and "notice" not in out
    assert turntable.stat().st_mtime_ns == before, "--format writes the mesh alone"
    exports = json.loads((folder / "manifest.json").read_text())["exports"]
    assert exports["mesh"]["files"][-1] == "export/mesh.stl" and exports["mesh"]["verified"]["mesh.glb"]["psnr_db"] > 0
    assert exports["turntable"]["files"] == ["export/turntable.mp4", "export/contact_sheet.png"]

    code, _, err = run(capsys, "export", str(folder), "--format", "fbx")
    assert code == 2 and "'fbx' is not one of glb, obj, ply, stl" in err
    code, _, err = run(capsys, "export", str(folder), "--format", "glb", "export.mesh=null")
    assert code == 2 and "no exporter of this run writes meshes (its exporters: turntable)" in err
    code, _, err = run(capsys, "export", str(folder), "--format", "glb", "export.mesh.threshold=1e9")
    assert code == 2 and "There is no surface" in err and "lower export.mesh.threshold" in err


def test_an_unfinished_run_says_so(capsys, tiny):
    code, _, _ = run(
        capsys, "--config", str(tiny.recipe_file()), "trainer.steps=2", "trainer.image_every=0", "export=null"
    )
    (folder,) = (tiny.folder / "outputs" / "tiny").iterdir()
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["stages"] = {}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    code, out, err = run(
        capsys,
        "export",
        str(folder),
        "export.mesh.formats=[ply]",
        "export.mesh.resolution=12",
        "export.mesh.threshold=1.0",
    )
    assert code == 0, err
    assert "notice    stage main has not finished" in out


def files_in(folder):
    return sorted(path.name for path in (folder / "export").iterdir())


def test_exporting_again_removes_what_it_replaces_and_makes_the_folder_again(capsys, tiny):
    quick = ["trainer.steps=1", "trainer.image_every=0", "export.turntable=null", "export.mesh.verify_views=0"]
    code, _, err = run(capsys, "--config", str(tiny.recipe_file()), *quick)
    assert code == 0, err
    (folder,) = (tiny.folder / "outputs" / "tiny").iterdir()
    assert files_in(folder) == ["mesh.glb", "mesh.mtl", "mesh.obj", "texture.png"]
    (folder / "export" / "mine.txt").touch()
    outside = folder / "recipe.yaml"
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["exports"]["mesh"]["files"] += ["recipe.yaml", "export/../recipe.yaml", "/etc/hostname"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    code, _, err = run(capsys, "export", str(folder), "--format", "stl", "export.mesh.verify_views=0")
    assert code == 0, err
    assert files_in(folder) == ["mesh.stl", "mine.txt"] and outside.is_file()
    assert json.loads((folder / "manifest.json").read_text())["exports"]["mesh"]["files"] == ["export/mesh.stl"]

    shutil.rmtree(folder / "export")
    code, _, err = run(capsys, "export", str(folder), "--format", "ply", "export.mesh.verify_views=0")
    assert code == 0 and files_in(folder) == ["mesh.ply"], err


def test_a_file_that_another_exporter_wrote_anew_is_its_own(tmp_path):
    folder = RunFolder(tmp_path)
    folder.export.mkdir()
    for name in ("mesh.glb", "mesh.obj"):
        (folder.export / name).touch()
    folder.record_export("first", [folder.export / "mesh.glb", folder.export / "mesh.obj"], {"faces": 3})
    folder.record_export("second", [folder.export / "mesh.glb"], {})
    folder.record_export("first", [], {})
    assert files_in(tmp_path) == ["mesh.glb"]
    assert folder.manifest["exports"]["second"]["files"] == ["export/mesh.glb"]


def test_saved_triangles_are_enough_where_the_file_is_gone(capsys, tiny):
    path = tiny.folder / "box.obj"
    shape = trimesh.creation.box()
    shape.invert()
    shape.export(path)
    own = {
        "geometry": {"type": "mesh", "asset": {"path": str(path)}, "features": {"levels": 2, "log2_table_size": 8}},
        "renderer": {"type": "mesh"},
        "tasks": {"random": {"losses": {"sparsity": None}}},
    }
    recipe = str(tiny.recipe_file({"system": own, "trainer": {"steps": 2, "image_every": 0}, "export": None}))
    code, out, err = run(capsys, "--config", recipe)
    assert code == 0, err
    assert f"notice    {path}: 12 of its 12 triangles looked inward and are turned" in out
    (folder,) = (tiny.folder / "outputs" / "tiny").iterdir()
    path.unlink()
    code, out, err = run(capsys, "export", str(folder), "export.mesh.type=mesh", "export.mesh.texture_size=32")
    assert code == 0, err
    assert "8 vertices, 12 faces, 0 loose pieces dropped, watertight" in out and "back-faces" not in out


def test_a_mesh_that_cannot_be_used_is_one_line_before_training(capsys, tiny):
    path = tiny.folder / "nan.obj"
    path.write_text("v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    own = {
        "geometry": {"type": "mesh", "asset": {"path": str(path)}},
        "renderer": {"type": "mesh"},
        "tasks": {"random": {"losses": {"sparsity": None}}},
    }
    code, _, err = run(capsys, "--config", str(tiny.recipe_file({"system": own})))
    assert code == 2 and "1 of its 3 vertices are not finite numbers" in err and "Traceback" not in err


def test_a_resolution_that_cannot_fit_is_refused_by_check(capsys, tiny):
    code, _, err = run(capsys, "check", str(tiny.recipe_file()), "export.mesh.resolution=100000")
    assert code == 2 and "resolution: must lie in [8, 1024], got 100000" in err
