"""Workspaces for the tests of this folder.

Toolchains are used where the user has them (``MEGBUILD_TEST_CACHE``, else the ordinary cache), and installed there by
the first build that misses one: they are the same for everybody and never change. Stores are the tests' own. A test
starts from one of

- ``monorepo``: a copy of the example, built, with a copy of the store that it was built into;
- ``small``: the same, of one model with training code, for tests that change or break it;
- ``unbuilt``: a copy of the example with an empty store.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from megbuild.store.places import cache_folder

from .workspace import Outcome, Workspace

REPOSITORY = Path(__file__).parents[2]

SMALL = {
    "MODELS.toml": """
        workspace = true

        [models.scale]
        train   = "scale.py:train"
        source  = "scale.py:build"
        data    = ["factor.txt"]
        inputs  = [{ name = "x", shape = [1, 3], dtype = "float32" }]
        results = [{ name = "y", shape = [1, 3] }]
        samples = "samples/*.npy"
        [models.scale.outputs.x86]
    """,
    "dodo.py": (REPOSITORY / "examples/monorepo/dodo.py").read_text(),
    "factor.txt": "3\n",
    "scale.py": '''
        """Multiplies by a factor."""

        import megengine
        import megengine.module as M
        import numpy as np


        class Scale(M.Module):
            def __init__(self):
                super().__init__()
                self.factor = megengine.Parameter(np.ones((1, 3), "float32"))

            def forward(self, x):
                return x * self.factor


        def train(weights):
            factor = float(open("factor.txt").read())
            network = Scale()
            network.factor[...] = megengine.Tensor(np.full((1, 3), factor, "float32"))
            megengine.save(network.state_dict(), weights)


        def build(weights):
            network = Scale()
            network.load_state_dict(megengine.load(weights))
            return network
    ''',
}
"""One model of five actions and a verdict: weights, tm, expected, mge, mge+measured."""

Make = Callable[[dict[str, str]], Workspace]


@dataclass(frozen=True)
class Seed:
    """A workspace that was built once in this session; tests get copies of it."""

    workspace: Workspace
    first: Outcome

    def copy(self, folder: Path) -> Workspace:
        """The workspace, built, with the store that it was built into."""
        shutil.copytree(self.workspace.root, folder / "workspace", symlinks=True)
        shutil.copytree(self.workspace.cache / "store", folder / "cache" / "store")
        return Workspace(folder / "workspace", _cache(folder))


def _cache(folder: Path) -> Path:
    """A user's cache with a store of its own and the toolchains of the session."""
    shared = Path(os.environ.get("MEGBUILD_TEST_CACHE") or cache_folder()) / "toolchains"
    shared.mkdir(parents=True, exist_ok=True)
    (folder / "cache").mkdir(parents=True, exist_ok=True)
    (folder / "cache" / "toolchains").symlink_to(shared)
    return folder / "cache"


def write_small(root: Path, files: dict[str, str]) -> None:
    """The files of a small workspace, and its one sample."""
    import numpy

    space = Workspace(root, root)
    for path, text in files.items():
        space.write(path, text)
    (root / "samples").mkdir()
    numpy.save(root / "samples" / "one.npy", numpy.array([[-0.5, 0.25, 1.0]], "float32"))


@contextmanager
def _once(folder: Path) -> Iterator[bool]:
    """Whether this worker of the test session is the one that fills ``folder``; the others wait for it."""
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield not (folder / "ready").exists()
        (folder / "ready").touch()


def _seeded(folder: Path, lay_out: Callable[[Path], None]) -> Seed:
    with _once(folder) as first:
        if first:
            lay_out(folder / "workspace")
            space = Workspace(folder / "workspace", _cache(folder))
            outcome = space.build()
            assert outcome.status == 0, outcome.text
            (folder / "first.txt").write_text("\n".join(outcome.lines))
    return Seed(
        Workspace(folder / "workspace", folder / "cache"),
        Outcome(0, tuple((folder / "first.txt").read_text().splitlines()), ()),
    )


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of this test session share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base


@pytest.fixture(scope="session")
def monorepo_seed(shared: Path) -> Seed:
    """The example, built from an empty store."""
    return _seeded(shared / "seed-monorepo", copy_example)


@pytest.fixture(scope="session")
def small_seed(shared: Path) -> Seed:
    """The small workspace, built from an empty store."""

    def lay_out(root: Path) -> None:
        root.mkdir()
        write_small(root, SMALL)

    return _seeded(shared / "seed-small", lay_out)


def copy_example(root: Path) -> None:
    """The example as it is committed."""
    shutil.copytree(
        REPOSITORY / "examples" / "monorepo",
        root,
        ignore=shutil.ignore_patterns("out", ".megbuild", "__pycache__", ".doit.db*"),
    )


@pytest.fixture
def monorepo(monorepo_seed: Seed, tmp_path: Path) -> Iterator[Workspace]:
    """The example in a folder of its own, built."""
    space = monorepo_seed.copy(tmp_path)
    yield space
    space.end()


@pytest.fixture
def small(small_seed: Seed, tmp_path: Path) -> Iterator[Workspace]:
    """The small workspace in a folder of its own, built."""
    space = small_seed.copy(tmp_path)
    yield space
    space.end()


@pytest.fixture
def unbuilt(tmp_path: Path) -> Make:
    """Makes a workspace of the given files over the small one's, with an empty store."""

    def make(files: dict[str, str]) -> Workspace:
        root = tmp_path / "workspace"
        root.mkdir()
        write_small(root, {**SMALL, **files})
        return Workspace(root, _cache(tmp_path))

    return make
