"""``./doit``: the fast answer when nothing is stale, else doit itself with megbuild's commands."""

from __future__ import annotations

import sys

from megbuild.cli.fast import answer


def main() -> int:
    """Run one command line; the exit status."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["build"] and (text := answer(arguments[1:])) is not None:
        print(text)
        return 0
    from doit.doit_cmd import DoitMain

    DoitMain.BIN_NAME = "doit"
    return int(DoitMain().run(arguments) or 0)


if __name__ == "__main__":
    sys.exit(main())
