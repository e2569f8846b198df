"""Fine-tuning of a converted network, on the integers that it deploys; needs torch.

``trainable`` says which integers are trained and within which limits; ``deployed`` computes the network in torch, bit for bit, by
the kernels of ``arithmetic`` and the neurons of ``firing``, and gives gradients; ``loss`` is the distance to the float network or
to the data; ``data`` draws patches; ``operations`` and ``pruning`` lower synaptic operations; ``training`` is the loop, with
validation, checkpoints and early stopping. ``export`` makes ONNX files of models in memory.
"""
