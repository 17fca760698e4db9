"""What a build knows and learns: the workspace's state, the store of the user, and the view of the disk, as one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from megbuild import __version__
from megbuild.declare.models import Model, Toolchain
from megbuild.errors import FAILED, fail
from megbuild.graph.actions import Action, Outputs
from megbuild.graph.analyse import Graph
from megbuild.graph.costs import Cost
from megbuild.graph.fingerprint import Fingerprint
from megbuild.graph.plan import Known
from megbuild.graph.reasons import Reason
from megbuild.graph.stale import Last
from megbuild.store.content import ContentStore
from megbuild.store.digests import Digest
from megbuild.store.files import Files
from megbuild.store.lock import Lock, making
from megbuild.store.records import Component, Record, RecordStore
from megbuild.store.state import Built, Published, State, model_of
from megbuild.store.syncing import Batches


class Memory:
    """One build's memory. Its methods may be called by several threads; paths of published files are workspace-relative.

    ``root`` is the workspace, ``cache`` the folder that all workspaces of a user share.
    """

    def __init__(self, root: Path, cache: Path, warn: Callable[[str], None]) -> None:
        self.root = root
        self._store = cache / "store"
        self._syncs = Batches()
        self.content = ContentStore(self._store, self._syncs)
        self.state = State.load(root, warn)
        self.files = Files(root, self.state.known)
        self._records = RecordStore(self._store, self.content, warn, self._syncs)
        self._gone: dict[str, frozenset[str]] = {}
        """By model: actions that were built once and that it does not declare any more."""
        self._looking = threading.RLock()

    def last(self, id: str) -> Last | None:
        """What an action was last built from in this workspace.

        An action that is new because an option of its step changed has the components of the one whose place it
        took, so that a reason can say what changed, and no key: its result is not that one's.
        """
        if built := self.state.built.get(id):
            return Last(built.key, _shown(built.components))
        gone = [other for other in self._gone.get(model_of(id), ()) if step_of(other) == step_of(id)]
        before = self.state.built.get(gone[0]) if len(gone) == 1 else None
        return Last("", _shown(before.components)) if before else None

    def expect(self, graph: Graph, declared: Callable[[Model], frozenset[str]]) -> None:
        """Take in what is declared now. ``declared`` tells it for a model, whatever of it was asked for."""
        for model in {aim.target.model.label: aim.target.model for aim in graph.aims}.values():
            if others := self.state.built.part(model.label).keys() - graph.actions.keys():
                self._gone[model.label] = frozenset(others - declared(model))

    def put_away(self) -> None:
        """Let go of what is known of models whose turn is over, or comes later; it is there when it is asked for."""
        with self._looking:
            self.files.put_away()
        self.state.put_away()

    def last_outputs(self, id: str) -> Outputs:
        """What it made then."""
        built = self.state.built.get(id)
        return built.outputs if built else {}

    def stored(self, key: str) -> Outputs | None:
        """The complete result of a key in the store."""
        record = self._records.get(key)
        return record.outputs if record else None

    def making(self, key: str, id: str, say: Callable[[str], None], stopped: Callable[[], bool]) -> Lock:
        """Hold a key while its action runs, so that no other build runs it too; see :func:`megbuild.store.lock.making`."""
        return making(self._store, key, id, say, stopped)

    def cost(self, id: str) -> Cost | None:
        """What an action took when the result that stands here was made; None when that is not known."""
        built = self.state.built.get(id)
        record = self._records.get(built.key) if built else None
        return Cost(record.duration_s, record.memory) if record and record.memory else None

    def unread(self, id: str) -> tuple[str, ...] | None:
        """The declared inputs that an action did not open when the result that stands here was made; None when not known."""
        built = self.state.built.get(id)
        record = self._records.get(built.key) if built else None
        return record.unread if record else None

    def holds(self, outputs: Outputs) -> bool:
        """Whether the store has every one of these contents."""
        return all(self.content.has(digest) for digest in outputs.values())

    def known(self, action: Action) -> Known:
        """What the plan may know of an action."""
        return Known(self.last(action.id), self.last_outputs(action.id), self.stored, self.damage(action.id))

    def keep(
        self,
        action: Action,
        now: Fingerprint,
        outputs: Outputs,
        log: Digest | None,
        cost: Cost,
        toolchain: Toolchain | None,
        unread: tuple[str, ...] | None = None,
    ) -> None:
        """Put the result of one execution into the store, for every workspace."""
        self._records.put(
            Record(
                key=now.key,
                action=action.id,
                outputs=dict(sorted(outputs.items())),
                components=dict(sorted(now.components.items())),
                duration_s=round(cost.seconds, 3),
                memory=cost.memory,
                log=log,
                toolchain=toolchain.name if toolchain else "",
                toolchain_digest=toolchain.digest if toolchain else "",
                megbuild=__version__,
                unread=unread,
            )
        )

    def remember(
        self, id: str, now: Fingerprint, outputs: Outputs, published: Mapping[str, Published], *, ran: bool
    ) -> None:
        """An action's result stands in this workspace; that survives the process from here on.

        It survives a power failure soon after, too, if the action ``ran``: a result that came from the store does so again.
        """
        built = Built(now.key, dict(now.components), dict(outputs))
        if published or self.state.built.get(id) != built:
            self.state.finished(id, built, published)
            if ran:
                self._syncs.afterwards(self.state.sync)

    def save(self) -> None:
        """Write down the state when all that it rests on is on the disk; raises MB602."""
        self._syncs.settle()
        self.state.save()

    def forget(self, id: str) -> None:
        """Forget an action, here and in the store, so that the next build makes it again."""
        built = self.state.built.pop(id, None)
        if built:
            self._records.remove(built.key)

    def damage(self, id: str) -> tuple[Reason, ...]:
        """The published files of an action that are not what was published any more."""
        reasons = []
        for path, published in self.published(id).items():
            with self._looking, self.files.looking_for(model_of(id)):
                found = self.files.digest(path)
            if found is None:
                reasons.append(Reason(f"deleted:{path}"))
            elif found.sha256 != published.sha256:
                reasons.append(Reason(f"edited:{path}"))
        return tuple(sorted(reasons, key=lambda reason: reason.what))

    def publish(self, id: str, wanted: Mapping[str, Digest]) -> dict[str, Published]:
        """Make exactly ``wanted`` (path -> digest) the published files of an action; gives those that were placed.

        A file that stands already as it should is left alone, one that is no longer wanted is removed.

        :raises megbuild.store.content.Missing: when the store lost a content. Nothing was changed then, unless one was
            damaged and had not been read before: what is placed is whole in any case, and the next call does the rest.
        """
        before = self.published(id)
        for digest in wanted.values():
            self.content.path(digest)
        damaged = {reason.what.partition(":")[2] for reason in self.damage(id)}
        placed: dict[str, Published] = {}
        for path, digest in wanted.items():
            if path in before and path not in damaged and before[path].sha256 == digest.sha256:
                continue
            target = self.root / path
            _stays_inside(self.root, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            seen = self.content.materialise(digest, target)
            with self._looking, self.files.looking_for(model_of(id)):
                self.files.note(path, seen, digest)
            placed[path] = Published(seen, digest.sha256)
        if before.keys() - wanted.keys():
            self.state.published[id] = {path: published for path, published in before.items() if path in wanted}
        for path in before.keys() - wanted.keys():
            with suppress(FileNotFoundError):
                (self.root / path).unlink()
        return placed

    def published(self, id: str) -> dict[str, Published]:
        """The files that stand in the workspace as results of an action, by path."""
        return dict(self.state.published.get(id, {}))


def _stays_inside(root: Path, path: str) -> None:
    """A link below ``out/`` could lead anywhere; ``out`` itself may be one, to another disk."""
    top = path.partition("/")[0]
    if not (root / path).parent.resolve().is_relative_to((root / top).resolve()):
        folder = path.rpartition("/")[0]
        raise fail("MB614", f"{folder} leads out of {top}/ by a link", "remove the link", status=FAILED)


def step_of(id: str) -> str:
    """What an action's id says beside the options of its step: ``//p:m#onnx-11+measured`` is ``//p:m#onnx+measured``."""
    model, sign, step = id.partition("#")
    name, plus, what = step.partition("+")
    return f"{model}{sign}{name.partition('-')[0]}{plus}{what}"


def _shown(components: Mapping[str, Component]) -> dict[str, str]:
    return {name: str(value) for name, value in components.items()}
