"""What a user caused is told in lines, never as a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable

from megbuild.errors import MegbuildError

INTERRUPTED = 130


def guarded(work: Callable[[], int]) -> int:
    """The exit status of ``work``; an error of the user's is printed, one line and hint a problem."""
    try:
        return work()
    except MegbuildError as error:
        print(error, file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        print("interrupted: what had finished is kept", file=sys.stderr)
        return INTERRUPTED
