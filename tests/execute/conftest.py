"""Actions of a few lines of Python, run in boxes with this Python in the place of a toolchain's."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from megbuild.declare.limits import UNLIMITED, Limits
from megbuild.declare.models import Toolchain
from megbuild.execute import environments
from megbuild.execute.failure import ActionFailed
from megbuild.execute.local import Local
from megbuild.execute.toolchains import Installed
from megbuild.graph.actions import Action, Leaf
from megbuild.graph.fingerprint import fingerprint
from megbuild.store.content import ContentStore
from megbuild.store.digests import digest_bytes


@dataclass
class Boxes:
    """Runs actions; ``warned`` is what the runner had to say."""

    runner: Local
    warned: list[str]
    limits: Limits = UNLIMITED
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        return self.runner.root

    def run(self, code: str, name: str = "x", **staged: str) -> str:
        """What an action of this code writes to out/answer.txt; ``staged`` are further files, ``in__a`` is in/a."""
        files = {"code/main.py": textwrap.dedent(code)} | {
            path.replace("__", "/"): text for path, text in staged.items()
        }
        leaves = tuple(
            Leaf(path, digest_bytes(text.encode()), path, content=text.encode()) for path, text in sorted(files.items())
        )
        arguments = ("python", "-B", "-s", "code/main.py", "one")
        action = Action(
            f"//a:m#{name}", "x", "", "//a:m", "toy", leaves, ("answer.txt",), arguments, environment=self.environment,
            limits=self.limits,
        )  # fmt: skip
        ran = self.runner.run(action, fingerprint(action, None, {}))
        assert ran.log
        self.log = self.runner.content.read(ran.log).decode(errors="replace")
        return self.runner.content.read(ran.outputs["answer.txt"]).decode()

    def fails(self, code: str, name: str = "x", **staged: str) -> ActionFailed:
        """How an action of this code fails."""
        with pytest.raises(ActionFailed) as error:
            self.run(code, name, **staged)
        return error.value

    def says(self, code: str, **staged: str) -> str:
        """The same for code that prints, and writes no output of its own."""
        self.run(
            textwrap.dedent(code) + "\nopen('/'.join([__import__('os').environ['HOME'], '../out/answer.txt']), 'w')",
            **staged,
        )
        return self.log.strip()


def boxes(folder: Path, monkeypatch: pytest.MonkeyPatch, preload: list[str], without: str = "") -> Boxes:
    """A runner whose toolchain is this Python, with modules to be imported in advance."""
    monkeypatch.setattr(
        environments, "installed", lambda toolchain, cache: Installed("toy", "0", sys.executable, sys.prefix, {})
    )
    root = folder / "workspace"
    root.mkdir(parents=True)
    toolchains = {"toy": Toolchain("toy", "0", "3.11", "/", settings={"preload": preload})}
    warned: list[str] = []
    runner = Local(
        root, root / ".megbuild", folder / "cache", ContentStore(folder / "store"), toolchains, warned.append
    )
    runner.zygotes.without = without
    return Boxes(runner, warned)


@pytest.fixture(params=["warm", "fresh"])
def box(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Boxes]:
    """Actions that are forked from a zygote, and actions that start anew."""
    made = boxes(tmp_path, monkeypatch, ["json", "decimal"] if request.param == "warm" else [])
    yield made
    made.runner.stop()
