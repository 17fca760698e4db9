"""What runs inside a toolchain: reads one request, drives a rule's worker, checks and measures what it made.

Standard library and numpy only, Python 3.9 and newer. These files are staged into every action as the package
``megbuild_worker``, so they are part of its key; nothing here imports the rest of megbuild.
"""
