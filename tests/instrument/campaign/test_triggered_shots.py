"""Campaigns whose shots the modulator brings: same scores as stepping, nothing scored on a loss."""

import pytest

from drivers import FrameLoss
from drivers.virtual.bench.devices import VirtualCamera
from instrument.bench.connect import connect
from instrument.campaign.control import Control
from instrument.campaign.engine import Campaign
from instrument.campaign.events import EventBus
from instrument.campaign.ledger import Ledger
from instrument.config import parse_config
from tests.instrument.fakes import merged

BENCH = {
    "bench": {
        "micromanager": {"virtual": "lensless", "sites": 3, "cells": [2, 2], "seed": 3},
        "roles": {
            "camera": {"device": "Camera", "exposure_ms": 1},
            "slm": {"device": "Mask"},
            "sample": {"device": "XY", "limits_um": [[-100, 100], [-100, 100]]},
        },
    },
    "objects": {"stage_grid": {"count": 4, "spacing_um": 100}},
    "shots": 2,
    "design": {
        "pupil": {
            "role": "slm", "basis": "superpixel", "cells": [2, 2], "choices": [0, 255],
            "per_shot": True,
        },
    },
    "noise": {"gain": 2.0, "offset": 100, "read_noise": 1.5, "bit_depth": 12},
    "score": {"density": "gaussian", "patch": 4},
    "search": {"engine": "tpe", "trials": 4, "confirm": {"repeats": 1}},
}  # fmt: skip


def rows_of(tmp_path, name, *, trigger):
    changes = {"bench": {"roles": {"slm": {"trigger": "camera"} if trigger else {}}}}
    config = parse_config(merged(BENCH, changes), source="test", folder=tmp_path)
    bus = EventBus()
    with Ledger.create(tmp_path / name, {}) as ledger, connect(config) as bench:
        try:
            Campaign(bench, ledger, bus, control=Control()).run()
        except FrameLoss:
            return ledger.trials(), True
        finally:
            bus.close()
        return ledger.trials(), False


def test_a_campaign_scores_what_stepping_scores_and_says_which_it_was(tmp_path):
    stepped, _ = rows_of(tmp_path, "stepped", trigger=False)
    triggered, _ = rows_of(tmp_path, "triggered", trigger=True)
    assert [row.score for row in triggered] == [row.score for row in stepped]
    assert all(row.score is not None for row in stepped)
    assert {row.record["stepping"] for row in triggered} == {"hardware"}
    assert {row.record["stepping"] for row in stepped} == {"software"}
    assert all(row.timings["sequence"] > 0 for row in triggered)
    assert not any("sequence" in row.timings for row in stepped)


@pytest.mark.parametrize("good", [0, 5])
def test_a_lost_frame_leaves_its_trial_without_a_score(tmp_path, monkeypatch, good):
    """`good` captures of both shots are whole, one an object, then the camera stops one short."""
    whole, asked = VirtualCamera.start_sequence, []

    def short_at_last(camera, n, get_buffer):
        asked.extend([n] if n == 2 else [])
        return whole(camera, 1 if n == 2 and len(asked) > good else n, get_buffer)

    monkeypatch.setattr(VirtualCamera, "start_sequence", short_at_last)
    rows, is_lost = rows_of(tmp_path, "run", trigger=True)
    assert is_lost
    assert [row.state for row in rows] == ["scored"] * (good // 4) + ["asked"]
    assert rows[-1].score is None
