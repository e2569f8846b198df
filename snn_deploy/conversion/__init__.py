"""From a float graph in normal form to an integer network: calibrate, normalize, quantize, lower.

``options`` holds all choices; ``layers`` groups the graph; ``calibrate`` measures activations; ``normalize`` chooses
the real value of one spike, source by source; ``quantize`` rounds weights to int8; ``lower`` builds the network and
proves that nothing overflows.
"""
