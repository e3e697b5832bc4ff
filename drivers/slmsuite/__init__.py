"""Modulators and cameras of vendors that slmsuite drives, behind our protocols.

https://slmsuite.readthedocs.io. Needs the extra `slmsuite`, and whatever the vendor's SDK asks for.
"""

from drivers.slmsuite._camera import SlmsuiteCamera
from drivers.slmsuite._construct import construct
from drivers.slmsuite._slm import SlmsuiteSLM

__all__ = ["SlmsuiteCamera", "SlmsuiteSLM", "construct"]
