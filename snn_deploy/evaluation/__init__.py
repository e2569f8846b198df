"""Task scores of networks, and sweeps over options."""
