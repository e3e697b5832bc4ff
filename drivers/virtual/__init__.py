"""Virtual benches: devices whose physics is a twin plus a sensor model. The only room with JAX.

`twins` are the forward models of all domains, `objects` what may stand in front of them.
"""
