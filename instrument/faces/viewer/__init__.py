"""The live view: frame, modulator pattern and score history, in a process of its own."""

from instrument.faces.viewer.pipe import Viewer, ViewerUnavailable, open_viewer

__all__ = ["Viewer", "ViewerUnavailable", "open_viewer"]
