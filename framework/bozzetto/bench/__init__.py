"""`bozzetto bench`: how long kernels and steps take, and how far that is from what the machine can do."""
