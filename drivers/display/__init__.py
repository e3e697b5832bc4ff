"""Spatial light modulators and micromirror devices that are monitors to the computer.

The window lives in a process of its own: neither Python's global lock nor a crash of this process
touches what it shows. Needs the extra `display`.
"""

from drivers.display._modulator import DisplaySLM
from drivers.display._process import list_monitors
from drivers.display._screen import Monitor

__all__ = ["DisplaySLM", "Monitor", "list_monitors"]
