"""A decoder of realistic size for end-to-end training: a U-Net on whole frames.

O. Ronneberger, P. Fischer and T. Brox, MICCAI 2015: two convolutions of 3 x 3 a level, maximum
pooling down, transposed convolutions up, skips across. Group normalisation, because batches of
whole frames are small.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

GROUPS = 8


class _Level(eqx.Module):
    """Two convolutions that keep the size."""

    convolutions: tuple[eqx.nn.Conv2d, eqx.nn.Conv2d]
    norms: tuple[eqx.nn.GroupNorm, eqx.nn.GroupNorm]

    def __init__(self, channels_in: int, channels: int, *, key: Any):
        first, second = jax.random.split(key)
        self.convolutions = (
            eqx.nn.Conv2d(channels_in, channels, 3, padding=1, key=first),
            eqx.nn.Conv2d(channels, channels, 3, padding=1, key=second),
        )
        self.norms = (eqx.nn.GroupNorm(GROUPS, channels), eqx.nn.GroupNorm(GROUPS, channels))

    def __call__(self, x: Float[Array, "channels y x"]) -> Float[Array, "channels y x"]:
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = jax.nn.relu(norm(convolution(x)))
        return x


class UNet(eqx.Module):
    """Frames (batch, shots, height, width) to targets (batch, channels * height * width).

    Parameters
    ----------
    shots, channels
        Of the measurement, and of the image asked for.
    widths
        Channels of every level, the finest first; sides must be divisible by 2 a level.
    """

    down: list[_Level]
    up: list[_Level]
    raise_size: list[eqx.nn.ConvTranspose2d]
    last: eqx.nn.Conv2d

    def __init__(self, shots: int, channels: int, *, widths: list[int], key: Any):
        keys = iter(jax.random.split(key, 3 * len(widths)))
        inputs = [shots, *widths[:-1]]
        self.down = [_Level(i, w, key=next(keys)) for i, w in zip(inputs, widths, strict=True)]
        steps = list(zip(widths[::-1], widths[-2::-1], strict=False))
        self.raise_size = [
            eqx.nn.ConvTranspose2d(low, high, 2, stride=2, key=next(keys)) for low, high in steps
        ]
        self.up = [_Level(2 * high, high, key=next(keys)) for _, high in steps]
        self.last = eqx.nn.Conv2d(widths[0], channels, 1, key=next(keys))

    @property
    def parameters(self) -> int:
        """How many numbers are trained."""
        return sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(self, eqx.is_inexact_array)))

    def __call__(
        self, y: Float[Array, "batch shots height width"]
    ) -> Float[Array, "batch outputs"]:
        """Return targets in units of their standard deviation."""
        y = (y - y.mean(axis=(0, 2, 3), keepdims=True)) / (y.std(axis=(0, 2, 3), keepdims=True))
        return jax.vmap(self._decode)(y).reshape(len(y), -1)

    def _decode(self, x: Float[Array, "shots height width"]) -> Float[Array, "channels y x"]:
        seen: list[Array] = []
        for level in self.down:
            x = level(x if not seen else eqx.nn.MaxPool2d(2, 2)(x))
            seen.append(x)
        for raise_size, level, skip in zip(self.raise_size, self.up, seen[-2::-1], strict=True):
            x = level(jnp.concatenate([skip, raise_size(x)]))
        return self.last(x)
