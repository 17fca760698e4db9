"""The folder an action runs in: exactly its inputs, read-only, and room for its outputs.

::

    request.json  code/...  in/...      what the key covers
    out/                                what it makes
    home/  tmp/                         its private HOME and TMPDIR
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from megbuild.errors import FAILED, MegbuildError, fail, printable
from megbuild.graph.actions import Action, Leaf, Outputs
from megbuild.graph.fingerprint import Fingerprint
from megbuild.store.content import ContentStore
from megbuild.store.digests import digest_file
from megbuild.store.durable import write_all

CODE = "code/"
"""Where the modules lie that an action runs."""
PRIVATE = ("home", "tmp")
"""Folders that an action may use as it likes; nothing in them is an output."""
MOST_FILES = 10_000
"""Files and folders that an action may leave: each one is stored, and synced, by itself."""
_LONGEST_PATH, _LONGEST_NAME = 1000, 240
"""Characters of an output's path, bytes of a name in it: a published name may have a model's before it."""
_LOG = "the log shows what it did"
REFUSAL = "out/refusal.txt"
"""Where a worker leaves the one sentence with which it refused."""


class Moved(Exception):
    """A file of the workspace changed between being hashed and being staged; ``path`` is how the user calls it."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


def stage(action: Action, fingerprint: Fingerprint, content: ContentStore, folder: Path, *, code: bool = True) -> None:
    """Lay out ``action`` in the empty ``folder``.

    :param code: whether its code is staged as well; else there is an empty folder, on which the box shows it.
    :raises Moved: when a file no longer has the digest that is in the key.
    :raises megbuild.store.content.Missing: when the store lost the product of another action.
    """
    leaves = {entry.path: entry for entry in action.inputs if isinstance(entry, Leaf)}
    staged = [path for path in fingerprint.staged if code or not path.startswith(CODE)]
    folders = {"out", *PRIVATE, *(path.rpartition("/")[0] for path in staged)} | (set() if code else {"code"})
    for output in action.outputs:
        place = PurePosixPath("out", output)
        folders.add(str(place.parent if place.suffix else place))
    folder.mkdir(parents=True, exist_ok=True)
    for name in sorted({above for path in folders for above in _with_those_above(path)}):
        os.mkdir(f"{folder}/{name}")  # noqa: PTH102 - a dozen for each action
    for path in staged:
        if leaf := leaves.get(path):
            put(leaf, folder / path)
        else:
            content.copy(fingerprint.staged[path], folder / path)


def _with_those_above(folder: str) -> Iterator[str]:
    while folder:
        yield folder
        folder = folder.rpartition("/")[0]


def put(leaf: Leaf, target: Path) -> None:
    """Place a leaf, read-only; raises Moved when it is not as it was hashed."""
    if leaf.content is None:
        _copy(leaf, target)
        target.chmod(0o444)
        return
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
    try:
        os.fchmod(descriptor, 0o444)  # whatever the umask
        write_all(descriptor, leaf.content)
    finally:
        os.close(descriptor)


def _copy(leaf: Leaf, target: Path) -> None:
    try:
        shutil.copyfile(leaf.origin, target)
    except OSError as error:
        if not _can_read(leaf.origin):  # else it is the copy that cannot be written
            raise Moved(leaf.said) from error
        raise
    if digest_file(target) != leaf.digest:
        raise Moved(leaf.said)


def _can_read(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.R_OK)  # noqa: PTH113 - a text, and only asked


def collect(
    action: Action, fingerprint: Fingerprint, content: ContentStore, folder: Path, *, sealed: bool = False
) -> Outputs:
    """Put what the action made into the store.

    :param sealed: the action could write to its own folders only, so its inputs need not be looked at.
    :raises MegbuildError: MB610 without room for it, MB618 for an empty artifact, MB619 for too many files,
        MB403 for a declared output that is missing, MB404 for a file that it left beside its
        outputs or that is no plain file, MB405 for an input that it changed or removed.
    """
    made: dict[str, Path] = {}
    kept: set[str] = set()
    for path in sorted(_files(folder / "out" if sealed else folder, action)):
        inside = path.relative_to(folder).as_posix()
        top, _, rest = inside.partition("/")
        if top == "out" and any(rest == output or rest.startswith(output + "/") for output in action.outputs):
            made[rest] = _output(path, inside, action)
        elif inside in fingerprint.staged:
            if path.is_symlink() or not path.is_file() or digest_file(path) != fingerprint.staged[inside]:
                raise _wrong("MB405", action, f"the action changed its input {inside}", "write to out/ instead")
            kept.add(inside)
        elif top not in PRIVATE:
            said = f"the action left {printable(inside)}, which is no declared output"
            raise _wrong("MB404", action, said, "write outputs to out/, scratch files to $TMPDIR")
    if not sealed and (gone := sorted(fingerprint.staged.keys() - kept)):
        said = f"the action removed its input {gone[0]}"
        raise _wrong("MB405", action, said, "copy it to $TMPDIR and work there")
    _complete(made, action)
    size = sum(path.stat().st_size for path in made.values())
    if size > content.room():  # holes of a file take no room until it is copied
        said = f"the store has no room for the {size / 1e6:.0f} MB that the action made"
        raise _wrong("MB610", action, said, "free space on the disk of the cache")
    return {name: content.put_file(path) for name, path in made.items()}


def _output(path: Path, inside: str, action: Action) -> Path:
    """A file in the place of a declared output, when it can be one."""
    if path.is_symlink() or not path.is_file():
        said = f"the action left {printable(inside)}, which is no plain file"
        raise _wrong("MB404", action, said, "write the content itself to out/")
    name = inside.removeprefix("out/")
    if not _can_be_kept(name):
        said = f"the action left a file with a name that cannot be kept: {name!a:.200}"
        raise _wrong("MB404", action, said, "use short names of printable characters")
    return path


def _complete(made: Mapping[str, Path], action: Action) -> None:
    """Nothing that was declared is missing, and the artifact is not empty."""
    for output in (*(f"artifact/{name}" for name in action.artifact), *action.outputs):
        folder_of = () if PurePosixPath(output).suffix else (path for path in made if path.startswith(output + "/"))
        if output not in made and not any(folder_of):
            raise _wrong("MB403", action, f"the action ended well but did not make {output}", _LOG)
    if action.artifact and not made[f"artifact/{action.artifact[0]}"].stat().st_size:
        raise _wrong("MB618", action, f"the action ended well and made an empty {action.artifact[0]}", _LOG)


def _wrong(code: str, action: Action, said: str, hint: str) -> MegbuildError:
    return fail(code, f"{action.id}: {said}", hint, status=FAILED)


def _can_be_kept(name: str) -> bool:
    """Whether records, releases and other machines can have a file of this name."""
    return (
        name.isprintable()
        and len(name) <= _LONGEST_PATH
        and all(len(p.encode()) <= _LONGEST_NAME for p in name.split("/"))
    )


def _files(folder: Path, action: Action) -> Iterator[Path]:
    """Every file and link below a folder, however deep; raises OSError for what nobody can look into."""
    pending, count = [folder], 0
    while pending:
        base = pending.pop()
        with os.scandir(base) as entries:
            for entry in entries:
                count += 1
                if count > MOST_FILES:
                    said = f"the action left more than {MOST_FILES} files and folders"
                    raise _wrong("MB619", action, said, "pack what belongs together into one file")
                if not entry.is_dir(follow_symlinks=False):
                    yield Path(entry.path)
                elif base != folder or entry.name not in PRIVATE:
                    pending.append(Path(entry.path))
