"""The page: controls beside the scene, the same for every browser. Imports viser."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import replace
from typing import Any

import numpy as np
import viser
import viser.transforms
from PIL import Image

from bozzetto.live import Action, Request, State
from bozzetto_view.changing import Changing
from bozzetto_view.curves import curves_of
from bozzetto_view.exports import Exports, step_back
from bozzetto_view.pictures import SHOWN, Look
from bozzetto_view.source import Source
from bozzetto_view.texts import escaped, last_words, status_text

LATEST = "latest"
"""Choice of the stage that is trained, or was trained last."""
CHOSEN = "\N{BLACK CIRCLE} "
"""Before the label of the chosen stage."""
MOST_IMAGES = 24
"""Maximum number of images of the guidance."""
PANEL_PIXELS = 370
"""Width of the controls: their tabs fit into one row."""
SURE_S = 5.0
"""Seconds within which `stop` must be pressed a second time."""


class Page:
    """Controls of a run, brought up to date by `refresh`."""

    def __init__(self, server: viser.ViserServer, source: Source) -> None:
        self.server, self.source = server, source
        self.state: State | None = None
        self.look = Look()
        self.stage: str | None = None
        """Chosen stage; None: the latest."""
        self.guidance = False
        """Whether somebody wants to see what the guidance sees."""
        self.fault = ""
        """Why there is no new picture; empty: there is."""
        self._stop_until = 0.0
        self._frusta = 0
        """Number of training cameras that are shown."""
        self._sent: dict[str, str] = {}
        """What was asked for, by name of the request."""
        self._plots: dict[str, Any] = {}
        self._images: dict[str, Any] = {}
        self._seen: dict[str, object] = {}
        """What is shown now, by place, so that only what differs is sent."""
        server.gui.configure_theme(show_logo=False, show_share_button=False)
        server.gui.main_panel.dock_right()
        server.gui.main_panel.set_width(PANEL_PIXELS)
        self._status = server.gui.add_markdown("...")
        self._progress = server.gui.add_progress_bar(0.0)
        self._answer = server.gui.add_markdown("")
        tabs = server.gui.add_tab_group()
        with tabs.add_tab("Run"):
            self._make_run()
        with tabs.add_tab("Change"):
            self._changing = Changing(server, source, lambda key, value: self._ask("change", key, value))
        with tabs.add_tab("Losses"):
            self._curves = server.gui.add_markdown("No numbers yet.")
            self._losses = server.gui.add_folder("Metrics")
        with tabs.add_tab("Guidance"):
            self._make_guidance()
        with tabs.add_tab("Export"):
            self._exports = Exports(server, source)

    def _make_run(self) -> None:
        gui = self.server.gui
        self._pause = gui.add_button("Pause")
        self._save = gui.add_button("Save now")
        self._stop = gui.add_button("Stop", color="red")
        self._stages = gui.add_button_group("stage", (LATEST,), visible=False)
        self._shown = gui.add_dropdown("picture", SHOWN, initial_value="colour")
        self._azimuth = gui.add_slider("light azimuth", -180, 180, 5, int(self.look.light_azimuth_deg))
        self._elevation = gui.add_slider("light elevation", -90, 90, 5, int(self.look.light_elevation_deg))
        self._cameras = gui.add_checkbox("training cameras", False)
        self._stages.on_click(lambda _: self._choose(self._stages.value))
        self._pause.on_click(lambda _: self._toggle())
        self._save.on_click(lambda _: self._save_now())
        self._stop.on_click(lambda _: self._ask_to_stop())
        handles: tuple[Any, ...] = (self._shown, self._azimuth, self._elevation, self._cameras)
        for handle in handles:
            handle.on_update(lambda _: self._looked())

    def _make_guidance(self) -> None:
        self._see = self.server.gui.add_checkbox("show what the guidance sees", False)
        self._told = self.server.gui.add_markdown(
            "Each look costs the training some predictions, 5 % of its time at most."
        )
        self._seen_by_it = self.server.gui.add_folder("Latest step")
        self._see.on_update(lambda _: setattr(self, "guidance", self._see.value))

    def _ask(self, action: Action, key: str = "", value: Any = None) -> str:
        """Send a request and return its name; a problem is shown, and the name is empty."""
        try:
            name = self.source.live.send(Request(action, key, value))
        except (OSError, ValueError) as error:
            self._answer.content = escaped(f"Not sent: {error}")
            return ""
        what = f"{action} {key or ', '.join(value or ())}".strip()
        self._sent = dict([*self._sent.items(), (name, what)][-20:])
        self._answer.content = escaped(f"Asked for: {what}. It acts after the step that is being trained.")
        return name

    def _toggle(self) -> None:
        self._ask("resume" if self.state and self.state.paused else "pause")

    def _save_now(self) -> None:
        self._ask("save")

    def _ask_to_stop(self) -> None:
        if time.monotonic() < self._stop_until:
            self._ask("stop")
            self._stop_until = 0.0
        else:
            self._stop_until = time.monotonic() + SURE_S
            self._stop.label = "Stop? Press again"

    def _choose(self, label: str) -> None:
        """Show a stage, given by its button."""
        name = label.removeprefix(CHOSEN)
        self.stage = None if name == LATEST else name
        self._refresh_stages(self.state)

    def _refresh_stages(self, state: State | None) -> None:
        """Offer a button for each stage of which there is something to show; the chosen one is marked."""
        names = self.source.stages(state)
        labels = tuple(f"{CHOSEN if name == (self.stage or LATEST) else ''}{name}" for name in (LATEST, *names))
        if self._seen.get("stages") != labels:
            self._seen["stages"] = labels
            self._stages.options = labels
            self._stages.visible = len(self.source.recipe.stages) > 1

    def _looked(self) -> None:
        self.look = replace(
            self.look,
            shown=self._shown.value,
            light_azimuth_deg=float(self._azimuth.value),
            light_elevation_deg=float(self._elevation.value),
            with_depth=self._cameras.value or self._exports.visible,
        )

    def refresh(self) -> bool:
        """Bring everything up to date; return whether the run is being trained."""
        if self.source.deleted:
            self._set(self._status, "**This run has been deleted.** What is shown is the last that was read of it.")
            self._enable(False)
            return False
        self.state = state = self.source.state()
        training = self.source.training
        self._refresh_stages(state)
        self._set(self._status, status_text(self.source, state, training, self.fault))
        self._refresh_progress(state, training)
        self._refresh_answers(state)
        self._changing.refresh(state)
        self._enable(training)
        self._refresh_cameras(state if training and self._cameras.value else None)
        self._refresh_curves(state)
        self._refresh_guidance(state)
        self._exports.refresh()
        self._looked()
        return training

    def end(self) -> None:
        """Say what has become of the run, and how to open it again; nothing acts any more."""
        title, lines = last_words(self.source)
        self._set(self._status, "\n\n".join([f"**{escaped(title)}**", *map(escaped, lines)]))
        self._set(self._answer, "This page has ended.")
        self._enable(False)
        for client in self.server.get_clients().values():
            with contextlib.suppress(asyncio.InvalidStateError):  # it is just leaving
                client.add_notification(title, "".join(lines[-1:]), auto_close_seconds=None)

    def _refresh_progress(self, state: State | None, training: bool) -> None:
        if state is not None:
            value = round(100.0 * state.step / max(state.steps, 1), 1)
            if self._seen.get("progress") != value:
                self._seen["progress"] = value
                self._progress.value = value  # type: ignore[misc]  # viser gives it a setter in a way that mypy does not see
        label = "Resume" if training and state is not None and state.paused else "Pause"
        if self._pause.label != label:
            self._pause.label = label
        if self._stop.label != "Stop" and time.monotonic() > self._stop_until:
            self._stop.label = "Stop"

    def _refresh_answers(self, state: State | None) -> None:
        answers = state.answers if state is not None else ()
        mine = [answer for answer in answers if answer.name in self._sent]
        if mine:
            last = mine[-1]
            self._set(self._answer, escaped(("Refused: " if last.refused else "") + last.text))

    def _enable(self, training: bool) -> None:
        for handle in (self._pause, self._save, self._stop, self._changing.button):
            if handle.disabled == training:
                handle.disabled = not training

    def _refresh_cameras(self, state: State | None) -> None:
        views = state.views if state is not None else ()
        if self._seen.get("views") == views:
            return
        before, self._frusta = self._frusta, len(views)
        self._seen["views"] = views
        for number, view in enumerate(views):
            c2w = np.array(view.c2w)
            rotation = viser.transforms.SO3.from_matrix(c2w[:3, :3] * np.array([1.0, -1.0, -1.0]))
            self.server.scene.add_camera_frustum(
                f"/cameras/{number}", view.fov_y_rad, view.aspect, scale=0.25, color=(220, 110, 20),
                wxyz=rotation.wxyz, position=c2w[:3, 3],
            )  # fmt: skip
        for number in range(len(views), before):
            self.server.scene.remove_by_name(f"/cameras/{number}")
        if views and not before:
            step_back(self.server)

    def _refresh_curves(self, state: State | None) -> None:
        names = [stage.name for stage in self.source.recipe.stages]
        name = self.stage or (state.stage if state is not None else self.source.latest(state)) or names[0]
        path = self.source.folder.metrics / f"{name}.csv"
        version = (name, path.stat().st_mtime_ns if path.is_file() else 0)
        if self._seen.get("curves") == version:
            return
        self._seen["curves"] = version
        for title, curve in curves_of(path).items():
            if title in self._plots:
                self._plots[title].data = curve
                continue
            with self._losses:
                self._plots[title] = self.server.gui.add_uplot(
                    curve, ({}, {"label": title, "stroke": "#1b6ca8", "width": 2}), title=title, aspect=2.0,
                    scales={"x": {"time": False}},
                )  # fmt: skip
        self._set(self._curves, f"Stage {escaped(name)}." if self._plots else "No numbers yet.")

    def _refresh_guidance(self, state: State | None) -> None:
        """Show the photos that the run reads, and what its guidance saw last."""
        paths = sorted(self.source.folder.images.glob("photo*.png"))
        if state is not None and self.guidance:
            paths += [self.source.live.folder / name for name in state.pictures]
        for path in paths[:MOST_IMAGES]:
            name = path.stem.removeprefix("guidance-")
            try:
                version = path.stat().st_mtime_ns
                if self._seen.get(name) == version:
                    continue
                pixels = np.asarray(Image.open(path).convert("RGB"))
            except OSError:  # being replaced, or deleted
                continue
            self._seen[name] = version
            if name in self._images:
                self._images[name].image = pixels
            elif len(self._images) < MOST_IMAGES:
                with self._seen_by_it:
                    self._images[name] = self.server.gui.add_image(pixels, label=name, format="jpeg")

    def _set(self, handle: Any, text: str) -> None:
        if handle.content != text:
            handle.content = text
