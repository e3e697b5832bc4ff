"""What happens on a virtual bench between its devices; none of this knows Micro-Manager."""

from drivers.virtual.worlds.protocol import Detector, World

__all__ = ["Detector", "World"]
