"""megbuild's side of the zygotes: one process for each toolchain, from which actions are forked into their boxes.

What runs on the other side is :mod:`megbuild.execute.box`.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from megbuild.execute import disk
from megbuild.execute.ending import Ending
from megbuild.execute.hearing import PATIENCE, Hearing
from megbuild.execute.stops import Stops
from megbuild.execute.turns import ROOM, Places

NAMESPACES = "namespaces"
"""The word for a complete box; see :mod:`megbuild.execute.box.launcher` for the others."""
LONGEST_LOG = 64_000_000
"""Bytes of output after which an action is ended, where nothing else is declared."""
_START = 180.0
"""Seconds for an SDK's import on a busy machine."""
_KILL = 20.0
"""Seconds within which the kernel has ended everything in a box."""
_GOODBYE = 2.0
"""Seconds that an idle zygote is given to end by itself."""
_LOOK = 0.25
"""Seconds between looks at what an action uses."""
_ROOM = 1 << 30
"""Bytes of the disk that an action has to leave free; an eighth of what is free where that is less."""
_OWN = ("out", "home", "tmp")
"""What an action may write to in its staged folder."""
_BOX = Path(__file__).parent / "box"
_LAUNCH = "import sys; sys.path.insert(0, sys.argv[1]); from box import launcher; launcher.main()"
_LARGEST = 100_000
"""Bytes of a message: the list of staged modules, which only saves time, is left out beyond that."""


class Dead(Exception):
    """The zygote, or what confines an action, failed: nothing is known of the action. The message says how."""


@dataclass(frozen=True)
class Limits:
    """Limits of one action: wall seconds, bytes of memory in one process, processes, bytes in all of its files, bytes printed."""

    memory: int
    seconds: float = 1800.0
    processes: int = 2048
    output: int = 32 << 30
    printed: int = field(default_factory=lambda: LONGEST_LOG)

    def in_kernel(self) -> dict[str, int]:
        """Those that the action's process sets itself; of files the kernel knows only a limit of each."""
        return {"memory": self.memory, "processes": self.processes, "file": self.output}


@dataclass(frozen=True)
class Kind:
    """What makes two actions children of one zygote."""

    toolchain: str
    python: str
    roots: tuple[str, ...]
    """The environment's folder, then the interpreter's."""
    flags: tuple[str, ...]
    preload: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    through: tuple[str, ...] = ()
    """What runs the interpreters of actions; nothing is imported in advance then."""
    number: int = 0
    """Of the environments that stood in one place one after the other, which one it has imported from."""


@dataclass(frozen=True)
class WorkerCode:
    """The code of an action: its files with their SHA-256, a digest of all of them, and what its worker does first.

    ``first`` is for :mod:`megbuild.worker.ready`, and None where a part of the code is not megbuild's own: what a workspace
    brings is imported in the action's own box. ``laid`` is where it is laid out, seen from the staged folders; '' in
    the action's own.
    """

    files: Mapping[str, str]
    digest: str = ""
    first: Mapping[str, Any] | None = None
    laid: str = ""


@dataclass(frozen=True)
class Box:
    """What a zygote can do: how actions are confined, why not better, why not forked (else they start anew)."""

    confined: str
    why: str
    cold: str
    lacks: tuple[str, ...] = ()
    """Parts of the box that this kernel does not have, beside namespaces."""

    @property
    def weakness(self) -> str:
        """A sentence on what does not hold actions as it should; '' when the box is complete."""
        lacks = " and ".join(self.lacks)
        if self.confined == NAMESPACES:
            return f"actions are confined without {lacks} here, which this kernel does not have" if lacks else ""
        what = "only Landlock confines actions" if self.confined == "landlock" else "nothing confines actions"
        more = f", without {lacks}" if lacks else ""
        return f"{what} here{more}, because namespaces cannot be made: {self.why}"


