"""A run as a Python object: its mesh, pictures and metrics, from its folder. Imports torch only to render or export."""

from __future__ import annotations

import base64
import csv
import html
import tempfile
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bozzetto.config.loading import load_recipe
from bozzetto.engine.run_folder import RunFolder
from bozzetto.engine.stopping import StopSignals
from bozzetto.errors import ConfigError, ExportError
from bozzetto.machine import accelerators as hardware
from bozzetto.recipe import Recipe
from bozzetto.registry.discovery import Registry
from bozzetto.runs.start import import_heavy, open_device

if TYPE_CHECKING:
    import numpy as np
    import trimesh
    from jaxtyping import Float, UInt8

    from bozzetto.kinds.scene import Scene
    from bozzetto.types import Cameras

Number = int | float
Shown = Literal["color", "normal", "opacity"]


class Run:
    """A run in its folder, finished or not.

    Args:
        folder: of the run.
        registry: components that its recipe may name.
    """

    def __init__(self, folder: RunFolder, registry: Registry) -> None:
        self._folder, self._registry = folder, registry

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, {'finished' if self.finished else 'not finished'})"

    def _repr_html_(self) -> str:
        """Return the contact sheet, or the last validation image, for a notebook."""
        caption = html.escape(f"{self.recipe.subject} ({self.path})")
        picture = self.contact_sheet or next(iter(reversed(self.images)), None)
        if picture is None:
            return f"<p>{caption}: no image yet</p>"
        data = base64.b64encode(picture.read_bytes()).decode()
        return f'<figure><img src="data:image/png;base64,{data}"><figcaption>{caption}</figcaption></figure>'

    @property
    def path(self) -> Path:
        """Run folder."""
        return self._folder.path

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe as it ran, overrides applied."""
        return load_recipe(self._folder.recipe_file, self._registry, [], self._folder.profile, hardware.detect())

    @property
    def finished(self) -> bool:
        """True if every stage has trained to its last step."""
        return all(self._folder.finished(stage.name, stage.trainer.steps) for stage in self.recipe.stages)

    @property
    def images(self) -> Sequence[Path]:
        """Validation images (PNG), oldest first."""
        return sorted(self._folder.images.glob("*-[0-9]*.png"), key=lambda path: path.stat().st_mtime_ns)

    @property
    def turntable(self) -> Path | None:
        """Exported video; None if there is none."""
        return self._exported("turntable.mp4")

    @property
    def contact_sheet(self) -> Path | None:
        """Exported picture of all sides (PNG); None if there is none."""
        return self._exported("contact_sheet.png")

    @property
    def metrics(self) -> Mapping[str, Mapping[str, Sequence[float]]]:
        """Columns of the metrics of each stage: `step` and every logged number; NaN where a step logged none."""
        found = {}
        for stage in self.recipe.stages:
            path = self._folder.metrics / f"{stage.name}.csv"
            if path.is_file():
                with path.open(newline="", encoding="utf-8") as stream:
                    rows = list(csv.DictReader(stream))
                names = list(rows[0]) if rows else []
                found[stage.name] = {name: [float(row[name] or "nan") for row in rows] for name in names}
        return found

    def mesh(self) -> trimesh.Trimesh:
        """Load the exported GLB, as it is written: y up, front toward +z, metres.

        Raises:
            ConfigError: the run has exported none.
        """
        import trimesh

        path = self._exported("mesh.glb")
        if path is None:
            raise ConfigError(f'{self.path} has no mesh.glb. Export one: run.export("glb", "mesh.glb")')
        loaded = trimesh.load(path, force="mesh", process=False)
        if not isinstance(loaded, trimesh.Trimesh):
            raise ConfigError(f"{path} holds no mesh.")
        return loaded

    def render(
        self, azimuth_deg: Number | Sequence[Number] = 0, elevation_deg: Number = 15, size: int = 256,
        show: Shown = "color", distance: Number | None = None, fov_y_deg: Number | None = None,
    ) -> UInt8[np.ndarray, "H W 3"] | UInt8[np.ndarray, "B H W 3"]:  # fmt: skip
        """Render the last stage's scene as validation images show it.

        Args:
            azimuth_deg: 0 is the front, 90 the left side (+y); a sequence renders several images.
            elevation_deg: in [-90, 90]; 90 is straight above.
            size: height and width, pixels.
            distance: world units; None: that of the recipe's evaluation cameras, as is `fov_y_deg`.

        Returns:
            sRGB over the evaluation background; one image for one azimuth.

        Raises:
            ConfigError: nothing has been trained yet, or the scene shows latents instead of colours.
        """
        import torch

        several = isinstance(azimuth_deg, Sequence)
        scene, azimuths = self.scene, list(azimuth_deg) if isinstance(azimuth_deg, Sequence) else [azimuth_deg]
        cameras = _cameras(scene, azimuths, elevation_deg, size, distance, fov_y_deg)
        with torch.no_grad():
            rendered = scene.render(cameras, normal=show == "normal")
        if rendered.space != "rgb" and show == "color":
            raise ConfigError("The scene of this run shows latents, which have no colours. Finish its training first.")
        picture = rendered.opacity.expand(-1, -1, -1, 3) if show == "opacity" else rendered.image
        if show == "normal":
            assert rendered.normal is not None
            picture = 0.5 * (rendered.normal + 1.0) * rendered.opacity + (1.0 - rendered.opacity)
        pixels: UInt8[np.ndarray, "B H W 3"] = (picture.clamp(0, 1) * 255.0).round().byte().cpu().numpy()
        return pixels if several else pixels[0]

    @cached_property
    def scene(self) -> Scene:
        """The last stage's scene, on the run's device."""
        import_heavy(StopSignals())
        import torch

        from bozzetto.engine.pipeline import load_scene

        device = torch.device(open_device(self.recipe, hardware.detect()))
        return load_scene(self.recipe, self._registry, self._folder, device)

    def export(self, kind: Literal["glb", "obj", "ply", "stl"], path: str | Path) -> Path:
        """Export the mesh with the recipe's settings and write it at `path`; companions of an OBJ go beside it.

        Raises:
            ConfigError: the recipe has no exporter of meshes.
            ExportError: there is no surface; the message says what to change.
        """
        from dataclasses import replace

        from bozzetto.engine.build import make

        target = Path(path).expanduser()
        if not self.recipe.mesh_exporters:
            raise ConfigError("The recipe of this run has no exporter of meshes. Add one: export.mesh.type=mesh")
        _, chosen = self.recipe.mesh_exporters[0]
        config: Any = chosen.config
        exporter = make(self._registry, replace(chosen, config=replace(config, formats=(kind,))))
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            written = exporter.export(self.scene, Path(folder), lambda line: None).files
            (main,) = [file for file in written if file.suffix == f".{kind}"]
            for file in written:
                file.replace(target if file == main else target.parent / file.name)
        if not target.is_file():
            raise ExportError(f"{target} was not written.")
        return target

    def _exported(self, name: str) -> Path | None:
        path = self._folder.export / name
        return path if path.is_file() else None


def _cameras(
    scene: Scene, azimuth_deg: Sequence[Number], elevation_deg: Number, size: int, distance: Number | None,
    fov_y_deg: Number | None,
) -> Cameras:  # fmt: skip
    """Return square cameras that look at the origin; what is None is taken from the evaluation cameras."""
    import torch

    from bozzetto.math.cameras import look_at_origin, spherical_position
    from bozzetto.types import Cameras

    usual = scene.views.eval_cameras(1, scene.device)
    azimuth: Float[torch.Tensor, "B"] = torch.tensor(azimuth_deg, dtype=torch.float32, device=scene.device)
    away = usual.distance.expand_as(azimuth) if distance is None else torch.full_like(azimuth, distance)
    fov = (
        usual.fov_y_rad.expand_as(azimuth) if fov_y_deg is None else torch.deg2rad(torch.full_like(azimuth, fov_y_deg))
    )
    position = spherical_position(azimuth, torch.full_like(azimuth, elevation_deg), away)
    return Cameras(look_at_origin(position), fov.expand_as(azimuth), size, size)
