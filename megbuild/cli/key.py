"""``doit key new FILE``: a pair of keys to sign releases with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from megbuild.cli.command import Command
from megbuild.errors import fail


class Key(Command):
    """The command plug-in."""

    name = "key"
    doc_purpose = "make a pair of keys to sign releases with"
    doc_usage = "new FILE [--model-signing]"
    doc_description = "FILE gets the private key, for your eyes only; FILE.pub the public one, for those who verify."

    cmd_options = (
        {
            "name": "model_signing",
            "short": "",
            "long": "model-signing",
            "type": bool,
            "default": False,
            "help": "a key for `doit release --model-signing`, which takes another kind",
        },
    )

    def execute(self, params: dict[str, Any], words: list[str]) -> int:
        """Called by doit with the parsed command line; the exit status."""
        from megbuild.cli.guard import guarded

        return guarded(lambda: _new(words, bool(params["model_signing"])))


def _new(words: list[str], elliptic: bool) -> int:
    from megbuild.release.sign import new_key

    if len(words) != 2 or words[0] != "new":
        raise fail("MB401", "doit key makes a new key in a file", "doit key new FILE")
    public = new_key(Path(words[1]), elliptic=elliptic)
    print(f"private key: {words[1]}; keep it secret\npublic key:  {public}; give it to those who receive releases")
    return 0
