"""A delivered .tm: refused before anything loads it, allowed by a reviewed line, and used where it is honest."""

from __future__ import annotations

import hashlib
import io
import pickle
from pathlib import Path

from .conftest import Make
from .workspace import Workspace

MODELS = """
    workspace = true
    [models.net]
    archive = {{ path = "net.tm", sha256 = "{sha256}" }}
    inputs  = [{{ name = "x", shape = [1, 3] }}]
    results = [{{ name = "y", shape = [1, 3] }}]
    samples = "samples/*.npy"
    [models.net.outputs.x86]
"""


class Calls:
    """Writes a call into a pickle."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> object:
        import os

        return os.system, (f"touch {self.marker}",)


def deliver(space: Workspace, content: bytes) -> str:
    (space.root / "net.tm").write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    space.write("MODELS.toml", MODELS.format(sha256=sha256))
    return sha256


def test_a_harmful_file_is_explained_and_nothing_of_it_runs(unbuilt: Make, tmp_path: Path) -> None:
    space = unbuilt({})
    marker = tmp_path / "it-ran"
    sha256 = deliver(space, pickle.dumps(Calls(marker), 4))
    outcome = space.build()
    assert outcome.status == 1
    assert "net.tm is refused: it names posix.system, which is none of MegEngine's for networks [MB409]" in outcome.text
    assert "doit trust //:net" in outcome.text
    assert outcome.ran == {}
    listed = space.doit("trust", "//:net")
    assert (listed.status, "  posix.system" in listed.text) == (1, True)
    assert not (space.root / "MODELS.trust").exists()
    other = space.doit("trust", "//:net", "--name", "posix.popen")
    assert (other.status, "[MB411]" in other.text) == (2, True)
    allowed = space.doit("trust", "//:net", "--name", "posix.system", "--note", "seen by Ada")
    assert allowed.status == 0, allowed.text
    assert space.read("MODELS.trust").splitlines()[1] == f"{sha256}  posix.system  seen by Ada"
    outcome = space.build()  # it is loaded, in the box, and is no network
    assert outcome.status == 1
    assert "model.tm holds a value of type int, not a traced module" in outcome.text
    assert not marker.exists()


def test_an_exception_is_for_one_file_only(unbuilt: Make, tmp_path: Path) -> None:
    space = unbuilt({})
    deliver(space, pickle.dumps(Calls(tmp_path / "it-ran"), 4))
    space.write("MODELS.trust", f"{'0' * 64}  posix.system  another file\n")
    assert "[MB409]" in space.build().text
    space.write("MODELS.trust", "posix.system\n")
    outcome = space.build()
    assert outcome.status == 2
    assert "MODELS.trust:1: is no reviewed exception [MB135]" in outcome.text


def test_trailing_bytes_cannot_be_allowed(unbuilt: Make) -> None:
    space = unbuilt({})
    deliver(space, pickle.dumps(1) + b"x")
    assert "something follows after its end [MB409]" in space.build().text
    assert "[MB412]" in space.doit("trust", "//:net").text


def test_an_honest_file_is_used(small: Workspace) -> None:
    blobs = [path.read_bytes() for path in (small.cache / "store/cas").rglob("*") if path.is_file()]
    (traced,) = {blob for blob in blobs if b"TracedModule" in blob[:1000] and blob[:1] == b"\x80"}
    assert pickle.Unpickler(io.BytesIO(traced))
    deliver(small, traced)
    outcome = small.build()
    assert outcome.status == 0, outcome.text
    assert outcome.rows["//:net@x86"]["verdict"] == "pass"
    assert small.doit("trust", "//:net").status == 0
