"""The closed loop on a bench: the only room that knows both hardware and science."""
