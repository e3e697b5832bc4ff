"""How long a campaign takes, and how long the light is on: from the bench file, or as measured.

What the file does not say is guessed, in the constants below; a measured frame or trial replaces
the guesses it covers, and `Pace.source` says which it was.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from instrument.bench.acquisition import DARK_FRAMES
from instrument.bench.bench import Bench
from instrument.bench.calibration import PROTOCOLS
from instrument.config import Config, ExposureParameter, NoiseCalibrate, triggered_role

TRAVEL_S = 0.05
"""Guess of one move of a stage or one command to a modulator, before it settles."""

READOUT_S = 0.01
"""Guess of what a frame takes beyond its exposure."""

SCORE_S = {"auto-gaussian": 0.15, "gaussian": 0.1, "stationary": 0.1}
"""Guess of one score; of a density that the campaign has trained it is `TRAINED_SCORE_S`."""

TRAINED_SCORE_S = 0.7
TRAINING_S = 15.0
"""Guess of training a density before the first trial. Both measured on the demo, two cores."""

LEVEL_S = 0.3
"""Guess of what a level of a calibration takes beyond its exposures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Seconds that the parts of a trial take.

    Parameters
    ----------
    objects, shots
        Of a batch.
    frame_s
        One frame with its exposure.
    move_s, moves
        From object to object with settling, and how often in a batch.
    shot_s, shot_changes
        From shot to shot with settling, and how often.
    apply_s, light_s, score_s
        Bringing the design, switching the light, the score.
    trial_s
        A whole trial as measured; None to add up the parts.
    source
        What the numbers come from, in words.
    """

    objects: int
    shots: int
    frame_s: float
    move_s: float
    moves: int
    shot_s: float
    shot_changes: int
    apply_s: float
    light_s: float
    score_s: float
    trial_s: float | None = None
    source: str = "bench file"

    @property
    def frames(self) -> int:
        """Frames of a batch that are scored."""
        return self.objects * self.shots

    @property
    def lit_s(self) -> float:
        """Light on during a batch."""
        changing_s = self.moves * self.move_s + self.shot_changes * self.shot_s
        return self.frames * self.frame_s + changing_s + self.light_s

    @property
    def object_lit_s(self) -> float:
        """Light on while the stage is at one object, or on its way there."""
        return self.lit_s / self.objects

    @property
    def whole_trial_s(self) -> float:
        """One trial, from its design to its score."""
        if self.trial_s is not None:
            return self.trial_s
        return self.apply_s + DARK_FRAMES * self.frame_s + self.lit_s + self.score_s

    def repeats_s(self, repeats: int) -> float:
        """Return how long the light is on for a self-check of one object."""
        return repeats * self.frame_s + self.move_s + self.light_s

    def measured(
        self, *, frame_s: float | None = None, trial_s: float | None = None, source: str
    ) -> Pace:
        """Return this pace with what was measured in place of the guess."""
        frame = self.frame_s if frame_s is None else frame_s
        return replace(self, frame_s=frame, trial_s=trial_s, source=source)


def pace_of(config: Config, bench: Bench) -> Pace:
    """Return the pace that the bench file suggests; of a searched exposure, the longest."""
    objects, shots = config.objects.stage_grid.count, config.shots
    exposures_ms = [
        p.bounds_ms[1] for p in config.design.values() if isinstance(p, ExposureParameter)
    ]
    per_shot = [p.role for p in config.design.values() if p.per_shot]
    steps = bool(per_shot) and shots > 1 and triggered_role(config) is None
    objects_first = config.shots_order == "objects_first"
    return Pace(
        objects=objects,
        shots=shots,
        frame_s=max([bench.exposure_ms, *exposures_ms]) / 1e3 + READOUT_S,
        move_s=TRAVEL_S + _settle_s(config, [config.objects.stage_grid.role]),
        moves=objects if objects_first else objects * shots,
        shot_s=TRAVEL_S + _settle_s(config, per_shot),
        shot_changes=(objects * shots if objects_first else shots) if steps else 0,
        apply_s=TRAVEL_S + _settle_s(config, [p.role for p in config.design.values()]),
        light_s=_settle_s(config, list(bench.lights())),
        score_s=SCORE_S.get(config.score.density, TRAINED_SCORE_S),
    )


def calibration_s(config: Config) -> tuple[float, float]:
    """Return how long a calibration before the run takes, and how much of it the light is on."""
    if not isinstance(config.noise, NoiseCalibrate):
        return 0.0, 0.0
    protocol = PROTOCOLS[config.noise.calibrate]
    cameras = [r.exposure_ms for r in config.bench.roles.values() if r.kind == "camera"]
    exposure_s = max(cameras, default=0.0) / 1e3
    series = protocol.dark_series_frames * sum(protocol.dark_exposures)
    dark_s = (protocol.dark_frames + series) * exposure_s
    lit_s = (protocol.levels + 1) * (protocol.frames * exposure_s + LEVEL_S)
    return dark_s + lit_s, lit_s


def _settle_s(config: Config, roles: list[str]) -> float:
    settings = [config.bench.roles[role] for role in roles]
    return max((getattr(role, "settle_ms", 0.0) for role in settings), default=0.0) / 1e3
