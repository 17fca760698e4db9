"""Progress: rich on a terminal, plain lines in a pipe or in CI. Both say what runs, and why."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING

from megbuild.graph.actions import Action
from megbuild.graph.reasons import Reason
from megbuild.graph.stale import Verb

if TYPE_CHECKING:
    from rich.status import Status

    from megbuild.execute.builder import Done


class Lines:
    """One line when an action starts and one when it ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> Lines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def started(self, action: Action, reasons: tuple[Reason, ...]) -> None:
        """See :class:`megbuild.execute.builder.Listener`."""
        if action.toolchain:
            self.write(f"run   {action.id}  ({told(reasons)})")

    def finished(self, done: Done) -> None:
        """See :class:`megbuild.execute.builder.Listener`."""
        if done.verb is Verb.RUN and done.action.toolchain:
            self.write(f"done  {done.action.id}  {done.seconds:.1f} s")
        elif done.verb is Verb.RUN:
            self.write(f"judge {done.action.id}  ({told(done.reasons)})")
        elif done.verb is Verb.RESTORE:
            self.write(f"store {done.action.id}  ({told(done.reasons)})")

    def note(self, text: str) -> None:
        """See :class:`megbuild.execute.builder.Listener`."""
        self.write(text)

    def write(self, text: str) -> None:
        """One whole line, also when several threads write."""
        with self._lock:
            print(text, flush=True)


class Live(Lines):
    """The same lines, and below them what runs at this moment."""

    def __init__(self) -> None:
        super().__init__()
        from rich.console import Console

        self._console = Console(highlight=False)
        self._status: Status = self._console.status("preparing")
        self._running: dict[str, float] = {}

    def __enter__(self) -> Live:
        self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._status.stop()

    def started(self, action: Action, reasons: tuple[Reason, ...]) -> None:
        """Also shown as running."""
        super().started(action, reasons)
        self._running[action.id] = time.monotonic()
        self._show()

    def finished(self, done: Done) -> None:
        """No longer shown as running."""
        self._running.pop(done.action.id, None)
        super().finished(done)
        self._show()

    def write(self, text: str) -> None:
        """Above the status line."""
        self._console.print(text, markup=False, soft_wrap=True)

    def _show(self) -> None:
        self._status.update(", ".join(list(self._running)) or "waiting")


def listener() -> Lines | Live:
    """The listener that fits where the output goes."""
    return Live() if sys.stdout.isatty() else Lines()


def told(reasons: tuple[Reason, ...]) -> str:
    """The reasons in one phrase: the first ones, and how many more."""
    shown = [str(reason) for reason in reasons[:3]]
    more = len(reasons) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")
