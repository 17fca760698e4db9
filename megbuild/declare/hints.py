"""The sentence that mends a misspelt name, and how a user's own words are quoted in a message."""

from __future__ import annotations

import json
from collections.abc import Iterable


def closest(word: str, known: Iterable[str]) -> str:
    """The known word that ``word`` was most likely meant to be, or nothing."""
    import difflib

    words = sorted(known)
    plain = {_plain(entry): entry for entry in reversed(words)}
    if _plain(word) in plain:
        return plain[_plain(word)]
    near = difflib.get_close_matches(word[:100], words, 1, 0.6)
    return near[0] if near else ""


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """``did you mean "..."?``; when nothing is near, ``otherwise`` or the known words where they are few."""
    words = sorted(known)
    near = closest(word, words)
    if near and near != word:
        return f'did you mean "{near}"?'
    return otherwise or one_of(words)


def one_of(words: Iterable[str]) -> str:
    """``use one of ...``, shortened where the list is long; nothing for no words."""
    listed = sorted(words)
    if not listed:
        return ""
    return "use one of " + ", ".join(listed[:16]) + (", ..." if len(listed) > 16 else "")


def quoted(text: str) -> str:
    """A user's text within a message: in quotes, on one line, not endless."""
    shown = text if len(text) <= 80 else text[:77] + "..."
    return json.dumps(shown, ensure_ascii=not shown.isprintable())


def _plain(word: str) -> str:
    return word.lower().replace("-", "").replace("_", "").replace(".", "").replace(" ", "")
