"""The zygotes of a build: each toolchain's is started when it is first needed, and few of them wait idly."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from megbuild.execute.zygote import Dead, Kind, Zygote


@dataclass
class Zygotes:
    """The zygotes of one build. Several threads may ask for one at a time; each is started once."""

    actions: Path
    logs: Path
    most: int = 4
    """How many stay alive when they have nothing to do: each holds an SDK in memory."""
    without: str = ""
    stopped: bool = False
    _alive: dict[Kind, Zygote] = field(default_factory=dict)
    _starting: dict[Kind, threading.Lock] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def taken(self, kind: Kind) -> Iterator[Zygote]:
        """The zygote of this kind for one action, started where there is none.

        :raises Dead: when it does not start. One that Dead is raised about inside is not used again.
        """
        zygote = self._take(kind)
        dead = False
        try:
            yield zygote
        except Dead:
            dead = True
            raise
        finally:
            with self._lock:
                zygote.running -= 1
                zygote.used = time.monotonic()
                if dead and self._alive.get(kind) is zygote:
                    del self._alive[kind]
            if dead:
                zygote.stop()

    def start(self, kinds: Iterable[Kind]) -> None:
        """Start zygotes that will be needed; one that does not start is told when it is needed."""
        for kind in kinds:
            with suppress(Dead), self.taken(kind):
                pass

    def _take(self, kind: Kind) -> Zygote:
        with self._lock:
            starting = self._starting.setdefault(kind, threading.Lock())
        with starting:
            with self._lock:
                if self.stopped:
                    raise Dead("the build was stopped")
                zygote = self._alive.get(kind)
            if zygote is None:
                zygote = self._started(kind)
            with self._lock:
                zygote.running += 1
                return zygote

    def stop(self) -> None:
        """End all of them, with every action that runs; no other one is started."""
        with self._lock:
            self.stopped = True
            ended = list(self._alive.values())
            self._alive.clear()
        for zygote in ended:
            zygote.dismiss()
        for zygote in ended:
            zygote.stop()

    def _started(self, kind: Kind) -> Zygote:
        for idle in self._too_many():
            idle.stop()
        self.actions.mkdir(parents=True, exist_ok=True)
        self.logs.mkdir(parents=True, exist_ok=True)
        log = self.logs / f"zygote-{kind.toolchain}.log"
        zygote = Zygote(kind, self.actions, log, self.without)
        zygote.start()
        with self._lock:
            if not self.stopped:
                self._alive[kind] = zygote
                return zygote
        zygote.stop()
        raise Dead("the build was stopped")

    def _too_many(self) -> list[Zygote]:
        with self._lock:
            idle = sorted((z for z in self._alive.values() if not z.running), key=lambda z: z.used)
            ended = idle[: max(0, len(self._alive) - self.most + 1)]
            for zygote in ended:
                del self._alive[zygote.kind]
            return ended
