"""The base class that the toolkit derives from."""


class Module:
    """A network module without content."""
