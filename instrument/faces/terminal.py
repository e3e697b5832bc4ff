"""Progress in the terminal: one bar, the best so far, what is left, and every notice."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from drivers import DeviceDescription
from estimation.calibration import CalibrationResult
from instrument.bench.limits import span
from instrument.campaign.events import (
    CampaignEnded,
    CampaignStarted,
    Event,
    FrameCaptured,
    NoiseChecked,
    Notice,
    PreflightDone,
    StateChanged,
    TrialScored,
    TrialStarted,
)
from instrument.campaign.states import State
from instrument.config import (
    CameraRole,
    Config,
    LightRole,
    PropertyRole,
    Role,
    RotationRole,
    SelectorRole,
    ShutterRole,
    SlmRole,
    StageRole,
    XYStageRole,
)
from instrument.design import DesignSpace, Parameter
from instrument.faces.preflight import preflight_table


class ProgressBar:
    """Observer that draws a campaign's progress on a console.

    Parameters
    ----------
    console
        Where to draw; standard error, so that `--json` has standard output to itself.
    """

    def __init__(self, console: Console):
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[scores]}"),
            console=console,
            transient=False,
        )
        self._task = self._progress.add_task("connecting", total=None, scores="")
        self._phase = "initial"
        self._progress.start()
        self._began_s = time.monotonic()

    def __call__(self, event: Event) -> None:
        """Take an event."""
        match event:
            case CampaignStarted():
                self._progress.update(
                    self._task, description=self._phase, total=event.trials, completed=event.done
                )
            case PreflightDone():
                self._progress.console.print(preflight_table(event.preflight))
            case TrialStarted():
                self._phase = event.phase
                self._progress.update(self._task, description=event.phase)
            case StateChanged():
                shown = self._phase if event.now == State.RUNNING else str(event.now)
                self._progress.update(self._task, description=shown)
            case FrameCaptured():
                pass
            case TrialScored():
                self._scored(event)
            case NoiseChecked():
                style = "bold red" if event.is_alarm else "dim"
                self._progress.console.print(
                    event.headline, style=style, markup=False, highlight=False
                )
            case Notice():
                self._say(event.text)
            case CampaignEnded():
                self._progress.update(self._task, description=event.status)

    def close(self) -> None:
        """Leave the last state of the bar on the screen."""
        self._progress.stop()

    def _say(self, text: str) -> None:
        """Print what may hold labels of devices: their brackets are no markup."""
        self._progress.console.print(text, style="yellow", markup=False, highlight=False)

    def _scored(self, event: TrialScored) -> None:
        if event.why is not None:
            self._say(f"trial {event.trial} failed: {event.why}")
        now = "-" if event.bits_per_pixel is None else f"{event.bits_per_pixel:.3f}"
        best = "-" if event.best_bits_per_pixel is None else f"{event.best_bits_per_pixel:.3f}"
        self._progress.update(
            self._task,
            completed=event.trial + 1,
            scores=f"{now} bits/px{_of_objects(event.sampling)}, best [bold]{best}[/]",
        )


def _of_objects(sampling: dict[str, Any] | None) -> str:
    """Say how many objects were enough, where the batch was adaptive."""
    return "" if sampling is None else f" from {sampling['objects']} objects ({sampling['why']})"


class LevelBar:
    """Progress of a calibration, level by level."""

    def __init__(self, console: Console):
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
        )
        self._task = self._progress.add_task("connecting", total=None)
        self._progress.start()

    def __call__(self, done: int, of: int, what: str) -> None:
        """Take a level that is captured."""
        self._progress.update(self._task, completed=done, total=of, description=what)

    def close(self) -> None:
        """Leave the last state of the bar on the screen."""
        self._progress.stop()


def calibration_table(result: CalibrationResult) -> Table:
    """Return the sensor's numbers with their one-sigma errors."""
    table = Table(title="sensor", title_justify="left")
    for heading in ("quantity", "value", "unit"):
        table.add_column(heading)
    read = result.read_noise
    table.add_row("gain", f"{result.gain:.4f} +- {result.gain_se:.4f}", "ADU/e-")
    table.add_row("offset, mean", f"{result.offset.mean():.2f}", "ADU")
    table.add_row("offset spread (DSNU)", f"{result.dsnu:.3f}", "e-")
    table.add_row("read noise, median", f"{np.median(read):.3f}", "e- rms")
    table.add_row("read noise, rms", f"{np.sqrt(np.mean(read**2)):.3f}", "e- rms")
    if result.dark_current is not None:
        table.add_row("dark current, median", f"{np.median(result.dark_current):.3g}", "e-/s")
    if result.saturation is not None:
        table.add_row("saturation", f"{result.saturation:.0f}", "ADU")
    if result.dynamic_range is not None:
        table.add_row("dynamic range", f"{20 * np.log10(result.dynamic_range):.1f}", "dB")
    table.add_row("pixels with a defect", f"{int((result.defects != 0).sum())}", "")
    return table


