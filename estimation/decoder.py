"""The other end of the bracket: the information that a decoder proves, from its own log score.

D. Barber and F. Agakov, "The IM algorithm", NeurIPS 2003: for any conditional distribution `q`,
I(O; Y) >= H(O) + E ln q(O | Y).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from estimation.errors import EstimationError, NotFinite


@dataclass(frozen=True, slots=True, kw_only=True)
class LowerBound:
    """What a decoder proves: information is at least this much, in expectation.

    Attributes
    ----------
    bits_per_measurement
        Mean over objects; may be negative for a decoder worse than the prior.
    standard_error
        Over objects.
    """

    bits_per_measurement: float
    standard_error: float


def decoder_lower_bound(
    log_probability: np.ndarray, *, object_entropy: float | None = None, log_prior: Any = None
) -> LowerBound:
    """Return the information that a decoder proves, `H(object) + E ln q(object | measurement)`.

    Any conditional distribution `q` will do, however wrong: its cross entropy is at least
    `H(object | measurement)`. The objects must not have been used to train the decoder.

    Parameters
    ----------
    log_probability
        ln q(true object | its measurement) of every object, nats; sum it over the parts of an
        object that `q` takes for independent.
    object_entropy
        Of the objects, bits; or give `log_prior`.
    log_prior
        ln p(object) of every object, nats, where the prior is known: less scatter.

    Raises
    ------
    EstimationError
        Without exactly one of `object_entropy` and `log_prior`.
    NotFinite
        For infinite log probabilities: a decoder may not rule out what happens.

    Examples
    --------
    >>> import numpy as np
    >>> from estimation import decoder_lower_bound
    >>> always_right = np.log(np.full(100, 0.99))
    >>> round(decoder_lower_bound(always_right, object_entropy=1.0).bits_per_measurement, 4)
    0.9855
    """
    score = np.asarray(log_probability, dtype=np.float64)
    if (object_entropy is None) == (log_prior is None):
        raise EstimationError("give either object_entropy or log_prior, not both and not neither")
    if score.ndim != 1 or len(score) < 2:
        raise EstimationError(
            f"log probabilities of shape {score.shape} came; one number an object is due, for two "
            "objects or more"
        )
    prior = np.asarray(0.0 if log_prior is None else log_prior, dtype=np.float64)
    if prior.ndim and prior.shape != score.shape:
        raise EstimationError(f"log_prior has shape {prior.shape}, log probabilities {score.shape}")
    gain = score - prior
    if not np.all(np.isfinite(gain)):
        raise NotFinite("a log probability is NaN or infinite; a decoder may not rule anything out")
    bits = gain / np.log(2) + (object_entropy or 0.0)
    return LowerBound(
        bits_per_measurement=float(bits.mean()),
        standard_error=float(bits.std(ddof=1) / np.sqrt(len(bits))),
    )
