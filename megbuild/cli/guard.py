"""What a user caused is told in lines, never as a traceback."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from megbuild.errors import FAILED, MegbuildError, Problem, fail

INTERRUPTED = 130
UNREAD = 141
"""Exit status when nobody reads the output any more, as of a program that SIGPIPE ended."""


def guarded(work: Callable[[], int], command: str = "", words: Sequence[str] = ()) -> int:
    """The exit status of ``work``; an error of the user's is printed, one line and hint a problem.

    ``words`` are those that stand after a ``command`` which takes none.
    """
    try:
        if words:
            raise fail("MB401", f"doit {command} takes no {words[0]!r}", f"doit help {command}")
        with _interruptible():
            status = work()
        sys.stdout.flush()
        return status
    except MegbuildError as error:
        print(error, file=sys.stderr)
        return error.status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is flushed at the end
        return UNREAD
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        print(Problem("MB607", f"{place}{error.strerror or error}"), file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("interrupted: what had finished is kept", file=sys.stderr)
        return INTERRUPTED


@contextmanager
def _interruptible() -> Iterator[None]:
    """To be asked to end is an interruption as well: actions run in sessions of their own and would be left behind."""
    asked = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_DFL]
    try:
        for number in asked:
            signal.signal(number, signal.default_int_handler)
    except ValueError:  # in another thread than the main one signals cannot be heard
        asked = []
    try:
        yield
    finally:
        for number in asked:
            signal.signal(number, signal.SIG_DFL)
