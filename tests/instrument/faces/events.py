"""A campaign as its observers see it, made by hand: one of each event."""

import numpy as np

from instrument.campaign.events import (
    CampaignEnded,
    CampaignStarted,
    FrameCaptured,
    NoiseChecked,
    Notice,
    StateChanged,
    TrialScored,
    TrialStarted,
)
from instrument.campaign.states import State
from instrument.design import Design, DesignSpace, Parameter

SPACE = DesignSpace((
    Parameter(name="focus", unit="um", lower=-10.0, upper=10.0, labels=("focus",), start=(0.0,)),
))
DESIGN = SPACE.start
FRAME = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
PATTERN = (np.arange(128 * 128) % 256).astype(np.uint8).reshape(128, 128)

STARTED = CampaignStarted(run_dir="runs/demo", space=SPACE, trials=6, done=0)
RUNNING = StateChanged(before=State.CONNECTING, now=State.RUNNING, why=None)
PAUSED = StateChanged(before=State.RUNNING, now=State.PAUSED, why="viewer")
NOTICE = Notice(text="the lamp was late")
ALARM = NoiseChecked(when="end", text="quieter than calibrated", is_alarm=True)
ENDED = CampaignEnded(status="finished", text="done.")


def trial_started(trial: int, phase: str = "search") -> TrialStarted:
    return TrialStarted(trial=trial, phase=phase, design=DESIGN, patterns={"slm": PATTERN})


def frame(trial: int, index: int = 0, pixels=FRAME) -> FrameCaptured:
    return FrameCaptured(trial=trial, index=index, of=8, frame=pixels)


def scored(trial: int, bits: float | None, *, phase: str = "search", best: int = 0) -> TrialScored:
    return TrialScored(
        trial=trial,
        phase=phase,
        design=Design({"focus": (0.0,)}),
        bits_per_pixel=bits,
        standard_error=None if bits is None else 0.05,
        best_trial=best,
        best_bits_per_pixel=2.5,
        seconds=1.0,
        why="camera (role camera): too bright" if bits is None else None,
    )
