"""Renders of a scene from all around: a video and a contact sheet from one rendering pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import imageio_ffmpeg
import torch

from bozzetto.errors import ExportError
from bozzetto.files import write_atomically
from bozzetto.kinds.exporter import Exported
from bozzetto.kinds.scene import Scene
from bozzetto.types import Cameras, Rendered, to_device
from bozzetto_plugins.exporter.config import TurntableConfig
from bozzetto_plugins.exporter.contact_sheet import Side, draw_sheet
from bozzetto_plugins.exporter.png import png_bytes, to_bytes
from bozzetto_plugins.exporter.white import White

VIDEO_QUALITY = 8
"""Quality setting of imageio-ffmpeg, 0 to 10."""


class Turntable:
    """Exporter of turntable.mp4 and contact_sheet.png, with the scene's evaluation cameras and shading."""

    def __init__(self, config: TurntableConfig) -> None:
        self.config = config

    @torch.no_grad()
    def export(self, scene: Scene, folder: Path, report: Callable[[str], None]) -> Exported:
        """Render `frames` views once and write the configured files; report one line.

        Raises:
            ExportError: the scene renders something other than RGB.
        """
        config = self.config
        views = replace(scene.views.eval_cameras(config.frames, scene.device), height=config.size, width=config.size)
        wanted_sides = {round(k * config.frames / config.sides) for k in range(config.sides)}
        video, sheet = "video" in config.outputs, "contact-sheet" in config.outputs
        frames: list[bytes] = []
        sides: list[Side] = []
        for number in range(config.frames):
            is_side = sheet and number in wanted_sides
            if not (video or is_side):
                continue
            camera = Cameras(
                views.c2w[number : number + 1], views.fov_y_rad[number : number + 1], views.height, views.width
            )
            rendered = self._render(scene, camera, normal=is_side)
            if video:
                frames.append(to_bytes(rendered.image[0]).tobytes())
            if is_side:
                sides.append(Side(float(camera.azimuth_deg), rendered))
        files = []
        if video:
            files.append(write_atomically(folder / "turntable.mp4", lambda path: self._write_video(path, frames)))
        if sheet:
            content = png_bytes(draw_sheet(sides))
            files.append(write_atomically(folder / "contact_sheet.png", lambda path: path.write_bytes(content)))
        report(f"Turntable: {self._summary(frames, sides)}; {', '.join(path.name for path in files)}.")
        return Exported(tuple(files), {"frames": len(frames), "sides": len(sides), "size": config.size})

    def _render(self, scene: Scene, camera: Cameras, normal: bool) -> Rendered:
        """Render one view and move it to the CPU."""
        shown = replace(scene, background=White()) if self.config.background == "white" else scene
        rendered = shown.render(camera, normal=normal)
        if rendered.space != "rgb":
            raise ExportError(
                f"The scene renders {rendered.space}, not colours, so there are no pictures to write. "
                "Remove 'turntable' from export, or use a renderer that gives RGB."
            )
        return to_device(replace(rendered, volume=None), torch.device("cpu"))

    def _write_video(self, path: Path, frames: list[bytes]) -> None:
        """Write H.264 in 4:2:0, which most players support, with the index at the front for streaming."""
        size = self.config.size
        writer = imageio_ffmpeg.write_frames(
            str(path),
            (size, size),
            fps=self.config.frames_per_second,
            codec="libx264",
            pix_fmt_out="yuv420p",
            quality=VIDEO_QUALITY,
            macro_block_size=2,
            ffmpeg_log_level="error",
            output_params=["-movflags", "+faststart"],
        )
        writer.send(None)
        for frame in frames:
            writer.send(frame)
        writer.close()

    def _summary(self, frames: list[bytes], sides: list[Side]) -> str:
        size = f"of {self.config.size} x {self.config.size} pixels"
        counts = [f"{len(frames)} frames"] * bool(frames) + [f"{len(sides)} sides"] * bool(sides)
        return f"{' and '.join(counts)} {size}"
