"""Making sure that an action's result exists: kept, restored from the store, or made.

:meth:`Builder.ensure` is the one way to a result. It asks the pure decision of :mod:`megbuild.graph.stale` and does
what that says; it may be called from several threads, and for an action whose inputs are not made yet.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from megbuild.errors import MegbuildError
from megbuild.execute.failure import ActionFailed
from megbuild.execute.memory import Memory
from megbuild.execute.publish import Publisher
from megbuild.execute.staging import Moved
from megbuild.graph.actions import Action, Outputs
from megbuild.graph.analyse import CORE, Graph
from megbuild.graph.fingerprint import Fingerprint, fingerprint
from megbuild.graph.reasons import Reason
from megbuild.graph.stale import Decision, Verb, decide
from megbuild.store.content import ContentStore, Missing
from megbuild.store.digests import Digest

CoreStep = Callable[[Action, Mapping[str, Digest], ContentStore], Outputs]
"""A step that the core computes itself, from the digests of what would be staged."""


@dataclass(frozen=True)
class Done:
    """An action whose result exists: what was done for it, why, and how long that took in seconds."""

    action: Action
    verb: Verb
    reasons: tuple[Reason, ...]
    outputs: Outputs
    seconds: float


class Listener(Protocol):
    """Who is told of progress. Called from several threads."""

    def started(self, action: Action, reasons: tuple[Reason, ...]) -> None:
        """An action begins to run."""

    def finished(self, done: Done) -> None:
        """An action's result exists."""

    def note(self, text: str) -> None:
        """Something else that a user wants to know, such as a toolchain being installed."""


class Runner(Protocol):
    """Where an action runs: here, later in a warm worker or on another machine."""

    def run(self, action: Action, now: Fingerprint) -> tuple[Outputs, Digest]:
        """Run it and put its outputs into the store; gives them and the digest of the log.

        :raises ActionFailed: when it gave no result.
        :raises Missing: when the store lost one of its inputs.
        :raises Moved: when a file of the workspace changed since it was hashed.
        """

    def stop(self) -> None:
        """End what runs now; an interrupted build calls it."""


@dataclass
class Builder:
    """The results of one build, each made once."""

    graph: Graph
    memory: Memory
    runner: Runner
    core: Mapping[str, CoreStep]
    publisher: Publisher
    listener: Listener
    done: dict[str, Done] = field(default_factory=dict)
    _locks: dict[str, threading.RLock] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def ensure(self, id: str) -> Done:
        """The result of an action, with those it needs.

        :raises ActionFailed: when it or one that it needs gives no result; a failed verdict counts.
        """
        with self._lock(id):
            if id not in self.done:
                self.done[id] = self._settle(self.graph.actions[id])
            return self.done[id]

    def _settle(self, action: Action) -> Done:
        begun = time.monotonic()
        made = {product.action: self.ensure(product.action).outputs for product in action.products}
        now = fingerprint(action, self.graph.toolchains.get(action.toolchain), made)
        last = self.memory.last(action.id)
        damage = self.memory.damage(action.id)
        stored = self.memory.stored(now.key)
        decision = decide(now.key, now.components, last, damage, stored=stored is not None)
        if decision.verb is Verb.KEEP:
            kept = self.memory.last_outputs(action.id)
            if action.toolchain != CORE or self.memory.holds(kept):
                return self._finish(Done(action, Verb.KEEP, (), kept, 0.0), now)
            decision = Decision(Verb.RUN, (Reason(f"needed:{action.id}"),))
        if decision.verb is Verb.RESTORE and stored is not None:
            return self._finish(Done(action, Verb.RESTORE, decision.reasons, stored, time.monotonic() - begun), now)
        return self._make(action, now, decision.reasons)

    def _make(self, action: Action, now: Fingerprint, reasons: tuple[Reason, ...]) -> Done:
        """Run an action; what the store lost of its inputs is made again first."""
        self.listener.started(action, reasons)
        begun = time.monotonic()
        for _ in range(len(action.products) + 1):
            try:
                outputs, log = self._run(action, now)
                break
            except Missing:
                now = self._remake_inputs(action, now)
            except Moved as moved:
                raise ActionFailed(action.id, f"{moved.path} changed while the build ran; build again") from None
            except MegbuildError as error:
                raise ActionFailed(action.id, str(error).removeprefix(f"{action.id}: ")) from None
        else:
            raise ActionFailed(action.id, "the store loses what is put into it: is its disk full or failing?")
        seconds = time.monotonic() - begun
        self.memory.keep(action, now, outputs, log, seconds, self.graph.toolchains.get(action.toolchain))
        return self._finish(Done(action, Verb.RUN, reasons, outputs, seconds), now)

    def _run(self, action: Action, now: Fingerprint) -> tuple[Outputs, Digest | None]:
        if action.toolchain == CORE:
            return self.core[action.step](action, now.staged, self.memory.content), None
        return self.runner.run(action, now)

    def _remake_inputs(self, action: Action, now: Fingerprint) -> Fingerprint:
        """Run those actions again whose products the store no longer has; the key follows what they give."""
        made: dict[str, Outputs] = {}
        for product in action.products:
            with self._lock(product.action):
                found = self.done[product.action]
                if not self.memory.holds(found.outputs):
                    before = self.graph.actions[product.action]
                    inputs = {p.action: self.ensure(p.action).outputs for p in before.products}
                    earlier = fingerprint(before, self.graph.toolchains.get(before.toolchain), inputs)
                    self.done[product.action] = self._make(before, earlier, (Reason(f"needed:{action.id}"),))
                made[product.action] = self.done[product.action].outputs
        return fingerprint(action, self.graph.toolchains.get(action.toolchain), made)

    def _finish(self, done: Done, now: Fingerprint) -> Done:
        """Publish the artifact of a verdict, and remember the result."""
        try:
            published = self.publisher.publish(done.action, now, done.outputs)
        except Missing:
            self._remake_inputs(done.action, now)
            published = self.publisher.publish(done.action, now, done.outputs)
        except ActionFailed:
            self.memory.remember(done.action.id, now, done.outputs, {})
            raise
        self.memory.remember(done.action.id, now, done.outputs, published)
        self.listener.finished(done)
        return done

    def _lock(self, id: str) -> threading.RLock:
        with self._guard:
            return self._locks.setdefault(id, threading.RLock())
