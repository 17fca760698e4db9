"""The local runner: an action as one fresh process of its toolchain, in its staged folder, with an empty environment.

The seam for a sandbox and for warm workers is here: both are other ways to start the same command in the same folder.
"""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from megbuild.declare.models import Toolchain
from megbuild.errors import MegbuildError
from megbuild.execute.builder import Ran
from megbuild.execute.failure import ActionFailed, log_tail, write_by_hand
from megbuild.execute.process import Processes
from megbuild.execute.staging import PEAK, REFUSAL, collect, stage
from megbuild.execute.toolchains import Installed, installed, provision
from megbuild.graph.actions import Action
from megbuild.graph.fingerprint import Fingerprint
from megbuild.store.content import ContentStore
from megbuild.store.digests import digest_bytes

REFUSED = 3
"""The exit status of a worker that declined with one sentence."""
TIME_LIMITS = {"weights": 7 * 86400.0}
"""Wall seconds after which an action is taken to hang, by the format that it makes: training may take days."""
TIME_LIMIT = 1800.0
"""The same for every other action."""

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
    processes: Processes = field(default_factory=Processes)
    _installing: threading.Lock = field(default_factory=threading.Lock)

    def run(self, action: Action, now: Fingerprint) -> Ran:
        """See :class:`megbuild.execute.builder.Runner`."""
        python = self._toolchain(action).python
        name = _folder_name(action.id)
        folder = self.folder / "actions" / name
        log = self.folder / "logs" / f"{name}.log"
        _empty(folder)
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"")
        stage(action, now, self.content, folder)
        command = [python, *action.arguments[1:]]
        environment = environment_of(action, folder)
        ending = self.processes.run(command, folder, environment, log, TIME_LIMITS.get(action.makes, TIME_LIMIT))
        if ending.status != 0 or ending.timed_out:
            raise self._failed(
                action, folder, log, str(ending), ending.status == REFUSED, write_by_hand(folder, command, environment)
            )
        try:
            outputs = collect(action, now, self.content, folder)
        except MegbuildError as error:
            raise self._failed(
                action,
                folder,
                log,
                str(error).removeprefix(f"{action.id}: "),
                False,
                write_by_hand(folder, command, environment),
            ) from None
        ran = Ran(outputs, self.content.put_file(log), _memory(folder))
        shutil.rmtree(folder, ignore_errors=True)
        return ran

    def stop(self) -> None:
        """See :class:`megbuild.execute.builder.Runner`."""
        self.processes.stop()

    def _toolchain(self, action: Action) -> Installed:
        toolchain = self.toolchains[action.toolchain]
        if there := installed(toolchain, self.cache):  # an action need not wait while another toolchain is installed
            return there
        with self._installing:
            return provision(toolchain, self.cache, self.say)

    def _failed(
        self, action: Action, folder: Path, log: Path, message: str, refused: bool, by_hand: str
    ) -> ActionFailed:
        """The failure, with the worker's own sentence when it refused, else with the end of its log."""
        tail = log_tail(log, self.root, folder / "in" / "source")
        troubles: list[tuple[str, str]] = []
        if refused and (folder / REFUSAL).is_file():
            message, *more = (folder / REFUSAL).read_text("utf-8").splitlines()
            troubles = [(place, text) for place, _, text in (line.partition("\t") for line in more)]
            tail = ()
        return ActionFailed(action.id, message, self._shown(log), by_hand, tail, refused, tuple(troubles))

    def _shown(self, path: Path) -> str:
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)


def environment_of(action: Action, folder: Path) -> dict[str, str]:
    """The whole environment of an action: nothing of the user's but what is declared."""
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "LC_ALL": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        **action.environment,
    }


def _memory(folder: Path) -> int:
    """The most memory that the worker says it had, in bytes; 0 when it does not say."""
    try:
        return int((folder / PEAK).read_bytes())
    except (OSError, ValueError):
        return 0


def _folder_name(id: str) -> str:
    """The name of an action's folder and log; unlike ids have unlike names, whatever their packages are called."""
    name = re.sub("[/:]+", "+", id.strip("/")).replace("#", "@")
    plain = re.sub(r"[^A-Za-z0-9._+@-]", "_", name)
    if plain == name and len(name) <= _LONGEST_NAME:
        return name
    return f"{plain[:_LONGEST_NAME]}~{digest_bytes(id.encode()).sha256[:16]}"


def _empty(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
