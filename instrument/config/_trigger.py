"""When a modulator's own sequence brings the shots of a measurement, and what forbids it."""

from __future__ import annotations

from collections.abc import Iterator

from instrument.config._interlock_checks import why_bounded
from instrument.config._model import Config
from instrument.config._modulator import SlmRole
from instrument.config._parameters import ExposureParameter
from instrument.config._roles import CameraRole


def triggered_role(config: Config) -> str | None:
    """Return the modulator whose own sequence brings the shots; None where the program steps.

    It must be the only role that differs between shots, and all shots of an object come in turn.
    """
    per_shot = [parameter.role for parameter in config.design.values() if parameter.per_shot]
    if config.shots == 1 or config.shots_order != "objects_first" or len(per_shot) != 1:
        return None
    role = config.bench.roles.get(per_shot[0])
    is_triggered = isinstance(role, SlmRole) and role.trigger is not None
    return per_shot[0] if is_triggered else None


def problems_of_triggers(config: Config) -> Iterator[str]:
    """One sentence for everything that a triggered capture could not do for this file."""
    name = triggered_role(config)
    if name is None:
        return
    key = f"bench.roles.{name}.trigger"
    cameras = [n for n, role in config.bench.roles.items() if isinstance(role, CameraRole)]
    if len(cameras) > 1:
        yield (
            f"`{key}`: the shots follow the frames of one camera, and the others "
            f"(of {', '.join(cameras)}) could not be exposed between them; leave trigger out, or "
            "keep one camera"
        )
    why = why_bounded(config)
    if config.bench.interlocks and why is not None:
        yield from _too_long(key, why, config)


def _too_long(key: str, why: str, config: Config) -> Iterator[str]:
    """Refuse captures during which Micro-Manager cannot be asked, or told, for too long."""
    longest_s = config.safety.interlock_interval_s
    exposures_ms = [
        role.exposure_ms for role in config.bench.roles.values() if isinstance(role, CameraRole)
    ]
    exposures_ms += [
        parameter.bounds_ms[1]
        for parameter in config.design.values()
        if isinstance(parameter, ExposureParameter)
    ]
    exposure_ms = max(exposures_ms, default=0.0)
    if config.shots * exposure_ms / 1e3 > longest_s:
        yield (
            f"`{key}`: {config.shots} shots of up to {exposure_ms:g} ms are one capture, but {why} "
            f"while Micro-Manager exposes, and safety.interlock_interval_s is {longest_s:g} s; "
            "expose for less, leave trigger out, or allow it to take longer"
        )
