"""Objects cut from pictures that ship with scikit-image and scikit-learn.

The photographs are the ones inside scikit-image's wheel (no download): `astronaut`, `hubble`,
`moon`, `rocket` by NASA and `retina`, `ihc`, `coffee`, `chelsea`, `page`, `text`, `coins`, `clock`
are in the public domain or CC0; `motorcycle` is from the Middlebury stereo sets (D. Scharstein et
al., GCPR 2014); `brick`, `grass`, `gravel` are CC0 textures; see scikit-image's `data/README.txt`.
The digits are the UCI set by E. Alpaydin and C. Kaynak, CC BY 4.0.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

Split = Literal["train", "test"]

GREY = {
    "train": ("astronaut", "coffee", "rocket", "coins", "page", "brick", "grass", "clock"),
    "test": ("chelsea", "moon", "gravel", "text"),
}
COLOUR = {
    "train": ("astronaut", "coffee", "rocket", "immunohistochemistry", "retina", "hubble"),
    "test": ("chelsea", "motorcycle"),
}
DIGIT_SIDE = 12
DARKEST = 0.02
_FILES = {"hubble": "hubble_deep_field", "motorcycle": "stereo_motorcycle"}
_GAMMA = 2.2


def photographs(
    count: int, side: int, *, rng: np.random.Generator, split: Split = "train"
) -> Float[np.ndarray, "objects side side"]:
    """Cut grey crops from photographs; brightness of mean 1 each."""
    return _of_mean_one(raw_photographs(count, side, rng=rng, split=split))


def raw_photographs(
    count: int, side: int, *, rng: np.random.Generator, split: Split = "train"
) -> Float[np.ndarray, "objects side side"]:
    """Cut grey crops from photographs as they are, 0 to 1."""
    pictures = [_grey(name) for name in GREY[split]]
    return _crops(pictures, count, side, rng)[:, 0]


def colour_photographs(
    count: int,
    side: int,
    *,
    rng: np.random.Generator,
    split: Split = "train",
    is_chroma_independent: bool = False,
) -> Float[np.ndarray, "objects 3 side side"]:
    """Cut linear RGB crops; the sum of the three channels has mean 1 in each crop.

    With `is_chroma_independent` red and blue come from other crops than green: colours that do not
    follow brightness.
    """
    pictures = [_linear(name) for name in COLOUR[split]]
    crops = _crops(pictures, count, side, rng)
    if is_chroma_independent:
        for channel in (0, 2):
            crops[:, channel] = _crops(pictures, count, side, rng)[:, channel]
        crops /= np.maximum(crops.mean(axis=(2, 3), keepdims=True), DARKEST)
    crops += DARKEST * crops.mean()
    return crops / crops.sum(axis=1).mean(axis=(1, 2))[:, None, None, None]


def digits(
    count: int, side: int, *, rng: np.random.Generator, split: Split = "train"
) -> Float[np.ndarray, "objects side side"]:
    """Tile handwritten digits of 12 x 12 pixels without gaps; brightness of mean 1 each."""
    pictures = _digits()[split]
    across = -(-side // DIGIT_SIDE)
    chosen = pictures[rng.integers(len(pictures), size=(count, across, across))]
    tiled = chosen.transpose(0, 1, 3, 2, 4).reshape(count, across * DIGIT_SIDE, -1)
    return _of_mean_one(tiled[:, :side, :side])


@cache
def _digits() -> dict[str, np.ndarray]:
    from scipy.ndimage import zoom
    from sklearn.datasets import load_digits

    rows: Any = load_digits(return_X_y=True)[0]
    images = np.asarray(rows, float).reshape(-1, 8, 8)  # 1797, 0 to 16
    large: Any = zoom(images, (1, DIGIT_SIDE / 8, DIGIT_SIDE / 8), order=1)
    large = np.clip(large, 0, 16) / 16
    return {"train": large[:1400], "test": large[1400:]}


@cache
def _picture(name: str) -> np.ndarray:
    from skimage import data

    picture = getattr(data, _FILES.get(name, name))()
    picture = picture[0] if isinstance(picture, tuple) else picture
    return np.asarray(picture, float) / 255.0


def _grey(name: str) -> Float[np.ndarray, "1 rows columns"]:
    picture = _picture(name)
    return (picture[..., :3].mean(axis=-1) if picture.ndim == 3 else picture)[None]


def _linear(name: str) -> Float[np.ndarray, "3 rows columns"]:
    return np.moveaxis(_picture(name)[..., :3] ** _GAMMA, -1, 0)


def _crops(
    pictures: list[np.ndarray], count: int, side: int, rng: np.random.Generator
) -> Float[np.ndarray, "objects channels side side"]:
    crops = np.empty((count, pictures[0].shape[0], side, side))
    for crop, picture in zip(crops, rng.integers(len(pictures), size=count), strict=True):
        chosen = pictures[picture]
        row = rng.integers(chosen.shape[1] - side + 1)
        column = rng.integers(chosen.shape[2] - side + 1)
        crop[:] = chosen[:, row : row + side, column : column + side]
    return crops


def _of_mean_one(brightness: np.ndarray) -> np.ndarray:
    # A black crop has no mean to divide by; a little stray light is in every scene.
    brightness = brightness + DARKEST
    return brightness / brightness.mean(axis=(1, 2), keepdims=True)
