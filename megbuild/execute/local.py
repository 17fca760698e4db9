"""The local runner: an action in a box of its own, in its staged folder, with an empty environment.

It is forked from its toolchain's zygote, which has imported the SDK (``preload`` in toolchain.toml), or starts its
interpreter anew in the same box.
"""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path

from megbuild.declare import sdks, secrets
from megbuild.declare.models import Toolchain
from megbuild.errors import FAILED, MegbuildError, fail
from megbuild.execute.builder import Ran
from megbuild.execute.ending import Ending
from megbuild.execute.environments import Environment, Environments
from megbuild.execute.failure import ActionFailed, limit_of, log_tail, refusal, write_by_hand
from megbuild.execute.opened import Watched, declared
from megbuild.execute.staging import REFUSAL, Moved, collect, stage
from megbuild.execute.toolchains import Installed
from megbuild.execute.turns import ROOM, Places
from megbuild.execute.undeclared import declared_at, undeclared
from megbuild.execute.worker_code import SharedCode, code_of
from megbuild.execute.zygote import NAMESPACES, Box, Dead, Kind, Limits, WorkerCode
from megbuild.execute.zygotes import Zygotes
from megbuild.graph.actions import Action
from megbuild.graph.fingerprint import Fingerprint
from megbuild.store.content import ContentStore
from megbuild.store.digests import digest_bytes
from megbuild.store.durable import UNWRITABLE
from megbuild.store.recovery import half_made
from megbuild.store.removal import remove

REFUSED = 3
"""The exit status of a worker that declined with one sentence."""
TIME_LIMITS = {"weights": 7 * 86400.0}
"""Wall seconds after which an action is taken to hang, by the format that it makes: training may take days."""
TIME_LIMIT = 1800.0
"""The same for every other action."""
SHARED, GONE = ".shared", ".gone"
"""Beside the staged folders: the code that many have in common, and those that are being deleted."""
_LONGEST_NAME = 150
"""Characters of a folder's name; file systems take 255 bytes."""


