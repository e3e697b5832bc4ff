"""Virtual benches: devices whose physics is a twin plus a sensor model. The only room with JAX."""
