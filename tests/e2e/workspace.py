"""A workspace that a test builds as a user does: by the command line, in a process of its own, with the real tools."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from textwrap import dedent
from typing import Any

import megbuild

COMMAND = [sys.executable, "-I", str(Path(megbuild.__file__).parent / "cli" / "__main__.py")]
"""What ``./doit`` runs."""
TIMEOUT = 240
"""Seconds after which a command is taken to hang."""
PAUSE = (
    "    import os, sys, time; sys.stdout.flush(); size, until = os.fstat(1).st_size, time.monotonic() + 200\n"
    "    print('asleep', flush=True)\n"
    "    while os.fstat(1).st_size < size + 1000 and time.monotonic() < until: time.sleep(0.01)\n"
)
"""In a function of training code: its action waits for :meth:`Workspace.wake`, however slow the machine or its test is."""
_TOLD = re.compile(r"(run  |judge|store|would run    |would restore|may run      ) (\S+)  \((.*)\)")


@dataclass(frozen=True)
class Outcome:
    """What one command said and did."""

    status: int
    lines: tuple[str, ...]
    errors: tuple[str, ...]
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Of a build: the rows of its summary file, by label."""

    @property
    def ran(self) -> dict[str, str]:
        """The actions that ran in a toolchain, with the reason as printed."""
        return self.told("run")

    @property
    def judged(self) -> dict[str, str]:
        """The steps that the core computed (verdicts, and pins of delivered files), with the reason as printed."""
        return self.told("judge")

    @property
    def restored(self) -> dict[str, str]:
        """The actions whose result came from the store, with the reason as printed."""
        return self.told("store")

    @property
    def statuses(self) -> dict[str, str]:
        """The status of every label."""
        return {label: row["status"] for label, row in self.rows.items()}

    @property
    def text(self) -> str:
        """All that was printed."""
        return "\n".join((*self.lines, *self.errors))

    def told(self, word: str) -> dict[str, str]:
        """The actions that a line with this word names; one that is named twice is a failure of its own."""
        found: dict[str, str] = {}
        for line in self.lines:
            if (match := _TOLD.fullmatch(line)) and match[1].strip() == word:
                assert match[2] not in found, f"{match[2]} ran twice in one build"
                found[match[2]] = match[3]
        return found


@dataclass
class Running:
    """A command that has been started and not yet waited for; ``seen`` are its lines so far."""

    process: subprocess.Popen[str]
    rows: Path
    seen: list[str] = field(default_factory=list)

    def until(self, start: str) -> str:
        """Read on to a line that starts so."""
        assert self.process.stdout
        for line in self.process.stdout:
            self.seen.append(line.rstrip("\n"))
            if line.startswith(start):
                return line
        raise AssertionError(f"the command ended without a line {start!r}:\n" + "\n".join(self.seen))

    def read(self, count: int) -> None:
        """Read on so many lines, or to its end."""
        assert self.process.stdout
        for line in islice(self.process.stdout, count):
            self.seen.append(line.rstrip("\n"))

    def send(self, number: signal.Signals) -> None:
        """Signal the command, and only it: a worker of it is a session of its own."""
        self.process.send_signal(number)

    def wait(self) -> Outcome:
        """The outcome, at its end."""
        rest, errors = self.process.communicate(timeout=TIMEOUT)
        return Outcome(
            self.process.returncode, (*self.seen, *rest.splitlines()), tuple(errors.splitlines()), _rows(self.rows)
        )


