"""Toolchains whose installation, removal or repair is killed just before any call that changes a folder."""

from __future__ import annotations

from pathlib import Path

from megbuild.declare.models import Toolchain
from megbuild.execute import inventory, soundness, toolchains
from tests.execute.test_toolchains import rules, run, small  # noqa: F401 - a fixture
from tests.faults.moments import killed_at


def quiet(line: str) -> None:
    """Nobody listens."""


def is_whole(toolchain: Toolchain, cache: Path) -> bool:
    """Whether it is there; what is there has to be as it was installed."""
    found = toolchains.installed(toolchain, cache)
    listed = toolchains.list_installed(cache)
    assert [one.digest for one in listed] == ([toolchain.digest] if found else [])
    if found:
        assert inventory.damaged(Path(found.folder), toolchains.inventory_of(cache, toolchain.digest)) == []
    return bool(found)


def works(toolchain: Toolchain, cache: Path) -> None:
    installed = toolchains.provision(toolchain, cache, quiet)
    assert is_whole(toolchain, cache)
    assert run(installed, "import tiny; print(tiny.VERSION)") == "1.0"
    assert not list((cache / "toolchains").glob("*.partial"))


def test_an_installation(rules: Path, tmp_path: Path) -> None:  # noqa: F811
    toolchain, cache = small(rules), tmp_path / "cache"
    works(toolchain, cache)
    seen, at, killed = [], 1, True
    while killed:
        toolchains.remove(toolchain, cache)
        killed = killed_at(at, lambda: toolchains.provision(toolchain, cache, quiet))
        seen.append(is_whole(toolchain, cache))
        works(toolchain, cache)
        at += 1 if at < 4 else 9
    assert at > 30
    assert seen[0] is False and seen[-1] is True


def test_a_removal(rules: Path, tmp_path: Path) -> None:  # noqa: F811
    toolchain, cache = small(rules), tmp_path / "cache"
    seen, at, killed = [], 1, True
    while killed:
        works(toolchain, cache)
        killed = killed_at(at, lambda: toolchains.remove(toolchain, cache))
        seen.append(toolchains.installed(toolchain, cache) is not None)
        if seen[-1]:
            assert is_whole(toolchain, cache)
        at += 1 if at < 4 else 9
    assert at > 10
    assert seen[0] is True and seen[-1] is False


def test_the_removal_of_a_changed_one_never_makes_it_trusted(rules: Path, tmp_path: Path) -> None:  # noqa: F811
    """Without its inventory it would be taken stock of as it is now."""
    toolchain, cache = small(rules), tmp_path / "cache"
    at, killed = 1, True
    while killed:
        works(toolchain, cache)
        (module,) = (cache / "toolchains" / toolchain.digest).glob("lib/python*/site-packages/standin.py")
        module.unlink()
        module.write_text("NAME = 'poison'\n")
        killed = killed_at(at, lambda: soundness.sound(toolchain, cache, quiet))
        if toolchains.installed(toolchain, cache):
            assert not soundness.sound(toolchain, cache, quiet), at
        assert toolchains.installed(toolchain, cache) is None
        at += 1 if at < 8 else 9
    assert at > 10
