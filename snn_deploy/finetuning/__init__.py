"""Fine-tuning a float model for its conversion to spikes; needs torch.

``network`` runs a float graph in torch; ``surrogate`` replaces activations by their spiking values, with a
straight-through gradient: quantized levels (``exact`` mode) or the accumulated flow of a simulated run (``rate`` mode);
``data`` draws patches; ``training`` is the training loop, with validation on converted networks, checkpoints and early
stopping.
"""
