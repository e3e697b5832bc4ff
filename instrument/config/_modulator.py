"""The role of a spatial light modulator: the device, and what is known of how it answers."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import model_validator

from instrument.config._patterns import Grey
from instrument.config._section import Duration, Finite, Positive, Section

Row = tuple[Finite, Finite, Finite]


class SlmRole(Section):
    """Role of a spatial light modulator; `settle_ms` is waited after its read-back.

    `lut` (`.csv`, `.npy`) is the phase in rad that each grey level gives at the wavelength used;
    without one 256 levels are a turn. `flatness` (`.npy`, `.npz`, `.png`) is a phase of the
    modulator's shape added to every pattern. `affine` takes (x, y, 1) of a pattern to (x, y) of the
    modulator, in pixels; a raw pattern then takes the nearest pixel (`affine_order` 0) or is
    interpolated linearly (1; higher splines leave the bounds of their values).
    `on_value` makes it a binary device: above half of full scale is on, all else `off_value`.
    `display_ms` is how long a modulator with a light of its own lights a pattern; one that
    `shows_on_load` is not told to display what was loaded.
    `trigger: camera` says that its trigger input is the camera's exposure output, so that it goes
    through the patterns of several shots by itself.
    """

    kind: Literal["slm"] = "slm"
    device: str
    settle_ms: Duration = 0.0
    display_ms: Positive | None = None
    shows_on_load: bool = False
    trigger: Literal["camera"] | None = None
    lut: Path | None = None
    flatness: Path | None = None
    affine: tuple[Row, Row] | None = None
    affine_order: Literal[0, 1] = 0
    on_value: Grey | None = None
    off_value: Grey = 0

    @property
    def is_binary(self) -> bool:
        """Whether a pixel is on or off and nothing between."""
        return self.on_value is not None

    @property
    def files(self) -> dict[str, Path]:
        """Calibration files by their key."""
        named = {"lut": self.lut, "flatness": self.flatness}
        return {key: path for key, path in named.items() if path is not None}

    def in_folder(self, folder: Path) -> SlmRole:
        """Return the role with its files' paths taken from `folder`."""
        return self.model_copy(
            update={key: (folder / path).resolve() for key, path in self.files.items()}
        )

    @model_validator(mode="after")
    def _no_wait_between_frames(self) -> SlmRole:
        if self.trigger is not None and self.settle_ms:
            raise ValueError(
                f"settle_ms {self.settle_ms:g} cannot be waited between frames that the camera "
                "triggers; set the camera's own pause between frames and leave settle_ms out, or "
                "leave trigger out"
            )
        return self

    @model_validator(mode="after")
    def _one_answer(self) -> SlmRole:
        if self.on_value is None and "off_value" in self.model_fields_set and self.off_value:
            raise ValueError("off_value needs on_value; give both, or neither for grey levels")
        if self.on_value == self.off_value:
            raise ValueError(f"on_value and off_value are both {self.off_value}")
        if self.is_binary and self.files:
            raise ValueError(
                f"on_value makes a binary device, and {' and '.join(self.files)} are for phases; "
                "keep one of them"
            )
        if self.affine is not None:
            (a, b, _), (c, d, _) = self.affine
            if abs(a * d - b * c) < 1e-9:
                raise ValueError("affine maps the plane onto a line; give an invertible matrix")
        return self
