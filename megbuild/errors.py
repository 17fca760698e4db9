"""Problems a user can cause, and how they are shown.

A problem is one line ``file:line:column: what is wrong [MB104]`` and a ``hint:`` that mends it. Codes are
stable and explained in ``docs/errors.md``. Several problems found together are reported together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

USAGE = 2
"""Exit status of a build that could not start: something the user wrote is wrong."""
FAILED = 1
"""Exit status of a build whose actions or verdicts failed."""


@dataclass(frozen=True, order=True)
class Location:
    """A place in a file that the user wrote; line and column count from 1, 0 means unknown."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        parts = [self.file, *(str(n) for n in (self.line, self.column) if n)]
        return ":".join(parts)

    def located(self) -> Location:
        """Itself: a location needs no looking up."""
        return self


class Where(Protocol):
    """Anything that a problem can point at: a location, or something that finds its location when it is shown."""

    def located(self) -> Location:
        """The file, and the line and column where they are known."""
        ...


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: its stable code, one sentence, the sentence that mends it, and where it is."""

    code: str
    message: str
    hint: str = ""
    where: Where | None = None

    def __str__(self) -> str:
        head = f"{self.where.located()}: " if self.where else ""
        tail = f"\n  hint: {self.hint}" if self.hint else ""
        return f"{head}{self.message} [{self.code}]{tail}"


@dataclass
class MegbuildError(Exception):
    """Raised with every problem found at once; ``status`` is the exit status of the command."""

    problems: tuple[Problem, ...]
    status: int = field(default=USAGE)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


MOST = 200
"""Problems that are looked for in one load: nobody reads more, and a file can be made to have millions."""


class Enough(Exception):
    """So many problems were found that the rest is not looked for."""


class Problems(list[Problem]):
    """Problems as they are found; raises Enough when there are ``MOST``."""

    def append(self, problem: Problem) -> None:
        """Takes one more."""
        super().append(problem)
        if len(self) >= MOST:
            raise Enough

    def extend(self, problems: Iterable[Problem]) -> None:
        """Takes several, one by one."""
        for problem in problems:
            self.append(problem)

    def __iadd__(self, problems: Iterable[Problem]) -> Problems:  # type: ignore[override, misc]
        self.extend(problems)
        return self


def printable(text: str, keep: str = "") -> str:
    """A text that somebody else chose, for a terminal: no sequences of control, and no line of its own unless ``keep`` has the newline."""
    return "".join(c if c.isprintable() or c in keep else "\N{REPLACEMENT CHARACTER}" for c in text)


def fail(code: str, message: str, hint: str = "", where: Where | None = None, *, status: int = USAGE) -> MegbuildError:
    """The error of a single problem, to be raised by the caller."""
    return MegbuildError((Problem(code, message, hint, where),), status)
