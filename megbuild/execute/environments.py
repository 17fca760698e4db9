"""The environments of one build: installed when an action first needs them, several at a time, and looked at once.

That look (docs/adr/0030) goes on while the environment's zygote starts; no action runs there before it is over.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from megbuild.declare.models import Toolchain
from megbuild.errors import MegbuildError
from megbuild.execute.soundness import sound
from megbuild.execute.toolchains import Installed, installed, provision


@dataclass(frozen=True)
class Environment:
    """An environment that is ``there``; ``number`` tells apart those that stood in one place one after the other."""

    there: Installed
    number: int
    _look: Future[bool]

    def is_sound(self) -> bool:
        """Whether it is as it was installed; waits for the look. One that is not has been removed, and said to be."""
        return self._look.result()

    @property
    def is_gone(self) -> bool:
        """Whether it is known not to be."""
        return self._look.done() and not self.is_sound()


@dataclass
class Environments:
    """What threads of one build ask for environments. ``say`` hears what is installed, and what had changed."""

    cache: Path
    say: Callable[[str], None]
    _found: dict[str, Environment] = field(default_factory=dict)
    """By the digest of the toolchain."""
    _installing: dict[str, threading.Lock] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _looks: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))

    def of(self, toolchain: Toolchain, later: Iterable[Toolchain] = ()) -> Environment:
        """The environment of a toolchain, installed where it is missing; so are those of ``later`` ones then, meanwhile.

        :raises MegbuildError: when it cannot be installed; see :func:`megbuild.execute.toolchains.provision`.
        """
        if found := self.standing(toolchain):
            return found  # an action need not wait while another toolchain is installed
        for other in later:
            if not installed(other, self.cache):
                threading.Thread(target=self._install, args=(other,), daemon=True).start()
        return self._installed(toolchain)

    def standing(self, toolchain: Toolchain) -> Environment | None:
        """The same when it is there; a look at it begins then."""
        there = installed(toolchain, self.cache)
        if there is None:
            return None
        with self._guard:
            found = self._found.get(toolchain.digest)
            if found is None:
                found = Environment(there, 0, self._looks.submit(sound, toolchain, self.cache, self.say))
                self._found[toolchain.digest] = found
        return None if found.is_gone else found

    def _install(self, toolchain: Toolchain) -> None:
        with suppress(MegbuildError):  # said when an action needs it
            self._installed(toolchain)

    def _installed(self, toolchain: Toolchain) -> Environment:
        with self._guard:
            lock = self._installing.setdefault(toolchain.digest, threading.Lock())
        with lock:
            before = self._found.get(toolchain.digest)
            if before and not before.is_gone and installed(toolchain, self.cache):
                return before  # another thread has installed it
            there = provision(toolchain, self.cache, self.say)
            found = Environment(there, before.number + 1 if before else 0, _looked_at())
            with self._guard:
                self._found[toolchain.digest] = found
            return found


def _looked_at() -> Future[bool]:
    """What has just been installed, and its probe has passed."""
    look: Future[bool] = Future()
    look.set_result(True)
    return look
