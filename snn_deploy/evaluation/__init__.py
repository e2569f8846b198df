"""How well networks do their tasks, and sweeps over options."""
