"""How the current of a connection is computed: one module for each kind of convolution, and how the fastest is chosen."""