def device_table(devices: list[DeviceDescription], config: Config) -> Table:
    """Devices of a bench by role, with their own limits and what the bench file asks.

    Parameters
    ----------
    devices
        In the order of the roles.
    config
        The bench file.
    """
    table = Table(title="bench", title_justify="left")
    for heading in ("role", "device", "identity", "device limits", "bench file"):
        table.add_column(heading, overflow="fold")
    for (name, role), device in zip(config.bench.roles.items(), devices, strict=True):
        own = "\n".join(f"{what} {span(limits)}" for what, limits in device.limits.items())
        cells = (name, role.device, device.identity, own or "-", _asked(role))
        table.add_row(*map(escape, cells))  # brackets of a label are no markup
    return table


def design_table(space: DesignSpace) -> Table:
    """Return the parameters of a design space with their bounds or choices, and the start.

    Parameters
    ----------
    space
        As the bench gives it.
    """
    table = Table(title="design", title_justify="left")
    for heading in ("parameter", "components", "bounds or choices", "start"):
        table.add_column(heading, overflow="fold")
    for parameter in space.parameters:
        first, last = parameter.labels[0], parameter.labels[-1]
        shown = first if parameter.size == 1 else f"{parameter.size}: {first} to {last}"
        cells = (parameter.name, shown, _range(parameter), _start(parameter))
        table.add_row(*map(escape, cells))
    return table


def _range(parameter: Parameter) -> str:
    if parameter.choices:
        return ", ".join(parameter.choices)
    bounds = parameter.bounds or ((parameter.lower, parameter.upper),)
    unit = "" if parameter.unit == "1" else f" {parameter.unit}"
    return "\n".join(f"{span(bound)}{unit}" for bound in dict.fromkeys(bounds))


def _start(parameter: Parameter) -> str:
    values = [
        parameter.choices[int(value)] if parameter.choices else f"{value:g}"
        for value in parameter.start
    ]
    return ", ".join(dict.fromkeys(values)) if len(set(values)) == 1 else ", ".join(values)


def _asked(role: Role) -> str:
    match role:
        case CameraRole():
            mode = {"roi": role.roi, "binning": role.binning, "pixel_type": role.pixel_type}
            said = {**mode, **role.properties}
            lines = [f"{key} {value}" for key, value in said.items() if value is not None]
            return "\n".join([f"exposure {role.exposure_ms:g} ms", *lines])
        case SlmRole() | SelectorRole():
            return f"settles in {role.settle_ms:g} ms"
        case RotationRole():
            return f"{span(role.limits_deg)} deg"
        case PropertyRole():
            unit = "" if role.unit == "1" else f" {role.unit}"
            return f"{role.property} {span(role.limits)}{unit}"
        case StageRole():
            return f"{span(role.limits_um)} um"
        case XYStageRole():
            return "\n".join(
                f"{axis} {span(limits)} um"
                for axis, limits in zip("xy", role.limits_um, strict=True)
            )
        case LightRole():
            what = role.quantity() or "limits"
            return f"{what} {span(role.limits)}, level {role.level:g}, safe {role.safe:g}"
        case ShutterRole():
            return "closed but for frames"