@dataclass
class Zygote:
    """One zygote, to be started once. Several threads may call :meth:`run` then."""

    kind: Kind
    actions: Path
    """The folder of all staged folders."""
    log: Path
    without: str = ""
    """What the box does without, to test that: ``namespaces`` or ``landlock`` (which includes the former)."""
    box: Box = Box("", "", "")
    running: int = 0
    used: float = 0.0
    grown: int = 0
    """How many actions came from a stem."""
    _counting: threading.Lock = field(default_factory=threading.Lock)
    _process: subprocess.Popen[bytes] | None = None
    _control: socket.socket | None = None

    def start(self) -> None:
        """Start it and wait until the SDK is imported; raises Dead."""
        toolchain, *interpreters = self.kind.roots
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        asked = {
            "toolchain": toolchain, "interpreters": interpreters, "python": self.kind.python,
            "flags": self.kind.flags, "preload": self.kind.preload, "environment": dict(self.kind.environment),
            "actions": str(self.actions), "control": theirs.fileno(), "without": self.without,
            "through": self.kind.through,
        }  # fmt: skip
        command = [self.kind.python, "-I", "-S", "-B", "-c", _LAUNCH, str(_BOX.parent), json.dumps(asked)]
        with theirs, open(self.log, "wb") as output:
            self._process = subprocess.Popen(
                command, cwd="/", env={}, stdin=subprocess.PIPE, stdout=output, stderr=output,
                pass_fds=[theirs.fileno()], start_new_session=True,
            )  # fmt: skip
        self._control = ours
        message = ours.recv(_LARGEST) if self._ready(ours) else b""
        if not message:
            self.stop()
            raise Dead(f"the zygote of toolchain {self.kind.toolchain} did not start{self._last_words()}")
        told = json.loads(message)
        self.box = Box(told["box"], told["why"], told["cold"], tuple(told["lacks"]))

    def _ready(self, ours: socket.socket) -> bool:
        """Whether it has something to say before it takes too long, or stops."""
        deadline, stops = time.monotonic() + _START, Stops(self.process)
        while not (ready := bool(select.select([ours], [], [], _LOOK)[0])) and time.monotonic() < deadline:
            if stops.lasting():
                break
        return ready

    @property
    def process(self) -> int:
        """Its number; 0 when there is none."""
        launcher = self._process.pid if self._process else 0
        with suppress(OSError, IndexError, ValueError):
            return int(Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()[0])
        return 0

    def work(self, name: str) -> str:
        """The folder in which an action finds itself."""
        return "/work" if self.box.confined == NAMESPACES else str(self.actions / name)

    def run(
        self, name: str, arguments: Sequence[str], environment: Mapping[str, str], code: WorkerCode, log: Path, limits: Limits,
        places: Places = ROOM,
    ) -> Ending:  # fmt: skip
        """Run an action to its end in its staged folder ``name``; output and errors go to ``log``.

        It is forked and confined at once, and waits for one of the ``places`` then, which it gives back when it computes no more.

        :param limits: when one of them is hit, the action and all it started are killed.
        :raises Dead: when the zygote dies, or the box cannot be made.
        """
        request: dict[str, Any] = {"name": name, "arguments": list(arguments), "flags": self.kind.flags}
        request["limits"] = limits.in_kernel()
        request |= {"environment": dict(environment), "code": dict(code.files), "first": code.first, "laid": code.laid}
        message = json.dumps(request).encode()
        if len(message) > _LARGEST:
            message = json.dumps({**request, "code": {}, "first": None}).encode()
        with open(log, "ab") as output, ExitStack() as place:
            answer, turn = self._send(message, output.fileno())
            with answer, turn:
                waited = place.enter_context(places.one())
                with suppress(OSError):  # it is gone, which is heard
                    turn.send(b"!")
                process = self.process
                hearing = Hearing(answer, turn, place.close, process)
                limit = _Watch(limits, output.fileno(), self.actions / name, Stops(process)).wait(hearing)
                said = hearing.take(_LARGEST)
        if not said:
            raise Dead(f"the zygote of toolchain {self.kind.toolchain} died{self._last_words()}")
        told = json.loads(said)
        if "failed" in told:
            raise Dead(f"the box cannot be made: {told['failed']}")
        if told.get("stopped"):
            limit = "was stopped by a signal, and nobody can continue it"
        with self._counting:
            self.grown += told["grown"]
        status, sealed = os.waitstatus_to_exitcode(told["status"]), self.box.confined == NAMESPACES
        return Ending(status, limit, told["cpu"], told["memory"], sealed, waited=waited)

    def _send(self, message: bytes, output: int) -> tuple[socket.socket, socket.socket]:
        """Ask for an action; the sockets of its answer and of its turn."""
        answer, its_answer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        turn, its_turn = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its_answer, its_turn:
            try:
                assert self._control
                socket.send_fds(self._control, [message], [output, its_answer.fileno(), its_turn.fileno()])
            except OSError as error:
                answer.close()
                turn.close()
                raise Dead(f"the zygote is gone ({error}){self._last_words()}") from error
        return answer, turn

    def dismiss(self) -> None:
        """Let it end by itself if it has nothing to do; to be stopped then."""
        if self._control and not self.running:
            self._control.close()

    def stop(self) -> None:
        """End it with everything below it; when this returns all of that is gone."""
        self.dismiss()
        if self._process and not self.running:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_GOODBYE)
        if self._process:
            assert self._process.stdin
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGCONT)  # should somebody have stopped it
            self._process.stdin.close()  # the launcher kills the zygote, waits for it, and ends
            try:
                self._process.wait(_KILL)
            except subprocess.TimeoutExpired:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        if self._control:
            self._control.close()

    def _last_words(self) -> str:
        with suppress(OSError):
            lines = self.log.read_text("utf-8", "replace").strip().splitlines()
            if lines:
                return f": {lines[-1]}"
        return ""


