"""Why an action must run, as a value: ``why``, the plan, the progress line and the report all render the same object."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

_ORDER = ("file", "option", "declared", "from", "code", "toolchain", "sdk", "environment", "request")
"""What a user changed comes before what follows from it."""

SEEN = "seen"
"""Components of this kind are the bytes as written; they are told to the user and decide nothing."""


class Reason(Struct, frozen=True):
    """One thing that differs: what it is, what it was at the last build, what it is now ('' is absent)."""

    what: str
    was: str = ""
    now: str = ""

    def __str__(self) -> str:
        kind, _, name = self.what.partition(":")
        if kind in _FIXED:
            return _FIXED[kind].format(name=name)
        if kind in ("option", "sdk"):
            return f"{name} {self.was or 'unset'} -> {self.now or 'unset'}"
        subject = _SUBJECT[kind].format(name=name)
        verb = "changed" if bool(self.was) == bool(self.now) else "removed" if self.was else "added"
        return f"{subject} {verb}"


_FIXED = {
    "never": "never built",
    "edited": "{name} was edited by hand",
    "deleted": "{name} was deleted",
    "failed": "the last attempt failed",
    "needed": "its result is no longer in the store and {name} needs it",
    "waits": "{name} must run first",
    "cosmetic": "{name} changed (comments or formatting only)",
}
_SUBJECT = {
    "file": "{name}",
    "declared": "the declaration of {name}",
    "from": "{name}",
    "code": "code {name}",
    "toolchain": "toolchain {name}",
    "environment": "environment variable {name}",
    "request": "the request",
}

NEVER = Reason("never")


def differences(was: Mapping[str, str], now: Mapping[str, str]) -> tuple[Reason, ...]:
    """Every component that differs between two executions of an action, the user's own changes first."""
    changed = [name for name in was.keys() | now.keys() if was.get(name) != now.get(name) and not name.startswith(SEEN)]
    if any(not name.startswith("request:") for name in changed):  # it follows from what has a name of its own
        changed = [name for name in changed if not name.startswith("request:")]
    changed.sort(key=lambda name: (_ORDER.index(name.partition(":")[0]), name))
    return tuple(Reason(name, was.get(name, ""), now.get(name, "")) for name in changed)


def cosmetic(was: Mapping[str, str], now: Mapping[str, str]) -> tuple[Reason, ...]:
    """The files whose bytes changed while what they mean did not."""
    names = sorted(
        name.partition(":")[2] for name in now if name.startswith(SEEN) and name in was and was[name] != now[name]
    )
    return tuple(Reason(f"cosmetic:{name}") for name in names if was.get(f"file:{name}") == now.get(f"file:{name}"))
