"""megbuild: what Bazel is to code, for MegEngine models.

Start with :mod:`megbuild.pipeline`: it lists the stages of a build in order.
"""

__version__ = "0.1.0"
