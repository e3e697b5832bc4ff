"""Complex numbers are refused: only their real part would be followed and scored."""

import numpy as np
import pytest

from estimation import GaussianNoise, InvalidMeasurements
from estimation.ideal import maximise_information


class Coherent:
    """A twin that measures a field and not its power."""

    def __init__(self, twin):
        self._twin = twin

    def __getattr__(self, name):
        return getattr(self._twin, name)

    def __call__(self, objects):
        return (1 + 1j) * self._twin(objects)


@pytest.mark.parametrize("surrogate", ["gaussian", "autoregressive"])
def test_a_twin_that_expects_complex_values_is_refused(balance, scalars, surrogate):
    with pytest.raises(InvalidMeasurements, match=r"complex128.*two shots"):
        maximise_information(
            Coherent(balance), scalars[:40], GaussianNoise(1.0), seed=0, patch=2, steps=1,
            surrogate=surrogate,
        )  # fmt: skip


def test_complex_objects_are_refused(balance, scalars):
    with pytest.raises(InvalidMeasurements, match=r"objects of complex128.*axis"):
        maximise_information(
            balance, scalars[:40] * np.exp(1j), GaussianNoise(1.0), seed=0, patch=2, steps=1
        )
