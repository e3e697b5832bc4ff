"""Drivers of ACME stages and LEDs for infoloop."""