@dataclass
class Local:
    """Runs actions below ``folder`` (the workspace's ``.megbuild``); a failed action's folder and log stay there."""

    root: Path
    folder: Path
    cache: Path
    content: ContentStore
    toolchains: Mapping[str, Toolchain]
    say: Callable[[str], None]
    require_sandbox: bool = False
    expected: Sequence[Action] = ()
    """The actions that may run, in the order of the graph: what they need is installed and started ahead."""
    through: Sequence[str] = ()
    """The program, with its options, that runs the interpreters of actions, such as an emulator of another processor."""
    shown: Sequence[str] = ()
    """Folders that actions see beside their toolchain."""
    zygotes: Zygotes = field(init=False)
    environments: Environments = field(init=False)
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _warned: bool = False
    _begun: bool = False
    _deleting: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))

    def __post_init__(self) -> None:
        self.environments = Environments(self.cache, self.say)
        self.zygotes = Zygotes(self.folder / "actions", self.folder / "logs")
        self._shared, self._gone = SharedCode(self.folder / "actions" / SHARED), self.folder / "actions" / GONE

    def run(self, action: Action, now: Fingerprint, places: Places = ROOM) -> Ran:
        """See :class:`megbuild.execute.builder.Runner`."""
        later = {other.toolchain: self.toolchains[other.toolchain] for other in self.expected}
        found = self.environments.of(self.toolchains[action.toolchain], later.values())
        name = _folder_name(action.id)
        folder = self.folder / "actions" / name
        log = self.folder / "logs" / f"{name}.log"
        ending = self._ended(action, now, found, folder, log, places)
        if not ending.well:
            raise self._failed(action, found.there, folder, log, ending)
        try:
            outputs = collect(action, now, self.content, folder, sealed=ending.sealed)
            ran = Ran(outputs, self.content.put_file(log), ending.memory, ending.unread, ending.waited)
        except (MegbuildError, OSError) as error:
            if isinstance(error, OSError) or error.problems[0].code == UNWRITABLE:
                remove(folder)  # it is the disk's fault, and there is nothing to look at by hand
                raise
            raise self._failed(action, found.there, folder, log, ending, self._placed(action, error)) from None
        gone = self._gone / os.urandom(6).hex()
        folder.rename(gone)
        self._deleting.submit(remove, gone)
        return ran

    def stop(self) -> None:
        """See :class:`megbuild.execute.builder.Runner`."""
        self.zygotes.stop()
        self._deleting.shutdown()
        for folder in (self._shared.folder, self._gone):
            remove(folder)

    @property
    def stopped(self) -> bool:
        """See :class:`megbuild.execute.builder.Runner`."""
        return self.zygotes.stopped

    def _ended(
        self, action: Action, now: Fingerprint, found: Environment, folder: Path, log: Path, places: Places
    ) -> Ending:
        """Stage the action and run it; once more from the beginning when its zygote dies, which says nothing of it."""
        arguments = _split(action.arguments[1:])[1]
        code = code_of(action)
        for last in (False, True):
            kind = self._kind(action, self.toolchains[action.toolchain], found)
            self._start_others(kind)
            try:
                with self.zygotes.taken(kind) as zygote:
                    if not found.is_sound():
                        raise Dead("its toolchain was not as it was installed")
                    self._judge(zygote.box)
                    self._empty(folder)
                    log.parent.mkdir(parents=True, exist_ok=True)
                    log.write_bytes(b"")
                    sealed = zygote.box.confined == NAMESPACES
                    code = self._stage(action, now, folder, code, apart=sealed)
                    environment = environment_of(action, zygote.work(folder.name), self.toolchains[action.toolchain])
                    environment |= _keys(action, self.root)
                    watched = Watched(folder, declared(action))
                    limits = limits_of(action)
                    try:
                        ending = zygote.run(folder.name, arguments, environment, code, log, limits, places)
                    finally:
                        unread = watched.unread()
                    return replace(ending, unread=unread)
            except Dead as death:
                if self.zygotes.stopped:
                    return Ending(-signal.SIGKILL)
                found.is_sound()  # known from here on, and another one is installed if it was not
                if last:
                    raise fail("MB406", f"{action.id}: {death}", "build again", status=FAILED) from None
                found = self.environments.of(self.toolchains[action.toolchain])
        raise AssertionError("the loop returns or raises")

    def _kind(self, action: Action, toolchain: Toolchain, found: Environment) -> Kind:
        preload = () if self.through else tuple(toolchain.settings.get("preload", ()))
        flags = _split(action.arguments[1:])[0]
        of_sdks = (root for sdk in toolchain.sdks for root in sdks.roots(sdk))
        there = found.there
        readable = dict.fromkeys([*there.roots, *of_sdks, *self.shown])
        environment = tuple(_base(action, toolchain).items())
        through = tuple(self.through)
        return Kind(there.name, there.python, tuple(readable), flags, preload, environment, through, found.number)

    def _empty(self, folder: Path) -> None:
        """Make room for the folder. One that is there is taken away at once: what still writes to it writes nowhere."""
        if folder.exists():
            gone = self._gone / os.urandom(6).hex()
            folder.rename(gone)
            self._deleting.submit(remove, gone)

    def _stage(self, action: Action, now: Fingerprint, folder: Path, code: WorkerCode, *, apart: bool) -> WorkerCode:
        """Stage it whole or not at all: on a full disk, half of it would take the room that the next action needs.

        :param apart: whether its code is to stay apart, for a box that can show it and in which nobody can change it.
        """
        try:
            stage(action, now, self.content, folder, code=not apart)
            return replace(code, laid=f"{SHARED}/{self._shared.lay(action, code).name}") if apart else code
        except BaseException:
            remove(folder)
            raise

    def _start_others(self, first: Kind) -> None:
        """Get ready for later actions: start their zygotes one after another, while this action's own one starts."""
        with self._guard:
            expected, self.expected = self.expected, ()
            if not self._begun:
                for folder in half_made(self.folder / "actions"):
                    remove(folder)  # of a build that was killed, or whose disk did not let it remove them
                self._gone.mkdir(parents=True, exist_ok=True)
                self._begun = True
        kinds: dict[Kind, None] = {}
        for action in expected:
            toolchain = self.toolchains.get(action.toolchain)
            if toolchain and (found := self.environments.standing(toolchain)):
                kinds[self._kind(action, toolchain, found)] = None
        others = [kind for kind in kinds if kind != first and kind.preload][: self.zygotes.most - 1]
        if others:
            threading.Thread(target=self.zygotes.start, args=(others,), daemon=True).start()

    def _judge(self, box: Box) -> None:
        """Say once when actions are not confined as they should be, or refuse to go on."""
        sentence = box.weakness
        if not sentence or (self._warned and not self.require_sandbox):
            return
        self._warned = True
        if self.require_sandbox:
            raise fail("MB407", sentence, "leave out --require-sandbox to build all the same", status=FAILED)
        self.say(f"warning: {sentence} [MB407]")

    def _failed(
        self, action: Action, toolchain: Installed, folder: Path, log: Path, ending: Ending, message: str = ""
    ) -> ActionFailed:
        """The failure, with the worker's own sentence when it refused, else with the end of its log."""
        command = [toolchain.python, *action.arguments[1:]]
        environment = environment_of(action, str(folder), self.toolchains[action.toolchain])
        by_hand = ""
        with suppress(OSError, MegbuildError):  # a full disk may be why it failed
            self._shared.give(code_of(action), folder)
            by_hand = write_by_hand(folder, command, environment)
        tail = log_tail(log, self.root, folder / "in" / "source")
        troubles: tuple[tuple[str, str], ...] = ()
        refused = not message and ending.status == REFUSED and (folder / REFUSAL).exists()
        if refused:
            message, troubles = refusal(folder / REFUSAL)
            tail = ()
        if not message:
            message = ending.limit or str(
                undeclared(tail, action, self.root, folder) or limit_of(tail, limits_of(action)) or ending
            )
        if not by_hand:  # it would only take room
            remove(folder)
        return ActionFailed(action.id, message, self._shown(log), by_hand, tail, refused, troubles)

    def _placed(self, action: Action, error: MegbuildError) -> str:
        """What is wrong with the outputs, with the place of the model whose code did it."""
        problems = (replace(p, message=p.message.removeprefix(f"{action.id}: ")) for p in error.problems)
        where = declared_at(action, self.root)
        return "\n".join(str(replace(p, where=p.where or where)) for p in problems)

    def _shown(self, path: Path) -> str:
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)


