"""`bozzetto bench`: times kernels and training steps, and compares them with the limits of the machine."""
