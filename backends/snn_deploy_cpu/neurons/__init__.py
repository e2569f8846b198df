"""Membranes through time: one module for each kind of neuron."""
