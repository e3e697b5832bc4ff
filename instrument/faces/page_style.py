"""How every page of ours looks: its plots, its colours, how values are written.

A page is one HTML file that needs no other. Plots are SVG whose colours are the page's CSS
variables (`page_style.css`), so that one drawing serves the light scheme, the dark one and the
printer. Nothing of matplotlib's global state is used or changed.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import imsave
from numpy.typing import NDArray

WIDTH_IN = 9.2
"""Width of a drawing as wide as the page, inches."""

# Stand-ins that matplotlib writes and `_themed` replaces by the page's variables.
_STAND_INS = {
    "--ink": "#010203",
    "--faint": "#020304",
    "--line": "#030405",
    "--search": "#040506",
    "--confirm": "#050607",
    "--failed": "#060708",
    "--best": "#070809",
    "--good": "#08090a",
    "--reference": "#090a0b",
    "--shade": "#0a0b0c",
    "--teal": "#0b0c0d",
    "--rose": "#0c0d0e",
}
INK, FAINT, LINE, SEARCH, CONFIRM, FAILED, BEST, GOOD, REFERENCE, SHADE, TEAL, ROSE = (
    _STAND_INS.values()
)

_LONGEST_SIDE_PX = 768


# ---- from matplotlib to markup


@contextmanager
def drawing(name: str) -> Iterator[None]:
    """Draw in our own style whatever the user's, and leave the user's as it was."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update({
            "axes.edgecolor": LINE,
            "axes.facecolor": "none",
            "axes.labelcolor": INK,
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlecolor": INK,
            "axes.titlesize": "medium",
            "axes.axisbelow": True,
            "figure.facecolor": "none",
            "font.size": 9,
            "legend.labelcolor": INK,
            "svg.fonttype": "none",  # text stays text, in the page's font
            "svg.hashsalt": name,  # the same run gives the same file
            "text.parse_math": False,  # a label is a label, whatever it holds
            "xtick.color": LINE,
            "xtick.labelcolor": INK,
            "ytick.color": LINE,
            "ytick.labelcolor": INK,
        })
        yield


def svg(figure: Figure) -> Markup:
    """Return the figure as markup that takes the colours and the width of its place."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    return Markup(_themed(text))  # noqa: S704 - matplotlib escapes every text it draws


def _themed(svg: str) -> str:
    for variable, stand_in in _STAND_INS.items():
        svg = svg.replace(stand_in, f"var({variable})")
    return svg


def gradient(colormap: str) -> str:
    """Return the CSS gradient of a colour map, low values left."""
    colours = map(to_hex, mpl.colormaps[colormap](np.linspace(0, 1, 17)))
    return f"linear-gradient(to right, {', '.join(colours)})"


def png_uri(pixels: NDArray[Any], *, cmap: str, vmin: float, vmax: float) -> str:
    """Return pixels as a PNG within the page."""
    buffer = io.BytesIO()
    imsave(buffer, pixels, format="png", cmap=cmap, vmin=vmin, vmax=vmax)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def reduced(frame: NDArray[Any], longest_px: int = _LONGEST_SIDE_PX) -> NDArray[Any]:
    """Bin a large frame or map, so that the page stays small."""
    step = -(-max(frame.shape) // longest_px)
    if step == 1:
        return frame
    height, width = (side // step for side in frame.shape)
    blocks = frame[: height * step, : width * step].reshape(height, step, width, step)
    return blocks.mean(axis=(1, 3))


# ---- how values are written


def environment(templates: Path) -> Environment:
    """Return what renders the templates of a folder; they may include `page_style.css`."""
    rendering = Environment(
        loader=FileSystemLoader([templates, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    rendering.filters.update(
        duration=duration,
        plain=_plain,
        moment=_moment,
        sentence=as_sentence,
        words=lambda text: text.replace("_", " "),
    )
    return rendering


def as_sentence(text: str) -> str:
    """Return words with a capital at the front and a stop at the end."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def duration(seconds: float | None) -> str:
    """Write seconds as people say them."""
    if seconds is None:
        return "\N{EN DASH}"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _moment(text: str | None) -> str:
    """Write an ISO 8601 moment without its fractions."""
    if not text:
        return "\N{EN DASH}"
    try:
        return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M:%S %Z").strip()
    except ValueError:
        return text


def _plain(value: Any) -> str:
    """Write a plain value on one line."""
    if value is None or value in ({}, []):
        return "\N{EN DASH}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(entry)}" for key, entry in value.items())
    if isinstance(value, (list, tuple)):
        return (
            " to ".join(map(_plain, value)) if _is_range(value) else ", ".join(map(_plain, value))
        )
    return str(value)


def _is_range(value: Sequence[Any]) -> bool:
    return len(value) == 2 and all(isinstance(end, int | float) for end in value)
