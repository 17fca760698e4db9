"""What was asked for: from label patterns to the models and outputs that they mean."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from megbuild.declare.labels import Pattern, Selected, label_of, select
from megbuild.declare.models import Toolchain, Workspace
from megbuild.declare.root import find, here
from megbuild.errors import MegbuildError
from megbuild.pipeline.kept import kept
from megbuild.store.files import Files
from megbuild.store.noop import Looked, Note, stands
from megbuild.store.places import private_folder
from megbuild.store.shelf import Shelved


class Asked(Struct, frozen=True):
    """What the user asked for: label patterns, and the folder they stand in.

    ``looked`` is what the fast path found to have moved since all of it was up to date: when that matters to some
    models only, the others are not even loaded.
    """

    patterns: tuple[str, ...]
    start: Path
    looked: Looked | None = None
    require_sandbox: bool = False
    """Whether actions may only run in a complete box."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Added to the environment of every action: the reproducibility check varies what tools choose by them."""
    keep_going: bool = False
    """Whether outputs whose SDK is missing are left out, instead of refusing all of it."""
    form: str = ""
    """A format that is wanted of every model that the patterns select, in place of its outputs."""

    @property
    def selection(self) -> str:
        """The text that stands for it in the notes of what is up to date."""
        return "\0".join((str(self.start), *self.patterns, *([f"={self.form}"] if self.form else [])))


class Narrowed(Struct, frozen=True):
    """What a build may pass over: the note that all else is up to date by, and the models that are left.

    Both are None where everything has to be looked at.
    """

    note: Note | None = None
    models: set[str] | None = None


def narrowed(asked: Asked) -> Narrowed:
    """What the fast path has found, as far as a build can go by it."""
    looked = asked.looked
    if looked is None or looked.unchanged or not stands(looked.workspace, looked.note):
        return Narrowed()
    models = looked.models(Files(Path(looked.workspace)).declares)
    return Narrowed() if models is None else Narrowed(looked.note, models)


def loaded(asked: Asked, models: set[str] | None) -> Workspace:
    """The workspace as far as it matters, with what was asked to vary."""
    workspace = kept(asked.looked, models) if asked.looked and models is not None else None
    if workspace is None:
        from megbuild.declare.load import load

        folder = private_folder(Path(find(asked.start)))
        workspace = load(asked.start, asked.patterns, models, keep=lambda found: Shelved(found, folder))
    if not asked.variables:
        return workspace
    varied = {
        name: replace(toolchain, environment={**toolchain.environment, **asked.variables})
        for name, toolchain in workspace.toolchains.items()
    }
    return replace(workspace, toolchains=varied)


def selected(workspace: Workspace, asked: Asked, models: set[str] | None) -> Sequence[Selected]:
    """The outputs that are meant, each with its model; of the ``models`` only, where others can be passed over."""
    asked_patterns, folder = _in(workspace, asked)
    if models is not None:  # the patterns have meant something, and may mean none of these
        parsed = patterns(workspace, asked)
        every = ((model, output) for model in workspace.models for output in model.outputs)
        return [pair for pair in every if any(pattern.matches(label_of(*pair)) for pattern in parsed)]
    try:
        return select(asked_patterns, workspace.models, folder)
    except MegbuildError:  # what might have been meant is told from all that there is
        from megbuild.declare.load import load

        return select(asked_patterns, load(asked.start).models, folder)


def patterns(workspace: Workspace, asked: Asked) -> list[Pattern]:
    """The patterns asked for, or the workspace's default."""
    texts, folder = _in(workspace, asked)
    return [Pattern.parse(text, folder) for text in texts]


def _in(workspace: Workspace, asked: Asked) -> tuple[tuple[str, ...], str]:
    """The patterns as written, and the package folder that they stand in."""
    return (asked.patterns, here(workspace.root, asked.start)) if asked.patterns else (workspace.default, "")


def environments(workspace: Workspace, locks: Collection[str]) -> dict[str, Toolchain]:
    """MegEngine's toolchain with each training environment that the models name."""
    base = workspace.toolchains.get("megengine")
    if not any(locks):
        return {}
    from megbuild.declare.toolchains import with_environment

    return {lock: with_environment(base, Path(workspace.root, lock)) for lock in sorted(set(locks)) if lock and base}
