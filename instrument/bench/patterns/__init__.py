"""From components of a pattern parameter to grey levels of a modulator, in one of several bases."""

from instrument.bench.patterns._disc import DISC_BOUNDS, DISC_LABELS, DiscBasis
from instrument.bench.patterns._family import (
    PatternBasis,
    grey_patterns,
    make_basis,
    pattern_parameter,
    render_patterns,
)
from instrument.bench.patterns._files import (
    ModulatorFileError,
    read_flatness,
    read_lookup_table,
)
from instrument.bench.patterns._fourier import FourierBasis, fourier_labels
from instrument.bench.patterns._hadamard import hadamard_labels, hadamard_modes, walsh_functions
from instrument.bench.patterns._lookup import LookupTable
from instrument.bench.patterns._modes import PlacedModes
from instrument.bench.patterns._plane import Plane
from instrument.bench.patterns._raw import RawBasis
from instrument.bench.patterns._response import Response, make_response, plain_response
from instrument.bench.patterns._superpixel import SuperpixelBasis
from instrument.bench.patterns._zernike import noll_indices, noll_mode, zernike_modes

__all__ = [
    "DISC_BOUNDS",
    "DISC_LABELS",
    "DiscBasis",
    "FourierBasis",
    "LookupTable",
    "ModulatorFileError",
    "PatternBasis",
    "PlacedModes",
    "Plane",
    "RawBasis",
    "Response",
    "SuperpixelBasis",
    "fourier_labels",
    "grey_patterns",
    "hadamard_labels",
    "hadamard_modes",
    "make_basis",
    "make_response",
    "noll_indices",
    "noll_mode",
    "pattern_parameter",
    "plain_response",
    "read_flatness",
    "read_lookup_table",
    "render_patterns",
    "walsh_functions",
    "zernike_modes",
]
