"""The box that an action runs in: namespaces, a root of its own, Landlock, limits. One zygote a toolchain makes them.

::

    megbuild ── launcher ──────── zygote ────── keeper   pid 1 of the action's namespace: its death ends all in it
                watches megbuild   preloaded └─ action   the same process, forked, confined, then the staged code

This folder runs under a toolchain's Python: standard library only, Python 3.9 and newer. megbuild talks to it through
:mod:`megbuild.execute.zygote`.
"""
