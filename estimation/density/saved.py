"""Trained autoregressive densities in one `.npz` file, without pickle: arrays and a JSON header."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from estimation.density.autoregressive import FittedAutoregressive
from estimation.density.geometry import Neighbourhood
from estimation.density.linear_predictor import (
    CholeskyPredictor,
    LinearPredictor,
    WindowedPredictor,
)
from estimation.density.stabilise import Stabiliser
from estimation.errors import EstimationError

FORMAT = "infoloop trained density 1"

Fits = tuple[FittedAutoregressive, ...]


def fits_to_bytes(fits: Sequence[FittedAutoregressive]) -> bytes:
    """Return the content of a file that `fits_from_bytes` reads back bit for bit."""
    arrays: dict[str, np.ndarray] = {}
    headers = [_put(fit, f"{k}.", arrays) for k, fit in enumerate(fits)]
    header = json.dumps({"format": FORMAT, "fits": headers}, allow_nan=False)
    buffer = io.BytesIO()
    named: dict[str, Any] = {"header": np.asarray(header), **arrays}
    np.savez(buffer, **named)
    return buffer.getvalue()


def fits_from_bytes(content: bytes) -> Fits:
    """Read what `fits_to_bytes` returned; never runs code from it.

    Raises
    ------
    EstimationError
        If it is no such content.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            header = json.loads(str(archive["header"][()]))
            if header.get("format") != FORMAT:
                raise EstimationError(f"format {header.get('format')!r}, {FORMAT!r} is due")
            arrays = {name: archive[name] for name in archive.files}
        return tuple(_get(each, f"{k}.", arrays) for k, each in enumerate(header["fits"]))
    except (KeyError, ValueError, TypeError, zipfile.BadZipFile, EOFError) as error:
        raise EstimationError(f"no trained density: {error}") from error


def _put(fit: FittedAutoregressive, at: str, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    predictor = fit.predictor
    own: dict[str, Any] = {
        "mean": predictor.mean,  # pyright: ignore[reportAttributeAccessIssue] - of both kinds
        "table": fit.around.table,
        "place": fit.around.place,
        "class_of": fit.around.class_of,
        "last": fit.parameters["last"],
        "bias": fit.parameters["bias"],
    }
    header: dict[str, Any] = {
        "stabiliser": asdict(fit.stabiliser),
        "asked": fit.around.asked,
        "design": asdict(fit.design),
        "layers": len(fit.parameters["layers"]),
        "remaining_gap_nats": fit.remaining_gap_nats,
        "steps": fit.steps,
        "curve": [list(point) for point in fit.curve],
    }
    match predictor:
        case CholeskyPredictor():
            own["factor"] = predictor.factor
            header["shrinkage"] = predictor.shrinkage
        case WindowedPredictor():
            own["weights"], own["sigma"] = predictor.weights, predictor.sigma
        case _:
            raise EstimationError(f"a linear predictor of type {type(predictor)} cannot be kept")
    for k, (weight, bias) in enumerate(fit.parameters["layers"]):
        own[f"weight{k}"], own[f"bias{k}"] = weight, bias
    own |= {f"statics.{name}": value for name, value in fit.statics._asdict().items()}
    arrays |= {at + name: np.asarray(value) for name, value in own.items()}
    return header


def _get(
    header: Mapping[str, Any], at: str, arrays: Mapping[str, np.ndarray]
) -> FittedAutoregressive:
    from estimation.density import mixture_network as network  # loads JAX

    def own(name: str) -> np.ndarray:
        return arrays[at + name]

    asked = header["asked"]
    around = Neighbourhood(
        own("table"), own("place"), own("class_of"), None if asked is None else (asked[0], asked[1])
    )
    predictor: LinearPredictor
    if "shrinkage" in header:
        predictor = CholeskyPredictor(own("mean"), own("factor"), header["shrinkage"])
    else:
        predictor = WindowedPredictor(own("mean"), around, own("weights"), own("sigma"))
    design = {**header["design"], "shape": tuple(header["design"]["shape"])}
    return FittedAutoregressive(
        stabiliser=Stabiliser(**header["stabiliser"]),
        predictor=predictor,
        around=around,
        design=network.Architecture(**design),
        statics=network.Statics(*(own(f"statics.{name}") for name in network.Statics._fields)),
        parameters={
            "layers": [(own(f"weight{k}"), own(f"bias{k}")) for k in range(header["layers"])],
            "last": own("last"),
            "bias": own("bias"),
        },
        curve=tuple((int(p[0]), float(p[1]), float(p[2])) for p in header["curve"]),
        remaining_gap_nats=header["remaining_gap_nats"],
        steps=header["steps"],
    )
