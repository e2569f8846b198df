"""The part that runs without snn-deploy: NumPy and lava-nc alone. ``emit`` copies this package into every bundle.

It reads an ``.snn`` file, builds Lava's process graph from it, runs it in a guarded subprocess and leaves one
``.npz`` per population. Nothing here imports snn-deploy.
"""
