"""Draws bits against what decoders reach, one point a design, from the committed results."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np

from benchmarks.domains.summary import RESULTS, SCENES, recorded, result

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from PIL import Image

DPI = 110
PANEL_IN = (4.3, 3.7)
FONT = 7
DISTANCES_PT = (4, 9, 15, 22, 30, 42, 56)
DIRECTIONS = ((1, 0), (1, 1), (1, -1), (-1, 0), (-1, 1), (-1, -1), (0, 1), (0, -1))

Rows = dict[str, dict[str, Any]]


def scatter(axes: Axes, rows: Rows, score: str, metric: str, *, title: str, x: str, y: str) -> None:
    """Draw a panel and label every point where there is room for it."""
    bits = [row[score] for row in rows.values()]
    quality = [row[metric] for row in rows.values()]
    scatters = [row.get(f"{metric}_scatter", 0.0) for row in rows.values()]
    axes.errorbar(bits, quality, yerr=scatters, fmt="o", ms=4, lw=0.8, color="C0")
    axes.set(xlabel=x, ylabel=y)
    axes.set_title(title, fontsize=9)
    axes.margins(x=0.17, y=0.2)
    label(axes, list(rows), np.column_stack([bits, quality]))


def label(axes: Axes, names: Sequence[str], points: np.ndarray) -> None:
    """Write each name beside its point, as near as no other text or point allows."""
    canvas = FigureCanvasAgg(axes.get_figure(root=True))
    canvas.draw()
    renderer = canvas.get_renderer()
    marks = axes.transData.transform(points)
    taken = [Bbox.from_extents(x - 4, y - 4, x + 4, y + 4) for x, y in marks]
    frame = axes.get_window_extent(renderer)
    for number in [int(n) for n in np.argsort(points[:, 1])]:
        placed = []
        for distance in DISTANCES_PT:
            for right, up in DIRECTIONS:
                text = axes.annotate(
                    names[number],
                    (float(points[number, 0]), float(points[number, 1])),
                    xytext=(distance * right, distance * up),
                    textcoords="offset points",
                    ha=("center", "left", "right")[right],
                    va=("center", "bottom", "top")[up],
                    fontsize=FONT,
                    arrowprops={"arrowstyle": "-", "lw": 0.4} if distance > 5 else None,
                )
                text.update_positions(renderer)
                box = Text.get_window_extent(text, renderer)  # without the line to the point
                cost = float(sum(box.overlaps(other) for other in taken)) + distance / 100
                cost += 2 * (not (frame.x0 <= box.x0 and box.x1 <= frame.x1))
                cost += 2 * (not (frame.y0 <= box.y0 and box.y1 <= frame.y1))
                placed.append((cost, len(placed), text))
        best = min(placed)[2]
        for _, _, text in placed:
            if text is not best:
                text.remove()
        taken.append(Text.get_window_extent(best, renderer))


def panels(name: str, count: int, draw: Callable[[np.ndarray], None]) -> None:
    """Save a figure of `count` panels, two a row."""
    across = min(count, 2)
    down = -(-count // across)
    size = (PANEL_IN[0] * across, PANEL_IN[1] * down)
    figure, axes = plt.subplots(down, across, figsize=size, dpi=DPI, squeeze=False)
    figure.subplots_adjust(
        left=0.78 / size[0],
        right=1 - 0.1 / size[0],
        bottom=0.5 / size[1],
        top=1 - 0.3 / size[1],
        hspace=0.32,
        wspace=0.27,
    )
    for spare in axes.ravel()[count:]:
        spare.set_axis_off()
    draw(axes.ravel())
    path = RESULTS / f"domain_{name}.png"
    figure.savefig(path, dpi=DPI)
    plt.close(figure)
    with Image.open(path) as full:  # few colours: a third of the bytes
        small = full.quantize(64)
    small.save(path, optimize=True)
    print(path, f"{path.stat().st_size / 1000:.0f} kB")


BITS = "bits a measurement"


def lensless() -> None:
    kinds = result("lensless_centred")["kinds"]

    def draw(axes: np.ndarray) -> None:
        for panel, (kind, table) in zip(axes, kinds.items(), strict=False):
            scatter(
                panel, table["designs"], "bits", "psnr_neural_db",
                title=f"lensless, {kind}", x=BITS, y="PSNR of the middle, dB",
            )  # fmt: skip

    panels("lensless", len(kinds), draw)


def lensless_sparse() -> None:
    table = result("lensless_sparse")
    rows = table["designs"]

    def draw(axes: np.ndarray) -> None:
        scatter(
            axes[0], rows, "bits", "decoder_bits",
            title="lensless, beads on 2 % of the pixels", x=BITS + ", autoregressive",
            y="decoder's bits, whole field",
        )  # fmt: skip
        scatter(
            axes[1], rows, "gaussian_bits", "decoder_bits",
            title="the same by a Gaussian", x=BITS + ", Gaussian", y="decoder's bits, whole field",
        )  # fmt: skip
        names = sorted(rows, key=lambda n: rows[n]["bits"])
        place = np.arange(len(names))
        for key, mark, text in (
            ("decoder_bits", "|", "decoder proves"),
            ("in_view_bits", "D", "entropy of the beads in view"),
            ("bits", "o", "score"),
        ):
            axes[2].plot([rows[n][key] for n in names], place, mark, ms=6, label=text)
        lows = [rows[n]["decoder_bits"] for n in names]
        axes[2].hlines(place, lows, [rows[n]["bits"] for n in names], lw=0.7, color="0.6")
        axes[2].set_yticks([])
        for y, name in zip(place, names, strict=True):
            axes[2].text(rows[name]["decoder_bits"], y + 0.2, name, fontsize=FONT)
        axes[2].set(xlabel=BITS, xlim=(0, None), ylim=(-0.6, len(names) - 0.3))
        axes[2].set_title("the bracket", fontsize=9)
        axes[2].legend(fontsize=FONT, loc="lower right")

    panels("lensless_sparse", 3, draw)


def colour() -> None:
    shown = [
        (f"colour, {SCENES[entry]}, {photons} photons", table["masks"], metric, text)
        for entry in recorded(*SCENES)
        for photons, table in result(entry)["photons"].items()
        for metric, text in {
            "logdet_moments_bits": "log-det of the error, bits (less is better)",
            "psnr_neural_db": "RGB PSNR, network, dB",
        }.items()
        if metric in table["bits_against"]
    ]

    def draw(axes: np.ndarray) -> None:
        for panel, (title, rows, metric, text) in zip(axes, shown, strict=False):
            scatter(panel, rows, "bits", metric, title=title, x=BITS, y=text)

    panels("colour", len(shown), draw)


def phase() -> None:
    again = recorded("phase_again")
    found = result(again[0]) if again else result("phase")["exposures"]["equal_dose"]

    def draw(axes: np.ndarray) -> None:
        for panel, (metric, text) in zip(
            axes,
            {
                "nrmse_neural": "phase error, network (less is better)",
                "accuracy": "share of cells classified rightly",
            }.items(),
            strict=False,
        ):
            scatter(
                panel, found["designs"], "bits", metric, title="phase, equal dose", x=BITS, y=text
            )

    panels("phase", 2, draw)


def tomography() -> None:
    doses = result("tomography_autoregressive")["doses_e"]
    series = result("tomography_doses")["doses_e"]

    def draw(axes: np.ndarray) -> None:
        for panel, (dose, table) in zip(axes, doses.items(), strict=False):
            scatter(
                panel, table["designs"], "gaussian_bits", "psnr_lmmse_db",
                title=f"tomography, {dose} photons", x=BITS, y="PSNR, dB",
            )  # fmt: skip
        for panel, key, text in (
            (axes[2], "bits", BITS),
            (axes[3], "psnr_lmmse_db", "PSNR, dB"),
        ):
            for dose, table in series.items():
                rows = list(table["designs"].values())
                values = np.array([row[key] for row in rows])
                relative = values - values.max() if key != "bits" else values / values.max()
                panel.plot(
                    [row["views"] for row in rows], relative, "o-", ms=4, label=f"{dose} photons"
                )
            unit = "share of the best" if key == "bits" else "below the best, dB"
            panel.set(xlabel="views", ylabel=f"{text}, {unit}" if key == "bits" else f"PSNR {unit}")
            panel.set_xscale("log", base=2)
            panel.set_xticks([2, 4, 8, 16, 32], ["2", "4", "8", "16", "32"])
            panel.legend(fontsize=FONT)
            panel.set_title("views against dose", fontsize=9)

    panels("tomography", 4, draw)


def infrared() -> None:
    tables = result("infrared")["tables"]

    def draw(axes: np.ndarray) -> None:
        for panel, (focus, table) in zip(axes, tables.items(), strict=False):
            rows = {n: r for n, r in table["designs"].items() if "refused" not in r}
            scatter(
                panel, rows, "bits_per_pixel", "rmse_k",
                title=f"infrared, {focus}", x="bits a pixel", y="error, K (less is better)",
            )  # fmt: skip

    panels("infrared", 2, draw)


def interferometer() -> None:
    arrays = result("interferometer")["arrays"]

    def draw(axes: np.ndarray) -> None:
        rows = list(arrays.values())
        bits = [row["bits"] for row in rows]
        for metric, text in {
            "psnr_gaussian_process_db": "Gaussian process",
            "psnr_rings_db": "rings",
        }.items():
            axes[0].plot(bits, [row[metric] for row in rows], "o", ms=3, label=text)
        axes[0].set(xlabel=BITS, ylabel="PSNR, dB")
        axes[0].set_title("70 radio arrays of four stations", fontsize=9)
        axes[0].legend(fontsize=FONT, loc="lower right")
        best = max(arrays, key=lambda n: arrays[n]["bits"])
        worst = min(arrays, key=lambda n: arrays[n]["bits"])
        ends = np.array([
            [arrays[n]["bits"], arrays[n]["psnr_gaussian_process_db"]] for n in (worst, best)
        ])
        label(axes[0], [worst, best], ends)

    panels("interferometer", 1, draw)


FIGURES = {
    "lensless": lensless,
    "lensless_sparse": lensless_sparse,
    "colour": colour,
    "phase": phase,
    "tomography": tomography,
    "infrared": infrared,
    "interferometer": interferometer,
}

if __name__ == "__main__":
    for asked in sys.argv[1:] or FIGURES:
        FIGURES[asked]()
    sys.exit(0)
