"""How the current of a connection is computed: one module for each form, and how the fastest is chosen."""
