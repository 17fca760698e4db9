"""The code that actions run: laid out once in a build for all that declare the very same, and shown to each by a mount.

::

    .shared/files/<sha256>        one copy of every file
    .shared/<digest>/code/...     links to these, as an action finds them
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path

from megbuild.declare.rules import builtin_rules_folder
from megbuild.execute.staging import CODE, put
from megbuild.execute.zygote import WorkerCode
from megbuild.graph.actions import Action, Leaf
from megbuild.store.digests import digest_bytes

OWN = (f"{Path(__file__).resolve().parents[1]}/", f"{builtin_rules_folder()}/")
"""Where megbuild's own code lies."""
_FILES = "files"


def code_of(action: Action) -> WorkerCode:
    """The code that an action declares."""
    code = _leaves(action)
    files = {leaf.path: leaf.digest.sha256 for leaf in code}
    digest = digest_bytes(json.dumps(sorted(files.items())).encode()).sha256
    requests = (entry.content for entry in action.inputs if isinstance(entry, Leaf) and entry.kind == "request")
    content = next(requests, None)
    if not content or not all(leaf.origin.startswith(OWN) for leaf in code):
        return WorkerCode(files, digest)
    request = json.loads(content)
    arguments = [request["worker"], request["function"]]
    known = digest_bytes(json.dumps([arguments, digest]).encode()).sha256
    return WorkerCode(
        files, digest, {"folder": "code", "module": "megbuild_worker.ready", "arguments": arguments, "code": known}
    )


class SharedCode:
    """What is laid out, below the ``folder`` of the staged ones. Threads may share it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()

    def lay(self, action: Action, code: WorkerCode) -> Path:
        """Where the code of an action is laid out; it is where it was not.

        :raises megbuild.execute.staging.Moved: when a file no longer has the digest that is in the key.
        """
        laid = self.folder / code.digest
        with self._lock:
            if not laid.exists():
                part = self.folder / os.urandom(6).hex()
                (part / "code").mkdir(parents=True)
                for leaf in _leaves(action):
                    self._link(leaf, part / leaf.path)
                part.rename(laid)
        return laid

    def give(self, code: WorkerCode, folder: Path) -> None:
        """Put the code into a staged folder of its own: somebody will look at it when the build is over."""
        there = folder / "code"
        if there.is_dir() and not any(there.iterdir()):
            shutil.copytree(self.folder / code.digest / "code", there, copy_function=os.link, dirs_exist_ok=True)

    def _link(self, leaf: Leaf, target: Path) -> None:
        kept = self.folder / _FILES / leaf.digest.sha256
        if not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            part = kept.with_name(os.urandom(6).hex())
            put(leaf, part)
            part.rename(kept)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(kept, target)


def _leaves(action: Action) -> list[Leaf]:
    return [entry for entry in action.inputs if isinstance(entry, Leaf) and entry.path.startswith(CODE)]
