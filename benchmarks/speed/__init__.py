"""What the speed benchmarks share: the graph, the peers that build the same graph, and the measuring.

Standard library only, but for ``first_build``, which runs in megbuild's own environment.
"""
