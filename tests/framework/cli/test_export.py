"""`bozzetto export`: formats by name, everything else left alone."""

import json

from bozzetto.cli import main


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
