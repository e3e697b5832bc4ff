"""Claim: whatever a VISA line does, one typed error comes within timeout + 0.5 s, and light is off.

For every fault of `drivers.testing.FaultServer` that a question, a set or the opening can meet: the
class of the error, the worst time beyond the timeout, whether the session was usable afterwards,
whether light off reached the instrument while the fault lasted, and whether it was off in the end.
Then random faults on random questions and sets: an answer is the truth or an error, never that of
another question. The truth is read inside the virtual instrument, where no fault reaches.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from record import save

from drivers.errors import DeviceError
from drivers.testing import Fault, FaultServer
from drivers.virtual.scpi_server import VirtualLed
from drivers.visa import VisaInstrument, load_declaration

DECLARATION = Path(__file__).parents[1] / "configs" / "instruments" / "led_driver.yaml"
TIMEOUT_MS = 200.0
ALLOWED_MS = 500.0
"""Beyond the timeout; issue 5."""
IMPATIENT_MS = 30.0  # of the random faults, most of which would otherwise be waiting
LEVEL_MW = 3.5
SEED = 20

Operation = Callable[[VisaInstrument], object]


@dataclass(frozen=True, slots=True)
class Case:
    """A fault, the lines it strikes, and what is asked meanwhile."""

    name: str
    fault: Fault
    on: str
    operation: Operation | None
    expected: str


def read(instrument: VisaInstrument) -> float:
    return instrument.read("power_mw")


def set_level(instrument: VisaInstrument) -> float:
    return instrument.set("power_mw", 2 * LEVEL_MW)


_QUESTION, _COMMAND = r"SOUR:POW\?", "SOUR:POW "
CASES = [
    Case("no reply", Fault.NO_REPLY, _QUESTION, read, "DeviceTimeout"),
    Case("late reply", Fault.LATE_REPLY, _QUESTION, read, "DeviceTimeout"),
    Case("no terminator", Fault.NO_TERMINATOR, _QUESTION, read, "DeviceTimeout"),
    Case("garbage bytes", Fault.GARBAGE, _QUESTION, read, "ProtocolError"),
    Case("text for a number", Fault.TEXT_FOR_NUMBER, _QUESTION, read, "ProtocolError"),
    Case("NAN for a number", Fault.NOT_A_NUMBER, _QUESTION, read, "ProtocolError"),
    Case("over-range reading", Fault.OVER_RANGE, _QUESTION, read, "ProtocolError"),
    Case("flood", Fault.FLOOD, _QUESTION, read, "ProtocolError"),
    Case("closed mid-reply", Fault.CLOSED_MID_REPLY, _QUESTION, read, "ConnectionLost"),
    Case("reset", Fault.RESET, _QUESTION, read, "ConnectionLost"),
    Case("refused", Fault.REFUSED, _QUESTION, read, "ConnectionLost"),
    Case("over-range set", Fault.ACCEPTED_WITH_ERROR, _COMMAND, set_level, "InstrumentReported"),
    Case("set ignored", Fault.IGNORED, _COMMAND, set_level, "ProtocolError"),
    Case("error queue full", Fault.ERROR_QUEUE_FULL, _COMMAND, set_level, "InstrumentReported"),
    Case("error queue stuck", Fault.ERROR_QUEUE_STUCK, "SYST:ERR", set_level, "InstrumentReported"),
    Case("set unverified", Fault.NO_REPLY, _QUESTION, set_level, "DeviceTimeout"),
    Case("refused after a set", Fault.REFUSED, _COMMAND, set_level, "ConnectionLost"),
    Case("deaf at opening", Fault.NO_REPLY, "IDN", None, "DeviceTimeout"),
    Case("refused at opening", Fault.REFUSED, "IDN", None, "ConnectionLost"),
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of it, not saved")
    quick = parser.parse_args().quick
    logging.getLogger("drivers.visa").setLevel(logging.ERROR)  # its warnings are what is asked for
    repeats, faults = (2, 100) if quick else (20, 1000)
    rows = {case.name: measure(case, repeats) for case in CASES}
    for name, row in rows.items():
        print(f"{name:22} {row}", flush=True)
    mixing = random_faults(faults)
    print(f"random faults: {mixing}")
    kept = all(row["kept"] for row in rows.values()) and not mixing["mix_ups"] and mixing["dark"]
    result = {
        "timeout_ms": TIMEOUT_MS, "allowed_over_timeout_ms": ALLOWED_MS, "repeats": repeats,
        "faults": rows, "random": mixing, "claim_kept": kept,
    }  # fmt: skip
    if not quick:
        print(save("visa_faults", result))
    return 0 if kept else 1


def measure(case: Case, repeats: int) -> dict[str, Any]:
    """Let one fault happen again and again, each time to a new session with the light on."""
    rows = [once(case) for _ in range(repeats)]
    errors = sorted({row["error"] for row in rows})
    worst_ms = max(row["over_timeout_ms"] for row in rows)
    usable = all(row["usable"] for row in rows)
    dark = all(row["dark"] for row in rows)
    return {
        "errors": errors,
        "worst_over_timeout_ms": round(worst_ms, 1),
        "usable_afterwards": usable,
        "off_reached_it_under_the_fault": sum(row["dark_under_fault"] for row in rows),
        "light_off_at_the_end": dark,
        "kept": errors == [case.expected] and worst_ms <= ALLOWED_MS and usable and dark,
    }


def once(case: Case) -> dict[str, Any]:
    led = VirtualLed(clock=lambda: 0.0)
    with FaultServer(led) as server:
        if case.operation is None:
            return opening(case, led, server)
        return during(case, case.operation, led, server)


def during(
    case: Case, operation: Operation, led: VirtualLed, server: FaultServer
) -> dict[str, Any]:
    """Strike an operation of an open session; then darkness under the fault, healing, closing."""
    with connect(server) as instrument:
        led.execute(f"SOUR:POW {LEVEL_MW};OUTP ON")
        server.inject(case.fault, on=case.on, times=None)
        error, over_ms = timed(lambda: operation(instrument))
        with contextlib.suppress(DeviceError):  # what it says here is not what is measured
            instrument.make_safe()
        dark_under_fault = led.optical_power_mw() == 0
        server.heal()
        usable = instrument.set("power_mw", LEVEL_MW) == LEVEL_MW == truth(led, "SOUR:POW?")
    return row(error, over_ms, usable, dark_under_fault, led)


def opening(case: Case, led: VirtualLed, server: FaultServer) -> dict[str, Any]:
    """Strike the opening itself; the light was left on by somebody else."""
    led.execute(f"SOUR:POW {LEVEL_MW};OUTP ON")
    server.inject(case.fault, on=case.on, times=None)
    error, over_ms = timed(lambda: connect(server))
    dark_under_fault = led.optical_power_mw() == 0
    server.heal()
    with connect(server) as instrument:
        usable = instrument.read("power_mw") == LEVEL_MW
    return row(error, over_ms, usable, dark_under_fault, led)


def row(
    error: str, over_ms: float, usable: bool, dark_under_fault: bool, led: VirtualLed
) -> dict[str, Any]:
    return {
        "error": error, "over_timeout_ms": over_ms, "usable": usable,
        "dark_under_fault": dark_under_fault, "dark": led.optical_power_mw() == 0,
    }  # fmt: skip


def connect(server: FaultServer, *, timeout_ms: float = TIMEOUT_MS) -> VisaInstrument:
    declaration = load_declaration(DECLARATION).model_copy(update={"timeout_ms": timeout_ms})
    return VisaInstrument.open(declaration, server.address, name="led")


def timed(operation: Callable[[], object]) -> tuple[str, float]:
    """Class of what came, and how long it took beyond the timeout, ms."""
    began_s = time.perf_counter()
    try:
        operation()
        error = "none"
    except DeviceError as caught:
        error = type(caught).__name__
    return error, (time.perf_counter() - began_s) * 1000 - TIMEOUT_MS


def truth(led: VirtualLed, question: str) -> float:
    return float(led.execute(question) or "nan")


def random_faults(count: int) -> dict[str, Any]:
    """Plan `count` random faults, one before each question or set, and compare with the truth."""
    draw = random.Random(SEED)  # noqa: S311 - no secret
    questions = {"power_mw": "SOUR:POW?", "output": "OUTP?", "temperature_c": "MEAS:TEMP?"}
    counts = {"right": 0, "errors": 0, "mix_ups": 0}
    led = VirtualLed(clock=lambda: 0.0)
    with FaultServer(led) as server, connect(server, timeout_ms=IMPATIENT_MS) as instrument:
        led.execute(f"SOUR:POW {LEVEL_MW};OUTP ON")
        for _ in range(count):
            server.inject(
                draw.choice(list(Fault)),
                on=draw.choice([r"\?", "IDN", "POW", "OUTP", "TEMP", "ERR"]),
                times=draw.randint(1, 3),
            )
            channel = draw.choice(list(questions))
            level_mw = round(draw.uniform(0, 20), 6)
            is_set = draw.random() < 0.3
            try:
                got = instrument.set("power_mw", level_mw) if is_set else instrument.read(channel)
            except DeviceError:
                counts["errors"] += 1
                server.accept()  # else the first REFUSED would be the last fault
                continue
            question = questions["power_mw" if is_set else channel]
            counts["right" if got == truth(led, question) else "mix_ups"] += 1
        server.heal()
    return {
        "seed": SEED, "faults": count, "timeout_ms": IMPATIENT_MS, **counts,
        "dark": led.optical_power_mw() == 0,
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