def environment_of(action: Action, work: str, toolchain: Toolchain) -> dict[str, str]:
    """The whole environment of an action that finds itself in ``work``: nothing of the user's but what is declared."""
    return {**_base(action, toolchain), "HOME": f"{work}/home", "TMPDIR": f"{work}/tmp"}


def _keys(action: Action, root: Path) -> dict[str, str]:
    """The keys of an action as variables, which its worker takes away first. They stand in no script and no log."""
    found = {}
    for name, reference in action.secrets.items():
        key = secrets.key_of(reference, root)
        if secrets.commitment(key) != action.options[name]:
            raise Moved(reference)
        found[f"MEGBUILD_SECRET_{name}"] = key.hex()
    return found


def _base(action: Action, toolchain: Toolchain) -> dict[str, str]:
    """The part that all actions of a zygote share. Where an SDK lies is no part of a key: its version is."""
    found = {variable: sdk.folder for sdk in toolchain.sdks for variable in sdk.variables}
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0", **found, **action.environment}


def _split(arguments: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The interpreter's own flags, and what it runs."""
    flags = tuple(takewhile(lambda word: word.startswith("-") and word not in ("-c", "-m"), arguments))
    return flags, tuple(arguments[len(flags) :])


def limits_of(action: Action) -> Limits:
    """What an action may use: what is declared, else all of the machine's memory and generous limits for the rest."""
    asked, trains = action.limits, action.makes in TIME_LIMITS
    seconds = asked.train_seconds if trains else asked.seconds
    known = Limits(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return Limits(
        memory=known.memory if asked.memory_mb is None else int(asked.memory_mb * 1e6),
        seconds=TIME_LIMITS.get(action.makes, TIME_LIMIT) if seconds is None else seconds,
        processes=known.processes if asked.processes is None else asked.processes,
        output=known.output if asked.output_mb is None else int(asked.output_mb * 1e6),
        printed=known.printed if asked.print_mb is None else int(asked.print_mb * 1e6),
    )


def _folder_name(id: str) -> str:
    """The name of an action's folder and log; unlike ids have unlike names, whatever their packages are called."""
    name = re.sub("[/:]+", "+", id.strip("/")).replace("#", "@")
    plain = re.sub(r"[^A-Za-z0-9._+@-]", "_", name)
    if plain == name and len(name) <= _LONGEST_NAME:
        return name
    return f"{plain[:_LONGEST_NAME]}~{digest_bytes(id.encode()).sha256[:16]}"
