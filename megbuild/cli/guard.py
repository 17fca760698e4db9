"""What a user caused is told in lines, never as a traceback."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

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
    except BaseException as error:
        if not _by_interruption(error):
            raise
        print("interrupted: what had finished is kept", file=sys.stderr)
        return INTERRUPTED


@contextmanager
def _interruptible() -> Iterator[None]:
    """To be asked to end is an interruption as well: actions run in sessions of their own and would be left behind.

    Whoever asks twice is in a hurry: the process ends at once then, as if it had been killed, and the next one clears
    away. A second exception in the middle of what the first one clears away would break any code that it hits.
    """
    usual = (signal.SIG_DFL, signal.default_int_handler)
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    before = {number: handler for number, handler in before.items() if handler in usual}
    asked = False

    def interrupt(number: int, frame: object) -> None:
        nonlocal asked
        asked = True
        for other in before:
            signal.signal(other, _end_at_once)
        raise KeyboardInterrupt

    try:
        for number in before:
            signal.signal(number, interrupt)
    except ValueError:  # in another thread than the main one signals cannot be heard
        before = {}
    try:
        yield
    finally:
        if not asked:  # else this process ends, and nothing is left to interrupt
            for number, handler in before.items():
                signal.signal(number, handler)


def _end_at_once(number: int, frame: object) -> None:
    with suppress(OSError):
        shown = b"\x1b[?25h" if os.isatty(2) else b""  # the cursor, which the progress has hidden
        os.write(2, shown + b"interrupted again: the next build clears away what is left\n")
    os._exit(INTERRUPTED)


def _by_interruption(error: BaseException | None) -> bool:
    """Whether an error came up while an interruption was on its way: it breaks code that holds a lock of Python's."""
    while error and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None
