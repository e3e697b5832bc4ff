"""IDEAL: a design that follows the gradient of the information through a differentiable twin.

Information-driven encoder analysis learning (Pinkard et al., arXiv 2405.20559), without a decoder
and without ground truth: the gradient of `H(Y) - H(Y|X)` goes through a surrogate density of the
measurements and the closed form of the noise's entropy; what is reported at the end is scored by
the independent estimator, `estimate_information`, on objects that the ascent has never seen.
"""

from estimation.ideal.ascent import Ascent, Progress
from estimation.ideal.autoregressive import AutoregressiveSurrogate
from estimation.ideal.design import Candidate, IdealDesign, maximise_information
from estimation.ideal.linear_stationary import LinearStationary
from estimation.ideal.linear_strata import LinearStrata
from estimation.ideal.protocol import (
    AnnealedTwin,
    DifferentiableTwin,
    RefittedSurrogate,
    Surrogate,
)
from estimation.ideal.surrogates import GaussianSurrogate, LinearGaussian, StationarySurrogate

__all__ = [
    "AnnealedTwin",
    "Ascent",
    "AutoregressiveSurrogate",
    "Candidate",
    "DifferentiableTwin",
    "GaussianSurrogate",
    "IdealDesign",
    "LinearGaussian",
    "LinearStationary",
    "LinearStrata",
    "Progress",
    "RefittedSurrogate",
    "StationarySurrogate",
    "Surrogate",
    "maximise_information",
]