@dataclass
class _Watch:
    """Looks at what an action uses while it runs."""

    limits: Limits
    log: int
    folder: Path
    stops: Stops
    room: int = 0
    """Bytes of the disk that have to stay free."""

    def __post_init__(self) -> None:
        self.room = min(_ROOM, disk.free(self.folder) // 8)

    def wait(self, hearing: Hearing) -> str:
        """Until the action has ended, by itself or by a limit; the limit that was hit, in words.

        :raises Dead: when its zygote has stopped, or hangs.
        """
        deadline = time.monotonic() + self.limits.seconds
        pause = _LOOK
        while not hearing.answered(min(pause, max(0.0, deadline - time.monotonic()))):
            begun = time.monotonic()
            if limit := f"ran out of time ({self.limits.seconds:g} s)" if begun >= deadline else self._seen(self._hit):
                hearing.answer.shutdown(socket.SHUT_WR)  # the zygote kills the action then
                if not hearing.answered(PATIENCE):
                    raise Dead(f"the zygote did not end an action that {limit}")
                return limit
            if self.stops.lasting():
                raise Dead("the zygote was stopped by a signal")
            if hearing.lost():
                raise Dead(f"the zygote did not answer for {PATIENCE:g} s")
            pause = max(_LOOK, 20 * (time.monotonic() - begun))  # looking through many files costs at most 5 %
        return self._seen(self._left_too_much)

    def _seen(self, look: Callable[[], str]) -> str:
        try:
            return look()
        except disk.TooDeep:
            return "made folders so deep that nobody can look into them"

    def _left_too_much(self) -> str:
        """At its end what counts is how long its files are, be there holes in them or not: they are read and kept."""
        if self._printed_too_much():
            return self._printed_too_much()
        if disk.length(self.folder / "out", self.limits.output) > self.limits.output:
            return f"wrote more than {self.limits.output / 1e6:.0f} MB to its files"
        return ""

    def _printed_too_much(self) -> str:
        too_much = os.fstat(self.log).st_size > self.limits.printed
        return f"printed more than {self.limits.printed / 1e6:.0f} MB" if too_much else ""

    def _hit(self) -> str:
        if self._printed_too_much():
            return self._printed_too_much()
        if disk.used((self.folder / name for name in _OWN), self.limits.output) > self.limits.output:
            return f"wrote more than {self.limits.output / 1e6:.0f} MB to its files"
        if disk.free(self.folder) < self.room:  # also by files that it has removed and keeps open
            return f"left less than {self.room / 1e6:.0f} MB of the disk free"
        return ""