@dataclass
class Workspace:
    """A folder with models and a store of its own; the toolchains are those of the session."""

    root: Path
    cache: Path
    environment: dict[str, str] = field(default_factory=dict)
    command: list[str] = field(default_factory=lambda: COMMAND)
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def build(self, *arguments: str, summary: bool = True) -> Outcome:
        """``doit build``; without ``summary`` exactly as a user types it."""
        return self.start(*arguments, summary=summary).wait()

    def start(self, *arguments: str, summary: bool = True, before: Callable[[], None] | None = None) -> Running:
        """The same, without waiting for it. ``before`` runs in the new process before the command does."""
        rows = self.cache / f"summary-{time.monotonic_ns()}.json"
        extra = ["--summary", str(rows)] if summary else []
        return Running(self._popen("build", *extra, *arguments, before=before), rows)

    def doit(self, *arguments: str, folder: str = ".") -> Outcome:
        """Any other command of doit's, in a folder of the workspace."""
        return Running(self._popen(*arguments, folder=folder), Path("none")).wait()

    def _popen(
        self, *arguments: str, folder: str = ".", before: Callable[[], None] | None = None
    ) -> subprocess.Popen[str]:
        environment = {**os.environ, "MEGBUILD_CACHE": str(self.cache), "PYTHONUNBUFFERED": "1", **self.environment}
        process = subprocess.Popen(
            [*self.command, *arguments],
            cwd=self.root / folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=before,
        )
        self.started.append(process)
        return process

    def end(self) -> None:
        """Leave no process of a failed test behind."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.wait()
        for number in list(self.workers()):
            os.kill(number, signal.SIGKILL)

    def until_no_workers(self) -> None:
        """Wait the short time that the kernel takes to end the workers of a build that died."""
        deadline = time.monotonic() + 10
        while left := list(self.workers()):
            assert time.monotonic() < deadline, f"still running: {left}"
            time.sleep(0.02)

    def until_log(self, step: str, text: str) -> None:
        """Wait until the code of an action that runs, such as ``weights``, has printed ``text``."""
        deadline = time.monotonic() + 60
        while not any(text in log.read_text() for log in self.root.glob(f".megbuild/logs/*{step}.log")):
            assert time.monotonic() < deadline, f"{step} did not say {text!r}"
            time.sleep(0.02)

    def wake(self) -> None:
        """Let the actions that wait in :data:`PAUSE` go on: their logs, which is all that they see of the outside, become longer."""
        for log in self.root.glob(".megbuild/logs/*.log"):
            with log.open("a") as file:
                file.write("awake\n" * 200)

    # files

    def read(self, path: str) -> str:
        """A text file."""
        return (self.root / path).read_text()

    def write(self, path: str, text: str) -> None:
        """A text file, new or overwritten in place."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(dedent(text).lstrip("\n"))

    def edit(self, path: str, before: str, after: str) -> None:
        """Replace the one place where ``before`` stands."""
        text = self.read(path)
        assert text.count(before) == 1, f"{before!r} stands {text.count(before)} times in {path}"
        (self.root / path).write_text(text.replace(before, after))

    def artifacts(self) -> dict[str, bytes]:
        """Every file below ``out/``."""
        return {
            str(path.relative_to(self.root)): path.read_bytes()
            for path in sorted(self.root.glob("out/**/*"))
            if path.is_file()
        }

    def forget_store(self) -> None:
        """Lose the user's store: no result can be restored any more."""
        shutil.rmtree(self.cache / "store")

    def made_again_elsewhere(self, *labels: str) -> dict[str, bytes]:
        """The artifacts of these labels, made once more in a copy of the workspace in another folder, with an empty store."""
        copy = Workspace(self.root.with_name("another folder of the workspace"), self.cache)
        shutil.copytree(self.root, copy.root, symlinks=True)
        copy.forget_store()
        copy.doit("forget", *labels)
        outcome = copy.build(*labels)
        assert outcome.status == 0 and set(outcome.statuses.values()) == {"built"}, outcome.text
        return copy.artifacts()

    def own_toolchains(self) -> None:
        """Install new toolchains in this workspace's own cache; those that the session has are there still."""
        folder = self.cache / "toolchains"
        shared = folder.resolve()
        folder.unlink()
        folder.mkdir()
        for installed in shared.iterdir():
            if installed.suffix == "":
                (folder / installed.name).symlink_to(installed)

    def git(self, *arguments: str) -> str:
        """Run git in the workspace, independent of the user's settings."""
        names = [f"GIT_{who}_{what}" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")]
        environment = {**os.environ, **dict.fromkeys(names, "t@example.org"), "GIT_CONFIG_GLOBAL": "/dev/null"}
        done = subprocess.run(
            ["git", *arguments], cwd=self.root, env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout

    def workers(self) -> Iterator[int]:
        """The processes that see this workspace's staged folders: its zygotes, its actions, and what they started."""
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and f"{self.root}/.megbuild/actions" in (entry / "mountinfo").read_text():
                    yield int(entry.name)
            except OSError:
                continue  # it has ended meanwhile


def _rows(path: Path) -> dict[str, dict[str, Any]]:
    return {row["label"]: row for row in json.loads(path.read_text())["outputs"]} if path.is_file() else {}
