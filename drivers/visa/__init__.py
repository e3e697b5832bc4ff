"""VISA instruments that are declared in YAML and not programmed.

`declaration` and `channels` know the file, `session` knows pyvisa and faults, `dialogue` what is
said to set a channel and verify it, `ramp` how a level is brought up slowly, `instrument` joins
them, `devices` are the light and the meter that a bench uses, `actuators` the number and the choice
that a design moves. Nothing here imports pyvisa before an instrument opens.
"""

from drivers.visa.actuators import VisaChoice, VisaNumber
from drivers.visa.channels import ChoiceChannel, NumberChannel, SwitchChannel
from drivers.visa.declaration import DeclarationError, InstrumentDeclaration, load_declaration
from drivers.visa.devices import VisaLight, VisaMeter
from drivers.visa.instrument import VisaInstrument

__all__ = [
    "ChoiceChannel",
    "DeclarationError",
    "InstrumentDeclaration",
    "NumberChannel",
    "SwitchChannel",
    "VisaChoice",
    "VisaInstrument",
    "VisaLight",
    "VisaMeter",
    "VisaNumber",
    "load_declaration",
]
