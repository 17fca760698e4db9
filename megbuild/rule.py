"""What a rule module imports: an edge of the conversion graph, described and nothing more.

A rule says how one format is made from another. Its folder holds ``rule.py`` (this description), ``worker.py``
(the code that runs inside the toolchain) and, where it needs its own, ``toolchain.toml`` with its lock.
``rules/README.md`` shows how to write one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from msgspec import Struct

Scalar = str | int | float | bool
_NONE: Mapping[str, Any] = MappingProxyType({})


class Option(Struct, frozen=True):
    """One option of a rule: its default, whose type is the option's type, and the values it may take.

    ``choices`` lists the values, ``range`` gives inclusive bounds of a number, ``help`` is one sentence for the docs.
    """

    default: Scalar
    choices: tuple[Scalar, ...] = ()
    range: tuple[float, float] | None = None
    help: str = ""

    def complaint(self, value: object) -> str | None:
        """Why ``value`` cannot be taken, or None when it can."""
        wanted = type(self.default)
        if type(value) is not wanted and not (wanted is float and type(value) is int):
            return f"must be a {_WORDS[wanted]}, not a {_WORDS.get(type(value), type(value).__name__)}"
        if self.choices and value not in self.choices:
            return "must be one of " + ", ".join(map(str, self.choices))
        if self.range and not self.range[0] <= value <= self.range[1]:  # type: ignore[operator]
            return f"must be between {self.range[0]:g} and {self.range[1]:g}"
        return None


_WORDS: dict[type, str] = {
    str: "string",
    int: "whole number",
    float: "number",
    bool: "boolean",
    list: "list",
    dict: "table",
}


def _needs_nothing(options: Any) -> tuple[str, ...]:
    return ()


def _refuses_nothing(options: Any) -> str:
    return ""


class Rule(Struct, frozen=True):
    """An edge ``consumes -> produces`` of the conversion graph.

    consumes, produces
        formats; several consumed formats mean "any one of them", where both lead as far the first. ``training`` and ``source`` are the starts that are
        training code. A rule that consumes just what it produces refines that format (``refines``): no road needs it, and it is put in behind the step that
        makes the format where an output sets one of its options that no other step of the road has.
    files
        suffixes of the files that make up the artifact, the main one first: ``(".prototxt", ".caffemodel")``.
    toolchain
        the environment its worker runs in: a folder of ``rules/toolchains`` or the rule's own folder.
    options
        what a user may set on an output (or a hardware preset may); names are shared along a road.
    needs
        what else the worker reads, by the options: ``"calibration"`` (the model's calibration samples), ``"golden"`` (its first samples with what the reference gives for
        them: the inputs and then the results as .npy, in the declared order) or a format
        that the model can make beside the road (``"weights"``).
    refuses
        why these options do not go together, in a few words, or "": told before anything runs.
    requires
        options asked of the step that makes the consumed format: ``{"onnx": {"opset": 12}}``.
    run_toolchain
        the environment its worker's ``run`` needs; the rule's own toolchain when empty.
    runs_on
        the runtimes that ``run`` drives, as shown to the user: ``("Lite Python",)``. Empty: it cannot run here.
    worker
        the file of the rule's folder that holds the worker's functions.
    function
        the worker function that makes the artifact: ``build``, or ``train`` for the rule that makes weights.
    notes
        files that the worker writes for megbuild beside the artifact; they are not delivered, and no step below reads
        them. ``operations.json`` lists where each operation of a network comes from.
    embeds
        it wraps a finished artifact in another format; taken only where an output says ``embed = "..."``.
    secrets
        options that name a key: a file, or ``env:VARIABLE``. The worker gets the key by ``job.secret``, and a commitment
        to it as the option's value; the key itself is no part of an action, a log or a record.
    direct
        a road that skips the recommended one; taken only where an output says ``direct = true``.
    runs_from_inputs
        ``run`` needs what ``build`` read as well, because the vendor's simulator works on the model in memory.
    device
        something that the machine has one of and that its worker needs for itself, such as a board or a licence:
        actions that name the same one run one after another.
    version
        raised when the results of the rule change for a reason that its files do not show.
    """

    consumes: str | tuple[str, ...]
    produces: str
    files: tuple[str, ...]
    toolchain: str
    options: Mapping[str, Option] = _NONE
    needs: Callable[[Any], tuple[str, ...]] = _needs_nothing
    refuses: Callable[[Any], str] = _refuses_nothing
    requires: Mapping[str, Mapping[str, Scalar]] = _NONE
    run_toolchain: str = ""
    runs_on: tuple[str, ...] = ()
    worker: str = "worker.py"
    function: str = "build"
    notes: tuple[str, ...] = ()
    embeds: bool = False
    secrets: tuple[str, ...] = ()
    direct: bool = False
    runs_from_inputs: bool = False
    device: str = ""
    version: int = 1

    @property
    def sources(self) -> tuple[str, ...]:
        """The consumed formats as a tuple."""
        return (self.consumes,) if isinstance(self.consumes, str) else self.consumes

    @property
    def refines(self) -> bool:
        """Whether it makes a format from itself, such as int8 from float."""
        return self.sources == (self.produces,)
