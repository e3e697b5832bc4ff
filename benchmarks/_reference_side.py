"""The other side of `reference_package.py`: PyPI's `encoding-information`, in its own environment.

Imports nothing of ours. Defaults are the package's wherever a setting is not said here. Its seeds
come from NumPy's global state, so that is seeded. Its PixelCNN must be given a `model_seed`:
`estimate_mutual_information(entropy_model="pixelcnn")` passes `None`, which today's JAX refuses.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import encoding_information.models.image_distribution_models as training
import jax
import numpy as np
import side_meter
from encoding_information.image_utils import extract_patches
from encoding_information.information_estimation import (
    estimate_conditional_entropy,
    estimate_mutual_information,
    run_bootstrap,
)
from encoding_information.models.gaussian_process import (
    FullGaussianProcess,
    StationaryGaussianProcess,
)
from encoding_information.models.pixel_cnn import PixelCNN

PACKAGES = ("encoding-information", "numpy", "scipy", "jax", "flax", "optax", "tensorflow-cpu")
NAMES = {"gaussian": "full_gaussian", "stationary": "gaussian", "autoregressive": "pixelcnn"}
"""Our name of a density: the package's."""

TEST_SHARE = 0.1
"""Of the images, the last: the package's default `test_set_fraction`."""

Arrays = Mapping[str, np.ndarray]
Settings = Mapping[str, Any]


def patches(arrays: Arrays, settings: Settings, meter: side_meter.Meter) -> dict[str, Any]:
    """Cut from a NumPy array: slicing a JAX array is slower still."""
    cut = np.empty(0)
    for seed, label in enumerate(["cold"] + ["warm"] * settings["repeats"]):
        cut = meter.timed(
            label,
            lambda seed=seed: jax.block_until_ready(
                extract_patches(
                    arrays["frames"],
                    settings["patch"],
                    num_patches=settings["patches"],
                    seed=seed,
                )
            ),
        )
    return {"patches": len(cut)}


def estimate(arrays: Arrays, settings: Settings, meter: side_meter.Meter) -> dict[str, Any]:
    """Estimate twice without interval, then with the package's `run_bootstrap` of the test images.

    The run with interval is the third in the process, so compilation is not in it.
    """
    images, sigma = arrays["images"], settings["sigma"]
    bits = 0.0
    for seed, label in enumerate(["cold", "warm"]):
        np.random.seed(seed)  # noqa: NPY002, TID251  the package draws from the global state
        bits = float(
            meter.timed(
                label,
                lambda: estimate_mutual_information(
                    images,
                    entropy_model=NAMES[settings["density"]],
                    gaussian_noise_sigma=sigma,
                ),
            )
        )
    train, test = split(images)
    noise_nats = float(estimate_conditional_entropy(images, gaussian_noise_sigma=sigma))

    def with_interval() -> tuple[float, list[float]]:
        model = fit_gaussian(settings["density"], train)
        median, ends = run_bootstrap(
            test,
            lambda chosen: model.compute_negative_log_likelihood(chosen, verbose=False),
            num_bootstrap_samples=settings["resamples"],
            confidence_interval=95,
        )
        return float(median), [float(end) for end in ends]

    median, ends = meter.timed("with_interval", with_interval)
    return {
        "bits_per_pixel": bits,
        "bootstrap_median": (median - noise_nats) / np.log(2),
        "interval": [(end - noise_nats) / np.log(2) for end in ends],
        "resamples": settings["resamples"],
        "test_images": len(test),
    }


def photographs(arrays: Arrays, settings: Settings, meter: side_meter.Meter) -> dict[str, Any]:
    model = PixelCNN()
    watch = Watch(settings["budget_s"])
    meter.timed("fit", lambda: watch.fit(model, arrays["train"], seed=settings["seed"]))
    test_nats: dict[int, float] = {}

    def test_of(epoch: int) -> float:
        """Test score of the best epoch so far, which is what early stopping would return."""
        best = watch.best(epoch)
        if best not in test_nats:
            watch.restore(model, best)
            test_nats[best] = model.compute_negative_log_likelihood(
                arrays["test"], data_seed=settings["seed"], verbose=False
            )
        return test_nats[best]

    last = len(watch.epochs) - 1
    at = []
    for second in settings["report_at_s"]:
        epoch = max(i for i, e in enumerate(watch.epochs) if i == 0 or e["wall_s"] <= second)
        at.append({
            "asked_s": second,
            "epoch": epoch,
            "wall_s": watch.epochs[epoch]["wall_s"],
            "test_nats": test_of(epoch),
        })
    return {
        "epochs": watch.epochs,
        "ended_by_itself": watch.ended_by_itself,
        "best_epoch": watch.best(last),
        "test_nats": test_of(last),
        "reached": at,
    }


