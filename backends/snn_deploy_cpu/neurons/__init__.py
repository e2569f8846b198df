"""Neuron models in floats that hold every integer exactly: one module for each kind, one interface (``protocol``)."""
