"""VISA instruments that are declared in YAML and not programmed.

`declaration` knows the file, `session` knows pyvisa and faults, `instrument` knows what setting a
channel means, `devices` are the light and the meter that a bench uses. Nothing here imports pyvisa
before an instrument opens.
"""

from drivers.visa.declaration import (
    DeclarationError,
    InstrumentDeclaration,
    NumberChannel,
    SwitchChannel,
    load_declaration,
)
from drivers.visa.devices import VisaLight, VisaMeter
from drivers.visa.instrument import VisaInstrument

__all__ = [
    "DeclarationError",
    "InstrumentDeclaration",
    "NumberChannel",
    "SwitchChannel",
    "VisaInstrument",
    "VisaLight",
    "VisaMeter",
    "load_declaration",
]
