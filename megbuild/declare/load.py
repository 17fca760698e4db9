"""Load a workspace: everything that the user declared, checked, in one frozen value, or every problem at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from msgspec import Struct

from megbuild.declare import hardware, rules, toolchains, trust, workspace
from megbuild.declare.files import Files
from megbuild.declare.labels import Pattern, label_of
from megbuild.declare.models import InstalledRule, Model, Toolchain, Workspace
from megbuild.declare.options import Options
from megbuild.declare.outputs import Catalogue, Inherited
from megbuild.declare.packages import Reader
from megbuild.declare.root import MODELS, SETTINGS, find, here
from megbuild.declare.tree import Tree
from megbuild.errors import MOST, Enough, Location, MegbuildError, Problem, Problems

Keep = Callable[[Iterable[Model]], Sequence[Model]]
RULES = "rules"
"""The folder at the root of a workspace with rules of its own."""


def load(
    start: Path,
    asked: Sequence[str] | None = None,
    only: Collection[str] | None = None,
    *,
    builtin: Path | None = None,
    keep: Keep = tuple,
) -> Workspace:
    """The workspace that the folder ``start`` lies in.

    :param asked: label patterns, as given in ``start``; none are the workspace's default. Only packages that they mean
        are read, and those above that hand something down to these. Without it, all are.
    :param only: labels of models, instead; others are passed over unread, which must have been read before and be
        unchanged.
    :param builtin: the folder of megbuild's own rules, when not the installed one.
    :param keep: keeps the models as they come; of many, all need not be in memory.
    :raises MegbuildError: with every problem that was found, sorted by place (MB101 to MB141, and those of toolchains).
    """
    problems = Problems()
    try:
        return _load(start, asked, only, builtin or rules.builtin_rules_folder(), problems, keep)
    except Enough:
        more = Problem("MB138", f"these are the first {MOST} mistakes, the rest was not looked for", "mend these first")
        raise MegbuildError((*_sorted(problems), more)) from None


def _load(
    start: Path,
    asked: Sequence[str] | None,
    only: Collection[str] | None,
    builtin: Path,
    problems: Problems,
    keep: Keep,
) -> Workspace:
    root = find(start)
    tree = Tree(root)
    problems += _links_outside(tree, builtin)
    settings = workspace.Settings()
    with _collecting(problems):
        settings = workspace.settings(tree, problems)
    own = _own_rules(tree, builtin)
    found = rules.discover(builtin, own, Path(root), problems)
    environments, toolchain_files = _toolchains(builtin, own, found.rules, Path(root), problems)
    options = Options(found.rules)
    formats = frozenset(rule.rule.produces for rule in found.rules)
    own_hardware = Path(root, hardware.OWN) if tree.kind(hardware.OWN) == "file" else None
    devices = hardware.catalogue(builtin / hardware.BUILTIN, own_hardware, options, formats, problems)
    files = Files(tree, problems)
    if only is not None:
        patterns = _patterns(sorted(only))
    else:
        patterns = (
            None if asked is None else _patterns(asked, here(root, start)) if asked else _patterns(settings.default)
        )
    wanted = Wanted(patterns, only)
    reader = Reader(files, Catalogue(options, devices, formats, _wrappers(found.rules)), problems)
    packages: list[str] = []
    models = keep(_models(tree, settings, reader, wanted, packages))
    problems.extend(_nested(models))
    reviewed: tuple[trust.Reviewed, ...] = ()
    with _collecting(problems):
        reviewed = trust.read(Path(root))
    if problems:
        raise MegbuildError(_sorted(problems))
    at_root = [name for name in (SETTINGS, MODELS, hardware.OWN, trust.NAME) if tree.kind(name) == "file"]
    paths = {tree.absolute(path) for path in (*packages, *at_root)}
    return Workspace(
        root=root,
        default=settings.default,
        models=models,
        rules=found.rules,
        hardware=devices,
        toolchains=environments,
        releases=tuple(reader.releases.values()),
        trusted=trust.by_file(reviewed),
        read=tuple(sorted({*paths, *found.read, *toolchain_files, str(builtin / hardware.BUILTIN)})),
        listed=tuple(sorted(map(tree.absolute, tree.listings))),
        code=found.code,
    )


def _links_outside(tree: Tree, builtin: Path) -> Iterator[Problem]:
    """A problem for each thing at the root that decides about the workspace, and is a link that leaves it."""
    for name in (SETTINGS, hardware.OWN, trust.NAME, RULES):
        if tree.kind(name) == "outside" and Path(tree.absolute(name)).resolve() != builtin.resolve():
            hint = "copy what it leads to into the workspace"
            yield Problem("MB110", f"{name} leaves the workspace through a link", hint, Location(name, 1))


class Wanted(Struct, frozen=True):
    """What has to be read: the packages that ``patterns`` mean (all, without), and in them the models ``only`` (all)."""

    patterns: tuple[Pattern, ...] | None = None
    only: Collection[str] | None = None

    def leads(self, folder: str) -> bool:
        """Whether a wanted package lies in a folder or below it."""
        return self.patterns is None or any(pattern.leads(folder) for pattern in self.patterns)

    def model(self, package: str, name: str) -> bool:
        """Whether a model has to be read."""
        covered = self.patterns is None or any(pattern.covers(package) for pattern in self.patterns)
        return covered and (self.only is None or f"//{package}:{name}" in self.only)


def _wrappers(installed: Iterable[InstalledRule]) -> dict[str, list[str]]:
    """By format: those that an artifact of it can be wrapped in."""
    known: dict[str, list[str]] = {}
    for rule in installed:
        for form in rule.rule.sources if rule.rule.embeds else ():
            known.setdefault(form, []).append(rule.rule.produces)
    return known


def _patterns(texts: Sequence[str], folder: str = "") -> tuple[Pattern, ...] | None:
    """The patterns; None when one is malformed, which is told when the labels are selected."""
    try:
        return tuple(Pattern.parse(text, folder) for text in texts)
    except MegbuildError:
        return None


def _own_rules(tree: Tree, builtin: Path) -> Path | None:
    """The workspace's own rules folder, unless it is megbuild's (in megbuild's own repository)."""
    folder = Path(tree.absolute(RULES))
    return folder if tree.kind(RULES) == "folder" and folder.resolve() != builtin.resolve() else None


def _toolchains(
    builtin: Path, own: Path | None, installed: tuple[InstalledRule, ...], root: Path, problems: list[Problem]
) -> tuple[Mapping[str, Toolchain], list[str]]:
    """The toolchains that the rules want, described, and the files that they are made of."""
    known = toolchains.folders(builtin)
    for name, folder in (toolchains.folders(own) if own else {}).items():
        if name in known:
            where = Location((folder / "toolchain.toml").relative_to(root).as_posix())
            problems.append(
                Problem("MB126", f"the toolchain {name} is one of megbuild's own", "give yours another name", where)
            )
        known.setdefault(name, folder)
    problems.extend(rules.unknown_toolchains(installed, known, root))
    wanted = {name for rule in installed for name in (rule.rule.toolchain, rule.rule.run_toolchain)}
    described: dict[str, Toolchain] = {}
    for name in sorted(wanted & known.keys()):
        with _collecting(problems):
            described[name] = toolchains.describe(name, known)
    files = [
        str(path)
        for folder in {known[name] for name in known}
        for path in [folder, *folder.rglob("*")]
        if path.suffix != ".pyc" and path.name != "__pycache__"
    ]
    return MappingProxyType(described), files


def _models(
    tree: Tree, settings: workspace.Settings, reader: Reader, wanted: Wanted, read: list[str]
) -> Iterator[Model]:
    """Every model of the workspace; ``read`` gets the MODELS.toml files that they stand in."""
    inherited = {"": Inherited()}
    for package in workspace.packages(tree, settings.ignore, reader.problems, wanted.leads):
        read.append(package.place.file)
        folder = package.folder
        above = folder
        while above and above not in inherited:
            above = above.rpartition("/")[0]
        declared, inherited[folder] = reader.package(package, inherited[above], wanted.model)
        yield from declared


def _nested(models: Sequence[Model]) -> Iterator[Problem]:
    """A problem for every output whose folder below ``out`` would lie in that of another."""
    packages = {model.package for model in models}
    wanted = {above for model in models for above in _above(model) if _package(above) in packages}
    if not wanted:
        return
    made = {
        f"{folder}/{output.name}": (model, output)
        for model in models
        for folder in [next(_above(model))]
        for output in model.outputs
        if f"{folder}/{output.name}" in wanted
    }
    for model in models:
        for above in (above for above in _above(model) if above in made):
            for output in model.outputs:
                message = f"{label_of(model, output)} would be made in the folder of {label_of(*made[above])}"
                yield Problem("MB121", message, "give one of them another name", output.where)


def _above(model: Model) -> Iterator[str]:
    """The folders that those of a model's outputs lie in, below ``out``."""
    folder = f"{model.package}/{model.name}".lstrip("/")
    while folder:
        yield folder
        folder = folder.rpartition("/")[0]


def _package(folder: str) -> str | None:
    """The package of the output that would be made in a folder; None where there can be none."""
    above, sign, _ = folder.rpartition("/")
    return above.rpartition("/")[0] if sign else None


@contextmanager
def _collecting(problems: list[Problem]) -> Iterator[None]:
    """Note the problems of a part and go on with the rest."""
    try:
        yield
    except MegbuildError as error:
        problems.extend(problem for problem in error.problems if problem not in problems)


def _sorted(problems: list[Problem]) -> tuple[Problem, ...]:
    """By place, each once."""

    def key(problem: Problem) -> tuple[Location, str, str]:
        return (problem.where.located() if problem.where else Location(""), problem.code, problem.message)

    unique = {(key(problem), problem.hint): problem for problem in problems}
    return tuple(problem for _, problem in sorted(unique.items(), key=lambda entry: entry[0]))
