"""Search engines, one file each, all behind `instrument.search.protocol.Optimizer`."""
