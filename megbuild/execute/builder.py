"""Making sure that an action's result exists: kept, restored from the store, or made.

:meth:`Builder.ensure` is the one way to a result. It asks the pure decision of :mod:`megbuild.graph.stale` and does
what that says; it may be called from several threads, and for an action whose inputs are not made yet.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

from megbuild.errors import MegbuildError, Problem
from megbuild.execute.failure import ActionFailed, located
from megbuild.execute.memory import Memory
from megbuild.execute.publish import Publisher
from megbuild.execute.staging import Moved
from megbuild.execute.turns import Places
from megbuild.graph.actions import CORE, Action, Leaf, Outputs
from megbuild.graph.analyse import Graph
from megbuild.graph.costs import Cost
from megbuild.graph.draft import OPERATIONS
from megbuild.graph.fingerprint import Fingerprint, fingerprint
from megbuild.graph.reasons import Reason
from megbuild.graph.stale import Decision, Verb, decide
from megbuild.store.content import ContentStore, Missing
from megbuild.store.digests import Digest
from megbuild.store.lock import Stopped

CoreStep = Callable[[Action, Mapping[str, Digest], ContentStore], Outputs]
"""A step that the core computes itself, from the digests of what would be staged."""
_TRIES = 12
"""How often an action is begun anew when the store lost an input: damage shows itself file by file."""


@dataclass(frozen=True)
class Ran:
    """One execution of an action: its outputs, the digest of its log, and the most memory that it had, in bytes.

    Both of the latter are None and 0 where the core itself computed the result. ``waited`` are the seconds for which it was
    ready and others computed.
    """

    outputs: Outputs
    log: Digest | None = None
    memory: int = 0
    unread: tuple[str, ...] | None = None
    """The declared inputs that it did not open; None where that is not known."""
    waited: float = 0.0


@dataclass(frozen=True)
class Done:
    """An action whose result exists: what was done for it, why, and how long that took in seconds.

    ``placed`` are the files that this put into the workspace.
    """

    action: Action
    verb: Verb
    reasons: tuple[Reason, ...]
    outputs: Outputs
    seconds: float
    placed: Collection[str] = ()


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

    def run(self, action: Action, now: Fingerprint, places: Places) -> Ran:
        """Run it and put its outputs and its log into the store.

        :param places: it needs one of them while it computes, and not while it is prepared and put away.
        :raises ActionFailed: when it gave no result.
        :raises Missing: when the store lost one of its inputs.
        :raises Moved: when a file of the workspace changed since it was hashed.
        """

    def stop(self) -> None:
        """End what runs now; an interrupted build calls it."""

    @property
    def stopped(self) -> bool:
        """Whether that was asked for."""


@dataclass
class Builder:
    """The results of one build, each made once."""

    graph: Graph
    memory: Memory
    runner: Runner
    core: Mapping[str, CoreStep]
    publisher: Publisher
    listener: Listener
    places: Places = field(default_factory=lambda: Places(len(os.sched_getaffinity(0))))
    done: dict[str, Done] = field(default_factory=dict)
    remade: set[str] = field(default_factory=set)
    """Actions that the store had lost and that gave other bytes this time: what was kept may rest on the old ones."""
    _from: dict[str, Mapping[str, Outputs]] = field(default_factory=dict)
    """What each result was made from."""
    _locks: dict[str, threading.RLock] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def ensure(self, id: str) -> Done:
        """The result of an action, with those it needs; made from what these give now, should that have changed.

        :raises ActionFailed: when it or one that it needs gives no result; a failed verdict counts.
        """
        action = self.graph.actions[id]
        with self._lock(id):
            if id not in self.done or self._from[id] != self._inputs(action):
                self.done[id] = self._settle(action)
            return self.done[id]

    def _inputs(self, action: Action) -> dict[str, Outputs]:
        return {product.action: self.ensure(product.action).outputs for product in action.products}

    def _settle(self, action: Action, needed: tuple[Reason, ...] = ()) -> Done:
        """Keep, restore or make a result; with the reason that it is ``needed``, make it in any case.

        What the store turns out to have lost is made again, and with it all that was made from it.
        """
        started = False
        for _ in range(_TRIES):
            made = self._inputs(action)
            begun = time.monotonic()
            now = fingerprint(action, self.graph.toolchains.get(action.toolchain), made)
            stored = None if needed else self.memory.stored(now.key)
            decision = self._decision(action, now, needed, stored=stored is not None)
            try:
                with self._held(action, now, decision):
                    if decision.verb is Verb.RUN and not needed:  # another build may have made it meanwhile
                        stored = self.memory.stored(now.key)
                        decision = self._decision(action, now, needed, stored=stored is not None)
                    if decision.verb is Verb.RUN and not started:
                        self.listener.started(action, decision.reasons)
                        started = True
                    if decision.verb is Verb.KEEP:
                        outputs = self.memory.last_outputs(action.id)
                    else:
                        outputs, waited = self._make(action, now) if stored is None else (stored, 0.0)
                        begun += waited
                published = {} if decision.verb is Verb.KEEP else self.publisher.publish(action, now, outputs)
            except Missing:
                self._remake_inputs(action)
                continue
            except ActionFailed as failure:
                raise self._located(action, failure) from None
            except Moved as moved:
                raise ActionFailed(action.id, f"{moved.path} changed while the build ran; build again") from None
            except Stopped:
                raise ActionFailed(action.id, "the build was stopped") from None
            except MegbuildError as error:
                raise ActionFailed(action.id, str(error).removeprefix(f"{action.id}: ")) from None
            except OSError as error:  # while it was staged, or its outputs were read
                place = f"{error.filename}: " if error.filename else ""
                raise ActionFailed(action.id, str(Problem("MB607", f"{place}{error.strerror or error}"))) from None
            seconds = 0.0 if decision.verb is Verb.KEEP else time.monotonic() - begun
            done = Done(action, decision.verb, decision.reasons, outputs, seconds, published)
            ran = stored is None and decision.verb is Verb.RUN
            try:
                self.memory.remember(action.id, now, outputs, published, ran=ran)  # if kept: what was seen may be new
            except MegbuildError as error:  # its result is in the store: the next build finds it there
                raise ActionFailed(action.id, str(error)) from None
            self._from[action.id] = made
            self.listener.finished(done)
            return done
        raise ActionFailed(action.id, "the store loses what is put into it: is its disk full or failing?")

    def _held(self, action: Action, now: Fingerprint, decision: Decision) -> AbstractContextManager[object]:
        """The lock of a key whose action is about to run in a toolchain: of all builds that want it, one runs it."""
        if decision.verb is not Verb.RUN or action.toolchain == CORE:
            return nullcontext()
        return self.memory.making(now.key, action.id, self.listener.note, lambda: self.runner.stopped)

    def _decision(self, action: Action, now: Fingerprint, needed: tuple[Reason, ...], *, stored: bool) -> Decision:
        if needed:
            return Decision(Verb.RUN, needed)
        return decide(
            now.key, now.components, self.memory.last(action.id), self.memory.damage(action.id), stored=stored
        )

    def _make(self, action: Action, now: Fingerprint) -> tuple[Outputs, float]:
        """The outputs, and the seconds for which the action waited."""
        begun = time.monotonic()
        if action.toolchain == CORE:
            ran = Ran(self.core[action.step](action, now.staged, self.memory.content))
        else:
            ran = self.runner.run(action, now, self.places)
        seconds = time.monotonic() - begun - ran.waited
        toolchain = self.graph.toolchains.get(action.toolchain)
        self.memory.keep(action, now, ran.outputs, ran.log, Cost(seconds, ran.memory), toolchain, ran.unread)
        return ran.outputs, ran.waited

    def _remake_inputs(self, action: Action) -> None:
        """Run those actions again whose products the store no longer has."""
        for id in sorted({product.action for product in action.products}):
            with self._lock(id):
                before = self.ensure(id).outputs
                if not self.memory.holds(before):
                    self.done[id] = self._settle(self.graph.actions[id], (Reason(f"needed:{action.id}"),))
                    if self.done[id].outputs != before:
                        self.remade.add(id)

    def _located(self, action: Action, failure: ActionFailed) -> ActionFailed:
        """The failure, with lines of training code where it is about operations of a network that was traced."""
        for before in self.graph.closure(action.id) if failure.troubles else ():
            noted = self.done[before.id].outputs.get(OPERATIONS) if before.id in self.done else None
            if noted and self.memory.content.has(noted):
                as_it_is = {e.said for e in before.inputs if isinstance(e, Leaf) and e.seen == e.digest.sha256}
                return located(failure, self.memory.content.read(noted), self.memory.root, as_it_is)
        return failure

    def _lock(self, id: str) -> threading.RLock:
        with self._guard:
            return self._locks.setdefault(id, threading.RLock())
