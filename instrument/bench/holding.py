"""What a person's wish looks like to the bench: the next exposure must wait in the dark."""

from __future__ import annotations


class PauseAsked(Exception):  # noqa: N818 - it is a wish, not an error
    """Somebody wants the light off for a while; raised by a `checkpoint`, the text says who."""


def never() -> None:
    """Let everything pass: the checkpoint of work that nobody can pause."""
