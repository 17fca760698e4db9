"""The zygote: imports a toolchain's SDK once and forks a confined process for each action.

It never computes anything itself, so a fork of it is as good as a new process. It speaks with megbuild over a socket:
a message is an action with three descriptors: its log, a socket for the one answer, and one for its turn. What megbuild sends on
that for the answer is sent back; when it closes its side, the action is killed. An action is confined at once and goes on when
it is its turn. It keeps that socket until it ends, which is how megbuild knows that the next one can have its core.
"""

from __future__ import annotations

import fcntl
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
import traceback
from types import CodeType
from typing import Any

from . import calls, confine, kernel, landlock, root, stem, supervisor, warm

_TURN = 3
"""The descriptor by which an action keeps its turn."""
_ALIVE = b"+"
"""What an action's process says when it is confined, the last thing before the action itself."""
_LARGEST = 1 << 18
_LOOK = 1.0
"""Seconds between looks for actions that have stopped; one that has at two looks is ended."""


def main(at_start: list[str]) -> None:
    """Preload, say so, and serve until megbuild is gone."""
    told = json.loads(sys.argv[-1])
    sys.path.pop(0)  # this code
    sys.path.remove("")  # what -c puts there
    control = socket.socket(fileno=told["control"])
    os.set_inheritable(told["control"], False)
    why = _preload(told["preload"])
    sys.stdout.flush()
    gc.collect()
    gc.freeze()  # a child's collections leave the pages of what is here alone
    own = [name for name in sys.modules if name.split(".")[0] == __name__.split(".")[0]]
    modules = {name.partition(".")[0] for name in sys.modules} - {name.partition(".")[0] for name in at_start}
    ready = not why and bool(told["preload"])
    lacks = [] if landlock.version() or told["box"] == "nothing" else ["Landlock"]
    lacks += [] if calls.available() else ["a filter of system calls"]
    control.send(json.dumps({"box": told["box"], "why": told["why"], "cold": why, "lacks": lacks}).encode())
    served = _Zygote(control, told, frozenset(modules), own, ready)
    served.serve()
    served.end()


def _preload(modules: list[str]) -> str:
    """Import what actions will; why they cannot be forked from this process, or ''."""
    try:
        for name in modules:
            importlib.import_module(name)
    except BaseException as error:
        traceback.print_exc()
        return f"{type(error).__name__}: {error}"
    threads = len(os.listdir("/proc/self/task"))
    with open("/proc/self/maps") as maps:
        shared = any(line.split()[1] == "rw-s" for line in maps)
    trouble = "starts threads" if threads > 1 else "shares memory with what is forked" if shared else ""
    return f"importing {', '.join(modules)} {trouble}" if trouble else ""


class _Action:
    """A running action. ``process`` is the action, or without namespaces its supervisor."""

    def __init__(self, process: int, keeper: int, leash: int, alive: int, answer: socket.socket) -> None:
        self.process, self.keeper, self.leash, self.alive, self.answer = process, keeper, leash, alive, answer
        self.ended = os.pidfd_open(process)
        self.killed = False
        self.stopped = 0

    def replies(self) -> bool:
        """Give a question back to megbuild, which asks now and then whether this process hangs; False when it waits no more."""
        try:
            return bool(asked := self.answer.recv(16)) and self.answer.send(asked) > 0
        except OSError:
            return False

    def kill(self) -> None:
        """End it with everything it started."""
        if not self.killed:
            self.killed = True
            if self.keeper:
                os.kill(self.keeper, signal.SIGKILL)
            else:
                os.kill(self.process, signal.SIGTERM)  # its supervisor kills it, and what it started


