"""Labels name models and outputs; patterns select them.

``//vision:resnet18@rk3588`` is package, model, output. A label is a doit task name as it stands: ``//vision`` is the
group, ``resnet18@rk3588`` the subtask. A pattern leaves parts out or ends a folder with ``...`` for all that is below;
without ``//`` it is relative to the folder that the user stands in.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from megbuild.errors import MegbuildError, Problem, Where

if TYPE_CHECKING:
    from megbuild.declare.models import Model, Output

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,99}")
NAME_RULE = "names are made of at most 100 letters, digits, _, - and ., and start with a letter, a digit or _"


class Label(Struct, frozen=True, order=True):
    """The name of an output, or of a model when ``output`` is empty. The root package is the empty string."""

    package: str
    model: str
    output: str = ""

    def __str__(self) -> str:
        return f"//{self.package}:{self.model}" + (f"@{self.output}" if self.output else "")

    @staticmethod
    def parse(text: str) -> Label:
        """The label that is written ``text``, in full."""
        pattern = Pattern.parse(text)
        if pattern.below or not pattern.model or not text.startswith("//"):
            raise MegbuildError((_malformed(text, "is not a full label", None),))
        return Label(pattern.package, pattern.model, pattern.output)


class Pattern(Struct, frozen=True):
    """Which labels are meant: those of a package, or of everything ``below`` it; an empty part means any."""

    package: str
    below: bool = False
    model: str = ""
    output: str = ""

    def __str__(self) -> str:
        folder = f"//{self.package}" + (("/..." if self.package else "...") if self.below else "")
        return folder + (f":{self.model}" if self.model else "") + (f"@{self.output}" if self.output else "")

    def matches(self, label: Label) -> bool:
        """Whether ``label``, of an output or of a model, is meant."""
        return self.covers(label.package) and self.model in ("", label.model) and self.output in ("", label.output)

    def covers(self, package: str) -> bool:
        """Whether models of ``package`` can be meant."""
        if package == self.package:
            return True
        return self.below and (not self.package or package.startswith(self.package + "/"))

    def leads(self, folder: str) -> bool:
        """Whether packages that can be meant lie in a folder or below it."""
        return self.covers(folder) or not folder or self.package.startswith(folder + "/")

    @staticmethod
    def parse(text: str, here: str = "", where: Where | None = None) -> Pattern:
        """The pattern that is written ``text`` by someone who stands in the package folder ``here``."""
        rest, at, output = text.partition("@")
        folder, colon, model = rest.partition(":")
        for sign, name, what in ((at, output, "output"), (colon, model, "model")):
            if sign and not NAME.fullmatch(name):
                reason = f"has no {what} after its {sign}" if not name else f"has a bad name for its {what}"
                raise MegbuildError((_malformed(text, reason, where),))
        if not text:
            raise MegbuildError((_malformed(text, "is empty", where),))
        absolute = folder.startswith("//")
        parts = [part for part in (folder[2:] if absolute else folder).split("/") if part not in ("", ".")]
        if not absolute and folder.startswith("/"):
            raise MegbuildError((_malformed(text, "is a path of the machine", where),))
        below = bool(parts) and parts[-1] == "..."
        steps = parts[:-1] if below else parts
        package = [] if absolute or not here else here.split("/")
        for step in steps:
            if step == ".." and package and not absolute:
                package.pop()
            elif step == "..":
                raise MegbuildError((_malformed(text, "leaves the workspace", where),))
            elif NAME.fullmatch(step):
                package.append(step)
            else:
                raise MegbuildError((_malformed(text, "has a bad name for its folder", where),))
        return Pattern("/".join(package), below, model, output)


Selected = tuple["Model", "Output"]


def label_of(model: Model, output: Output | None = None) -> Label:
    """The label of a model, or of one of its outputs."""
    return Label(model.package, model.name, output.name if output else "")


class Selection(Sequence[Selected]):
    """Outputs with their models, by where they stand in ``models``: it holds none of them."""

    def __init__(self, models: Sequence[Model]) -> None:
        self._models = models
        self._places, self._outputs = array("l"), array("l")

    def append(self, model: int, output: int) -> None:
        """Add an output, by the numbers of the model among all and of the output in it."""
        self._places.append(model)
        self._outputs.append(output)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, place: int) -> Selected:  # type: ignore[override]
        model = self._models[self._places[place]]
        return model, model.outputs[self._outputs[place]]


def select(
    patterns: Iterable[str], models: Sequence[Model], here: str = "", where: Where | None = None
) -> Sequence[Selected]:
    """The outputs that the patterns mean, each once, in the order of their declaration.

    A pattern that is malformed or means nothing is an error; all such are reported together.
    """
    parsed: dict[str, Pattern | MegbuildError] = {}
    for text in patterns:
        try:
            parsed[text] = Pattern.parse(text, here, where)
        except MegbuildError as error:
            parsed[text] = error
    sound = [pattern for pattern in parsed.values() if isinstance(pattern, Pattern)]
    selection, meant = Selection(models), set[Pattern]()
    for number, model in enumerate(models):
        near = [p for p in sound if p.covers(model.package) and p.model in ("", model.name)]
        for at, output in enumerate(model.outputs if near else ()):
            if hits := [pattern for pattern in near if pattern.output in ("", output.name)]:
                meant.update(hits)
                selection.append(number, at)
    problems: list[Problem] = []
    for text, pattern in parsed.items():
        if isinstance(pattern, MegbuildError):
            problems.extend(pattern.problems)
        elif pattern not in meant:
            problems.append(_nothing(text, pattern, models, where))
    if problems:
        raise MegbuildError(tuple(problems))
    return selection


def _malformed(text: str, reason: str, where: Where | None) -> Problem:
    from megbuild.declare.hints import quoted

    hint = "write //package:model@output, //package:model, //package or //package/..."
    return Problem(
        "MB122", f"label {quoted(text)} {reason}", f"{hint}; {NAME_RULE}" if "bad name" in reason else hint, where
    )


def _nothing(text: str, pattern: Pattern, models: Sequence[Model], where: Where | None) -> Problem:
    """The problem of a pattern that means no output, with the nearest one that would."""
    from megbuild.declare.hints import closest, one_of

    def problem(message: str, hint: str) -> Problem:
        return Problem("MB123", f"{text}: {message}", hint, where)

    inside = [model for model in models if pattern.covers(model.package)]
    if not models:
        return problem("no model is declared in this workspace", "declare one in a MODELS.toml")
    if not inside:
        message = f"no model is declared in {Pattern(pattern.package, pattern.below)}"
        colon = next(
            (model.name for model in models if str(pattern) == f"//{model.package}/{model.name}".replace("///", "//")),
            "",
        )
        if colon:
            return problem(message, f"a model is written after a colon: :{colon}")
        packages = {model.package for model in models}
        near = closest(pattern.package, packages - {""})
        meant = Pattern(near, pattern.below, pattern.model, pattern.output)
        return problem(message, f"did you mean {meant}?" if near else "see what there is: doit list")
    same = [model for model in inside if pattern.model in ("", model.name)]
    if not same:
        message = f"no model is named {pattern.model} in {Pattern(pattern.package, pattern.below)}"
        for candidates in (inside, models):
            packages_of = {model.name: model.package for model in candidates}
            if near := closest(pattern.model, packages_of):
                return problem(message, f"did you mean {Pattern(packages_of[near], False, near, pattern.output)}?")
        return problem(message, one_of(model.name for model in inside))
    outputs = {output.name for model in same for output in model.outputs}
    message = f"no output is named {pattern.output} in {Pattern(pattern.package, pattern.below, pattern.model)}"
    near = closest(pattern.output, outputs)
    meant = Pattern(pattern.package, pattern.below, pattern.model, near)
    return problem(message, f"did you mean {meant}?" if near else one_of(outputs))
