"""The toy workspace as a git repository, and its release."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from megbuild.cli import release as command

PARAMETERS: dict[str, Any] = {option["name"]: option["default"] for option in command.Release.cmd_options}
RELEASE = """
    [releases.edge]
    labels = ["//..."]
    version = "file:VERSION"
    notes = "NOTES.md"
    repository = "https://example.org/models"
"""


def git(folder: Path, *words: str, **environment: str) -> str:
    """Run git, independent of the user's settings."""
    names = [f"GIT_{who}_{what}" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")]
    date = {"GIT_AUTHOR_DATE": "1700000000 +0000", "GIT_COMMITTER_DATE": "1700000000 +0000"}
    settings = {**os.environ, **dict.fromkeys(names, "t@example.org"), **date, "GIT_CONFIG_GLOBAL": "/dev/null"}
    done = subprocess.run(
        ["git", *words], cwd=folder, env={**settings, **environment}, capture_output=True, text=True, check=True
    )
    return done.stdout


@dataclass
class Shop:
    """A workspace that releases."""

    toy: Any
    monkeypatch: pytest.MonkeyPatch

    @property
    def root(self) -> Path:
        return Path(self.toy.root)

    def commit(self) -> None:
        if not (self.root / ".git").exists():
            git(self.root, "init", "--quiet")
        git(self.root, "add", "--all")
        git(self.root, "commit", "--quiet", "--allow-empty", "-m", "x")

    def run(self, *words: str, **params: Any) -> int:
        """``doit release`` in the workspace; the exit status."""
        self.monkeypatch.chdir(self.root)
        return command.Release().execute({**PARAMETERS, **params}, list(words))

    def release(self, *words: str, **params: Any) -> Path:
        """A release that succeeds; its archive."""
        assert self.run(*words, **params) == 0
        return max((self.root / "dist").glob("*.tar.zst"), key=lambda path: path.stat().st_mtime_ns)

    def clone(self, to: Path) -> Shop:
        """A clone, which the toy's actions run in from now on."""
        git(to.parent, "clone", "--quiet", str(self.root), str(to))
        self.toy.root = to
        return Shop(self.toy, self.monkeypatch)


@pytest.fixture
def shop(toy: Any, monkeypatch: pytest.MonkeyPatch) -> Shop:
    models = (toy.root / "MODELS.toml").read_text()
    toy.write(
        {"VERSION": "1.2.0\n", "NOTES.md": "Faster.\n", "LICENSE": "Free.\n", ".gitignore": "out/\n.megbuild/\ndist/\n"}
    )
    toy.write({"MODELS.toml": models + "\n".join(line.strip() for line in RELEASE.splitlines())})
    hashes = " ".join(f"--hash=sha256:{digit * 64}" for digit in "12")
    for toolchain in ("megengine", "convert"):
        lock = toy.root.parent / "builtin/toolchains" / toolchain / "requirements.lock"
        lock.write_text(f"{toolchain}==1.0 {hashes}\nshared==2.0 --hash=sha256:{'3' * 64}\n")
    shop = Shop(toy, monkeypatch)
    shop.commit()
    return shop


Unpack = Callable[[Path], Path]


@pytest.fixture
def unpack(tmp_path: Path) -> Unpack:
    """Unpacks an archive; the folder in it."""
    from megbuild.release.verify import unpack

    def unpacked(archive: Path) -> Path:
        folder = tmp_path / "unpacked" / str(len(list(tmp_path.glob("unpacked/*"))))
        folder.mkdir(parents=True)
        return unpack(archive, folder)

    return unpacked