class _Zygote:
    def __init__(
        self, control: socket.socket, told: dict[str, Any], modules: frozenset[str], own: list[str], ready: bool
    ) -> None:
        self.control, self.told, self.modules, self.own, self.ready = control, told, modules, own, ready
        self.boxed = told["box"] == "namespaces"
        self.abi = 0 if told["box"] == "nothing" else landlock.version()
        self.running: dict[int, _Action] = {}
        self.compiled = warm.Compiled()
        self.namespace = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        self.imported: dict[str, CodeType] = {}
        self.changed: dict[str, str | None] = {}
        self.growing = True
        self.stems = stem.Stems()
        self.poll = select.poll()
        self.looked = 0.0

    def serve(self) -> None:
        """Start actions and answer for those that end."""
        self.poll.register(self.control, select.POLLIN)
        while True:
            events = self.poll.poll(1000 * _LOOK if self.running else None)
            # What the control brings comes last: it may open a descriptor by the number of one that is closed here.
            events.sort(key=lambda event: event[0] == self.control.fileno())
            for descriptor, _ in events:
                if descriptor == self.control.fileno():
                    message, descriptors, _, _ = socket.recv_fds(self.control, _LARGEST, 3)
                    if not message:
                        return
                    for one in descriptors:
                        os.set_inheritable(one, False)  # the keeper needs none
                    self._take(message, *descriptors)
                elif self.stems.hears(descriptor):
                    if not self.stems.hear(descriptor):
                        self.poll.unregister(descriptor)
                elif descriptor in self.running:
                    action = self.running[descriptor]
                    if descriptor == action.ended:
                        self._end(action)
                    elif not action.replies():  # megbuild has closed its side
                        self.poll.unregister(descriptor)
                        action.kill()
            if time.monotonic() - self.looked > _LOOK:
                self._end_stopped()

    def _end_stopped(self) -> None:
        """End actions that have stopped: outside of their box there is nobody to continue them."""
        self.looked = time.monotonic()
        for action in {action.process: action for action in self.running.values()}.values():
            try:
                stopped = os.waitid(os.P_PID, action.process, os.WSTOPPED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:  # it has just ended, and cannot stop any more
                continue
            action.stopped = action.stopped + 1 if stopped else 0
            if action.stopped == 2:
                action.kill()

    def end(self) -> None:
        """End the stems, and this process."""
        self.stems.end()
        os._exit(0)

    def _take(self, message: bytes, log: int, answer: int, turn: int) -> None:
        """Start an action, or have a stem start it."""
        request = json.loads(message)
        grown = self._stem_of(request)
        if grown and grown.serves(request["name"]) and grown.give(message, [log, answer, turn]):
            os.close(answer)
        else:
            self._start(request, log, answer, turn)
        os.close(log)
        os.close(turn)

    def _stem_of(self, request: dict[str, Any]) -> stem.Stem | None:
        first = request.get("first")
        if not (first and self.boxed and self.ready and self.growing):
            return None
        if self.stems.wanted(first["code"]):
            self._grow(first["code"], request)
        return self.stems.get(first["code"])

    def _grow(self, code: str, request: dict[str, Any]) -> None:
        first = request["first"]
        files = stem.texts(_code(request), request["code"])
        if files is None:
            return
        compiled = self._compiled(request)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        kernel.flush()
        try:
            process = os.fork()
        except OSError:
            return
        if process:
            theirs.close()
            self.stems.grown(code, stem.Stem(process, ours))
            self.poll.register(ours, select.POLLIN)
            return
        status = 1
        try:
            self._be_the_stem(theirs, files, compiled, first)
            status = 0
        finally:
            os._exit(status)

    def _be_the_stem(
        self, control: socket.socket, files: dict[str, bytes], compiled: dict[str, CodeType], first: dict[str, Any]
    ) -> None:
        """In the forked process: a zygote with more in memory, from which nothing grows."""
        for held in (self.control, *(action.answer for action in self.running.values())):
            held.detach()  # its descriptor is closed with all others
        self.control, self.namespace, self.changed = stem.become(
            control, self.namespace, files, compiled, first, self.own
        )
        self.imported, self.own, self.growing = compiled, [], False
        self.stems, self.running = stem.Stems(), {}
        self.poll = select.poll()
        self.serve()

    def _start(self, request: dict[str, Any], log: int, answer: int, turn: int) -> None:
        with_megbuild = socket.socket(fileno=answer)
        compiled = self._compiled(request)
        alive, living = os.pipe()
        leash = keeper = 0
        try:
            if self.boxed:
                keeper, leash = self._keeper()
            kernel.flush()
            process = os.fork()
            if not process:
                self._be_the_action(request, compiled, log, living, turn)  # does not return
        except OSError as error:
            with_megbuild.send(json.dumps({"failed": str(error)}).encode())
            with_megbuild.close()
            if keeper:
                os.kill(keeper, signal.SIGKILL)
                os.waitpid(keeper, 0)
                os.close(leash)
            os.close(alive)
            return
        finally:
            if self.boxed:
                kernel.enter(self.namespace, kernel.NEW_PROCESSES)
            os.close(living)
        action = _Action(process, keeper, leash, alive, with_megbuild)
        for descriptor in (action.ended, with_megbuild.fileno()):
            self.running[descriptor] = action
            self.poll.register(descriptor, select.POLLIN)

    def _keeper(self) -> tuple[int, int]:
        """The first process of a new process namespace, and the pipe that it waits on. A fork of this process would be
        as dear as the action's own; the smallest program that waits is a shell."""
        kernel.unshare(kernel.NEW_PROCESSES)
        waits, leash = os.pipe()
        actions = [(os.POSIX_SPAWN_DUP2, waits, 0)]
        try:
            keeper = os.posix_spawn("/bin/sh", ["sh", "-c", "read _"], {}, file_actions=actions)
        except OSError:
            os.close(leash)
            raise
        finally:
            os.close(waits)
        return keeper, leash

    def _end(self, action: _Action) -> None:
        _, status, used = os.wait4(action.process, 0)
        if action.keeper:
            if not action.killed:
                os.kill(action.keeper, signal.SIGKILL)
            os.waitpid(action.keeper, 0)  # after everything in its namespace
            os.close(action.leash)
        said = os.read(action.alive, 4096)
        told: dict[str, Any] = {"status": status, "cpu": used.ru_utime + used.ru_stime, "memory": used.ru_maxrss * 1024}
        told["stopped"] = action.stopped > 1
        told["grown"] = not self.growing
        if not said.startswith(_ALIVE) and not action.killed:
            told = {
                "failed": said.decode(errors="replace") or f"its process ended with {status} before it was confined"
            }
        for descriptor in (action.ended, action.answer.fileno()):
            del self.running[descriptor]
            try:
                self.poll.unregister(descriptor)
            except KeyError:
                pass
        os.close(action.ended)
        os.close(action.alive)
        try:
            action.answer.send(json.dumps(told).encode())
        except OSError:
            pass  # megbuild does not wait any more
        action.answer.close()

    def _compiled(self, request: dict[str, Any]) -> dict[str, CodeType]:
        if self.imported or not (self.boxed and self.ready):
            return self.imported
        return self.compiled.of(_code(request), root.WORK, request["code"])

    def _be_the_action(
        self, request: dict[str, Any], compiled: dict[str, CodeType], log: int, living: int, turn: int
    ) -> None:
        """In the forked process: become the action."""
        status = 1
        try:
            os.setsid()
            os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
            os.dup2(log, 1)
            os.dup2(log, 2)
            alive, its_turn = (fcntl.fcntl(one, fcntl.F_DUPFD, _TURN + 1) for one in (living, turn))
            os.dup2(its_turn, _TURN)
            os.dup2(alive, _TURN + 1)
            kernel.close_from(_TURN + 2)
            kernel.die_with_parent()
            try:
                work = self._confined(request)
            except BaseException as error:
                os.write(_TURN + 1, str(error).encode())
                raise
            os.write(_TURN + 1, _ALIVE)
            os.close(_TURN + 1)
            if os.read(_TURN, 1):  # else megbuild is gone
                status = self._run(request, compiled, work)
                warm.finish()
        except BaseException:
            traceback.print_exc()
        finally:
            try:
                sys.stdout.flush()
                sys.stderr.flush()
            except (OSError, ValueError):
                pass
            kernel.flush()
            os.closerange(_TURN, _TURN + 1)  # the kernel would close it after taking all of its memory away
            os._exit(status)

    def _confined(self, request: dict[str, Any]) -> str:
        """Confine this process; the folder that it works in."""
        os.umask(0o022)
        if self.boxed:
            confine.mounts(request["name"], request["laid"], request["limits"]["processes"])
            work = root.WORK
        else:
            work = f"{self.told['actions']}/{request['name']}"
            supervisor.stay_behind(_TURN)
        os.chdir(work)
        confine.give_up(request["limits"], work, self.told["readable"], self.abi)
        return work

    def _run(self, request: dict[str, Any], compiled: dict[str, CodeType], work: str) -> int:
        environment, arguments = request["environment"], request["arguments"]
        if not self.ready or not arguments[0].endswith(".py") or warm.clash(self.modules, work):
            command = [*self.told["through"], sys.executable, *request["flags"], *arguments]
            os.execve(command[0], command, environment)
        os.environ.clear()
        os.environ.update(environment)
        for variable, value in self.changed.items():
            if value is None:
                os.environ.pop(variable, None)
            else:
                os.environ[variable] = value
        for name in self.own:
            del sys.modules[name]
        if not self.imported:
            warm.use(compiled)
        return warm.run(arguments, compiled)


def _code(request: dict[str, Any]) -> str:
    """The folder in which an action's code is staged."""
    return f"{root.ACTIONS}/{request['laid'] or request['name']}"
