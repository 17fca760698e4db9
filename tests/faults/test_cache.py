"""``doit cache`` on real caches, and damage of everything that a build believes."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from megbuild.cli.cache import size_of
from megbuild.errors import MegbuildError
from tests.e2e.workspace import Workspace
from tests.faults.toys import Toys


@pytest.fixture
def built(toys: Toys) -> Workspace:
    space = toys.space()
    assert space.build(summary=False).status == 0
    return space


def blobs(space: Workspace) -> list[Path]:
    return sorted(space.cache.glob("store/cas/??/[!.]*"))


def records(space: Workspace) -> list[Path]:
    return sorted(space.cache.glob("store/ac/??/[!.]*"))


def damage(path: Path) -> None:
    """Flip a bit in the middle."""
    content = bytearray(path.read_bytes())
    if content:
        content[len(content) // 2] ^= 1
    else:
        content += b"?"
    path.chmod(0o644)
    path.write_bytes(bytes(content))


def test_a_sound_cache(built: Workspace) -> None:
    verified = built.doit("cache", "verify")
    assert verified.status == 0, verified.text
    assert verified.lines[0].startswith(f"sound: {len(blobs(built))} contents, ")
    sized = built.doit("cache", "size")
    assert sized.status == 0
    assert [line.split()[0] for line in sized.lines] == ["records", "contents", "toolchains", "compiled", "together"]


def test_damage_in_the_store_is_named_and_made_again(built: Workspace) -> None:
    artifacts = built.artifacts()
    every = blobs(built)
    for blob in every:
        damage(blob)
    record = next(built.cache.glob("store/ac/??/[!.]*"))
    damage(record)
    verified = built.doit("cache", "verify")
    assert verified.status == 1
    assert all(any(str(path) in line for line in verified.errors) for path in [*every, record])
    assert verified.errors[-2] == f"{len(every) + 1} of the cache's things were damaged [MB611]"
    shutil.rmtree(built.root / "out")
    assert built.build(summary=False).status == 0
    assert built.artifacts() == artifacts
    assert built.doit("cache", "verify").status == 0


@pytest.mark.parametrize("what", ["state", "journal", "lock", "fresh"])
def test_damage_in_the_workspace_is_noticed(built: Workspace, what: str) -> None:
    artifacts = built.artifacts()
    private = built.root / ".megbuild"
    path = next((private / "fresh").iterdir()) if what == "fresh" else private / what
    path.write_bytes(b"\x00garbage" * 9 if what in ("journal", "lock") else path.read_bytes()[:-9] + b"?garbage?")
    outcome = built.build(summary=False)
    assert outcome.status == 0, outcome.text
    if what == "state":
        shutil.rmtree(private / "fresh")
        outcome = built.build(summary=False)
        assert any("cannot be used, starting without it" in line for line in outcome.lines)
    assert built.artifacts() == artifacts
    assert built.build(summary=False).lines[-1].startswith("everything is up to date")


def test_a_changed_toolchain_is_named_and_installed_again(toys: Toys) -> None:
    space = toys.space(toolchains=False)
    assert space.build(summary=False).status == 0
    artifacts = space.artifacts()
    version = next(space.cache.glob("toolchains/*/lib/python3*/site-packages/numpy/version.py"))
    version.unlink()  # what is written now is no other environment's
    version.write_text("raise SystemExit('never to be run')\n")
    shutil.rmtree(space.cache / "store")
    shutil.rmtree(space.root / "out")
    outcome = space.build(summary=False)
    assert outcome.status == 0, outcome.text
    (said,) = [line for line in outcome.lines if "[MB612]" in line]
    assert "numpy/version.py changed since it was installed; installing it again" in said
    assert space.artifacts() == artifacts
    assert space.doit("cache", "verify").status == 0
    content, stamp = version.read_bytes(), version.stat()
    version.unlink()
    version.write_bytes(content.replace(b"o", b"0", 1))
    os.utime(version, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    verified = space.doit("cache", "verify")
    assert verified.status == 1
    assert re.search(r"numpy/version.py changed since (megengine|convert) was installed", verified.errors[0])


def test_what_a_workspace_needs_stays_and_the_rest_goes(toys: Toys, built: Workspace) -> None:
    other = toys.space(cache=built.cache)
    (other.root / "one.py").write_text("def build(weights): return 'other'\n")
    assert other.build(summary=False).status == 0
    artifacts, count = built.artifacts(), len(records(built))
    toys.drop(other)
    would = built.doit("cache", "gc", "--dry-run", "--max-size", "0")
    assert would.lines[0].startswith("would remove "), would.text
    assert len(records(built)) == count
    assert built.doit("cache", "gc", "--keep-days", "1").lines[0].startswith("removed nothing: ")
    removed = built.doit("cache", "gc", "--max-size", "0")
    assert removed.status == 0, removed.text
    assert removed.lines[0] == would.lines[0].removeprefix("would ").replace("remove ", "removed ", 1)
    assert removed.lines[1].startswith("note: ")
    assert 0 < len(records(built)) < count
    assert (built.cache / "toolchains").is_symlink()
    assert any((built.cache / "toolchains").resolve().iterdir()), "what is another cache's stays"
    shutil.rmtree(built.root / "out")
    outcome = built.build(summary=False)
    assert outcome.status == 0
    assert outcome.ran == {}, "what the workspace needs was kept"
    assert built.artifacts() == artifacts


def test_without_workspaces_everything_goes(toys: Toys, built: Workspace) -> None:
    own = toys.space(cache=built.cache)
    shutil.rmtree(built.root)
    assert own.doit("cache", "gc", "--keep-days", "0").status == 0
    assert blobs(own) == []
    assert own.build(summary=False).status == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [([], "MB440"), (["clean"], "MB440"), (["size", "--dry-run"], "MB440"), (["gc", "--max-size", "big"], "MB441"), (["gc", "--keep-days", "-1"], "MB441")],
)  # fmt: skip
def test_wrong_uses(toys: Toys, words: list[str], code: str) -> None:
    outcome = toys.space().doit("cache", *words)
    assert outcome.status == 2
    assert f"[{code}]" in outcome.errors[0]


@pytest.mark.parametrize(("text", "size"), [("20GB", 20 * 10**9), ("1.5 M", 1500000), ("7", 7), ("3kb", 3000)])
def test_sizes(text: str, size: int) -> None:
    assert size_of(text) == size


def test_no_size() -> None:
    with pytest.raises(MegbuildError, match="MB441"):
        size_of("20 parsecs")
