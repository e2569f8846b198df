"""Base of models that run on the embedded processors.

Without ``AbstractCProcessModel``, Lava's compiler treats all models as Python's, which these are, while its run configuration sees
those of the chip.
"""


class CLoihiProcessModel:
    """A mark: the stand-in's models are executed as Python models."""
