"""From components of a pattern parameter to grey levels of a modulator, in one of several bases."""

from instrument.bench.patterns._disc import DISC_BOUNDS, DISC_LABELS, DiscBasis
from instrument.bench.patterns._family import (
    PatternBasis,
    grey_patterns,
    make_basis,
    pattern_parameter,
    render_patterns,
)
from instrument.bench.patterns._superpixel import SuperpixelBasis
from instrument.bench.patterns._zernike import ZernikeBasis, noll_indices, noll_mode

__all__ = [
    "DISC_BOUNDS",
    "DISC_LABELS",
    "DiscBasis",
    "PatternBasis",
    "SuperpixelBasis",
    "ZernikeBasis",
    "grey_patterns",
    "make_basis",
    "noll_indices",
    "noll_mode",
    "pattern_parameter",
    "render_patterns",
]
