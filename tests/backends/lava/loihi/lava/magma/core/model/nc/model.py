"""Base of models that run on neuro-cores."""


class AbstractNcProcessModel:
    """A mark: the stand-in's models are executed as Python models."""
