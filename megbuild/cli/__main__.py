"""``./doit``: the fast answer when nothing is stale, else doit itself with megbuild's commands.

The wrapper starts Python without site-packages (``-S``), which the fast answer does not need; they are added for doit.
"""

from __future__ import annotations

import sys

if sys.flags.no_site:
    sys.path.insert(0, __file__.removesuffix("/megbuild/cli/__main__.py"))

from megbuild.cli.fast import answer


def main() -> int:
    """Run one command line; the exit status."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["build"] and (text := answer(arguments[1:])) is not None:
        print(text)
        return 0
    if sys.flags.no_site:
        import site

        site.main()
    if "" in arguments:
        from megbuild.errors import USAGE

        print("doit: an argument is empty [MB401]", file=sys.stderr)
        return USAGE
    from doit.doit_cmd import DoitMain

    DoitMain.BIN_NAME = sys.argv[0] = "doit"  # what a user typed, also for who waits for this command
    below = {"GLOBAL": {"seek_file": True}}  # labels mean something in every folder of the workspace, so list does too
    return int(DoitMain(extra_config=below).run(arguments) or 0)


if __name__ == "__main__":
    sys.exit(main())
