"""The verdict as a step of the core: digests in, ``verdict.json`` out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict

from megbuild.errors import FAILED, fail
from megbuild.graph.actions import Action, Outputs
from megbuild.store.content import ContentStore
from megbuild.store.digests import Digest
from megbuild.verify.judge import judge

_MALFORMED = (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError, OverflowError)
MEASURES = "in/measures.json"


def verdict(action: Action, staged: Mapping[str, Digest], content: ContentStore) -> Outputs:
    """Judge the measures that would be staged for ``action``; the answer is one small file in the store."""
    size = sum(digest.size for path, digest in staged.items() if path.startswith("in/artifact/"))
    try:
        measures = json.loads(content.read(staged[MEASURES])) if MEASURES in staged else None
        if MEASURES in staged and not isinstance(measures, dict):  # null would look as if nothing had measured
            raise TypeError
        answer = judge(measures, action.options, size)
        text = json.dumps(asdict(answer), indent=1, sort_keys=True) + "\n"
    except _MALFORMED:  # code that ran beside the measuring can have written anything there
        hint = "the runtime of this format does not do what it should: see the log of the step before"
        raise fail("MB149", f"{action.id}: its measures are not what measuring writes", hint, status=FAILED) from None
    return {"verdict.json": content.put_bytes(text.encode())}
