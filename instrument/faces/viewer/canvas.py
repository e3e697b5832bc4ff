"""The images: live frame and modulator patterns as napari layers, updated in place."""

from __future__ import annotations

import time

import numpy as np
from napari import Viewer
from napari.layers import Image, Points
from napari.utils.color import ColorValue
from numpy.typing import NDArray

from instrument.faces.viewer.layout import side_by_side
from instrument.faces.viewer.messages import Message

_FRAME = "live frame"
_PHASE_COLORMAP = "twilight_shifted"  # cyclic, as phase is
_PERCENTILES = (0.5, 99.9)  # a hot pixel must not set the contrast
_SAMPLES = 512  # a side, enough for percentiles
_CAPTION_PERIOD_S = 0.25  # text costs as much as the image
_WHITE = "#f0f1f2"
_OUTLINE = "#5a626c"


class Canvas:
    """Live frame on the left, patterns to its right, a caption over each.

    Parameters
    ----------
    viewer
        An empty napari viewer.
    """

    def __init__(self, viewer: Viewer):
        self._viewer = viewer
        self._images: dict[str, Image] = {}
        self._captions: dict[str, str] = {}
        self._caption_layer: Points | None = None
        self._trial: int | None = None
        self._limits: tuple[float, float] | None = None
        self._captioned_s = -float("inf")

    def show_frame(self, message: Message) -> None:
        """Show a live frame (ADU)."""
        frame = message.arrays["frame"]
        self._show(_FRAME, frame, colormap="gray")
        self._adapt_contrast(frame, message.fields["trial"])
        if (now_s := time.monotonic()) - self._captioned_s < _CAPTION_PERIOD_S:
            return
        self._captioned_s = now_s
        number = f"frame {message.fields['index'] + 1} of {message.fields['of']}"
        self._caption(_FRAME, f"live {number}, {frame.min()} to {frame.max()} ADU")

    def show_patterns(self, message: Message) -> None:
        """Show what each modulator shows: grey levels, or 256 levels for 2 pi."""
        for role, pattern in message.arrays.items():
            is_grey = role in message.fields["greys"]
            self._show(role, pattern, colormap="gray" if is_grey else _PHASE_COLORMAP)
            self._images[role].contrast_limits = (0, 255)
            levels = "0 to 255" if is_grey else "phase: dark 0, light \N{GREEK SMALL LETTER PI}"
            self._caption(role, f"{role}, {levels}")

    def _show(self, name: str, pixels: NDArray[np.integer], *, colormap: str) -> None:
        image = self._images.get(name)
        if image is None:
            image = Image(pixels, name=name, colormap=colormap)
            self._outline(image)
            self._images[name] = image
            self._viewer.add_layer(image)
            self._arrange()
        elif image.data.shape != pixels.shape:
            image.data = pixels
            self._arrange()
        else:
            image.data = pixels

    def _outline(self, image: Image) -> None:
        """Show where a dark frame ends on a dark canvas."""
        image.bounding_box.visible = True
        image.bounding_box.points = False
        image.bounding_box.line_color = ColorValue(_OUTLINE)

    def _adapt_contrast(self, frame: NDArray[np.integer], trial: int) -> None:
        """Fit a new trial, then only widen, so that a trial's frames can be compared by eye."""
        image = self._images[_FRAME]
        if self._limits is not None and _limits_of(image) != self._limits:
            return  # a person has set it
        step = 1 + max(frame.shape) // _SAMPLES
        low, high = map(float, np.percentile(frame[::step, ::step], _PERCENTILES))
        if trial == self._trial and self._limits is not None:
            low, high = min(low, self._limits[0]), max(high, self._limits[1])
        self._trial = trial
        image.contrast_limits = (low, max(high, low + 1))
        self._limits = _limits_of(image)

    def _arrange(self) -> None:
        """Place images side by side, the frame first, and show all of them."""
        names = sorted(self._images, key=lambda name: name != _FRAME)
        images = [self._images[name] for name in names]
        for image, place in zip(images, side_by_side([i.data.shape for i in images]), strict=True):
            image.scale = np.full(2, place.scale)
            image.translate = np.array([0, place.left])
        self._draw_captions()
        self._viewer.reset_view()

    def _caption(self, name: str, text: str) -> None:
        if self._captions.get(name) != text:
            self._captions[name] = text
            self._draw_captions()

    def _draw_captions(self) -> None:
        corners = np.array([image.translate for image in self._images.values()])
        texts = np.array([self._captions.get(name, "") for name in self._images])
        if self._caption_layer is None:
            self._caption_layer = _captions(corners, texts)
            self._viewer.add_layer(self._caption_layer)
            return
        if not np.array_equal(self._caption_layer.data, corners):
            self._caption_layer.data = corners
        self._caption_layer.features = {"caption": texts}
        self._caption_layer.refresh_text()


def _limits_of(image: Image) -> tuple[float, float]:
    low, high = image.contrast_limits
    return float(low or 0), float(high or 0)


def _captions(corners: NDArray[np.floating], texts: NDArray[np.str_]) -> Points:
    """Return text over corners; the points themselves are not to be seen."""
    return Points(
        corners,
        name="captions",
        size=1,
        face_color="transparent",
        border_color="transparent",
        features={"caption": texts},
        text={"string": "{caption}", "anchor": "upper_left", "size": 10, "color": _WHITE},
    )