def closed_forms(arrays: Arrays, settings: Settings, meter: side_meter.Meter) -> dict[str, Any]:
    rows = []
    for run in settings["runs"]:
        images = arrays[run["images"]].astype(np.float32)
        clean = arrays[run["means"]].astype(np.float32) if run["means"] else images
        np.random.seed(run["seed"])  # noqa: NPY002, TID251
        is_cnn = run["density"] == "autoregressive"
        try:
            if is_cnn:
                bits, ended = meter.timed(
                    run["case"],
                    lambda images=images, clean=clean, run=run: pixelcnn_information(
                        images, clean, run, budget_s=settings["budget_s"]
                    ),
                )
            else:
                ended = True
                bits = meter.timed(
                    run["case"],
                    lambda images=images, clean=clean, run=run: float(
                        estimate_mutual_information(
                            images,
                            clean_images=clean,
                            entropy_model=NAMES[run["density"]],
                            gaussian_noise_sigma=run["sigma"],
                        )
                    ),
                )
        except Exception as error:  # noqa: BLE001  what it refuses is part of the result
            rows.append({**run, "refused": f"{type(error).__name__}: {error}"[:200]})
            print(f"  reference  {run['case']:24s} {run['density']:15s} {rows[-1]['refused']}")
            continue
        rows.append({**run, "bits_per_pixel": bits, "ended_by_itself": ended})
        print(f"  reference  {run['case']:24s} {run['density']:15s} {bits:.5f}", flush=True)
    return {"rows": rows}


def split(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    test = int(len(images) * TEST_SHARE)
    return images[:-test], images[-test:]


def fit_gaussian(
    density: str, train: np.ndarray
) -> FullGaussianProcess | StationaryGaussianProcess:
    if density == "gaussian":
        return FullGaussianProcess(train)
    model = StationaryGaussianProcess(train)
    model.fit(train, verbose=False)
    return model


def pixelcnn_information(
    images: np.ndarray, clean: np.ndarray, run: Mapping[str, Any], *, budget_s: float
) -> tuple[float, bool]:
    """Do what `estimate_mutual_information` does for this model, with the seeds that it lacks."""
    train, test = split(images)
    model, watch = PixelCNN(), Watch(budget_s)
    watch.fit(model, train, seed=run["seed"])
    watch.restore(model, watch.best(len(watch.epochs) - 1))
    nats = model.compute_negative_log_likelihood(test, data_seed=run["seed"], verbose=False)
    noise = float(estimate_conditional_entropy(clean, gaussian_noise_sigma=run["sigma"]))
    return (nats - noise) / np.log(2), watch.ended_by_itself


class OutOfTimeError(Exception):
    """The budget is spent."""


class Watch:
    """Notes time and validation score after every epoch, and stops a fit whose budget is spent.

    The package's loop calls `_evaluate_nll(data, state)` once before the first epoch and once after
    each; that name is replaced for the time of the fit, and nothing else is touched.
    """

    def __init__(self, budget_s: float) -> None:
        self.budget_s = budget_s
        self.epochs: list[dict[str, float]] = []
        self.parameters: list[Any] = []
        self.ended_by_itself = False

    def fit(self, model: PixelCNN, train: np.ndarray, *, seed: int) -> None:
        """Fit at the package's defaults."""
        evaluate: Callable[..., float] = training._evaluate_nll  # noqa: SLF001
        started, started_cpu = time.perf_counter(), time.process_time()

        def watched(data: Any, state: Any, *args: Any, **settings: Any) -> float:
            nats = evaluate(data, state, *args, **settings)
            self.epochs.append({
                "wall_s": round(time.perf_counter() - started, 2),
                "cpu_s": round(time.process_time() - started_cpu, 2),
                "validation_nats": float(nats),
            })
            is_best = self.best(len(self.epochs) - 1) == len(self.epochs) - 1
            self.parameters.append(state.params if is_best else None)
            if self.epochs[-1]["wall_s"] > self.budget_s:
                raise OutOfTimeError
            return nats

        training._evaluate_nll = watched  # noqa: SLF001
        try:
            model.fit(train, model_seed=seed, data_seed=seed, verbose=False)
            self.ended_by_itself = True
        except OutOfTimeError:
            pass
        finally:
            training._evaluate_nll = evaluate  # noqa: SLF001

    def best(self, epoch: int) -> int:
        """Return the epoch with the best validation score up to this one."""
        return int(np.nanargmin([e["validation_nats"] for e in self.epochs[: epoch + 1]]))

    def restore(self, model: PixelCNN, epoch: int) -> None:
        """Give the model the parameters it had after an epoch."""
        model._state = model._state.replace(params=self.parameters[epoch])  # noqa: SLF001


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    side_meter.main(
        {
            "patches": patches,
            "estimate": estimate,
            "photographs": photographs,
            "closed_forms": closed_forms,
        },
        PACKAGES,
    )
