"""Fine-tuning of a float model for the spikes it will become; needs torch.

``network`` runs a float graph in torch; ``surrogate`` replaces activations by what spikes make of them, with a
straight-through gradient: quantized levels (``exact`` mode) or the accumulated flow of a simulated run (``rate`` mode);
``data`` draws patches; ``training`` is the loop, with validation on converted networks, checkpoints and early stopping.
"""
