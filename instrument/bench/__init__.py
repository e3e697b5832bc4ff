"""Devices by role, a design applied safely, a batch captured."""
