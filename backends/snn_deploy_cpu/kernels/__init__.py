"""The kernels: C, compiled once for each instruction set when the package is built, and how Python calls them."""
