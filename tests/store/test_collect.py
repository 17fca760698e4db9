"""What may be removed from a cache, and what may not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megbuild.errors import MegbuildError
from megbuild.store import collect, roots
from megbuild.store.collect import Item, choose

CONTENTS = [f"c{number}" for number in range(8)]
ITEMS = st.lists(
    st.builds(
        Item,
        st.just("record"),
        st.integers(0, 10**9).map(lambda number: f"k{number}"),
        st.integers(1, 100),
        st.floats(0, 100),
        st.booleans(),
        st.lists(st.sampled_from([*CONTENTS, "lost"]), unique=True, max_size=4).map(tuple),
    ),
    max_size=12,
    unique_by=lambda item: item.name,
)
STORED = st.lists(
    st.builds(
        Item, st.just("content"), st.sampled_from(CONTENTS), st.integers(1, 100), st.floats(0, 100), st.booleans()
    ),
    unique_by=lambda item: item.name,
)


@given(ITEMS, STORED, st.floats(-1, 101), st.none() | st.integers(0, 1500))
def test_what_is_chosen(records: list[Item], contents: list[Item], since: float, most: int | None) -> None:
    there = [*records, *contents]
    doomed = choose(there, since, most)
    gone, stay = set(doomed.items), [item for item in there if item not in set(doomed.items)]
    assert len(gone) == len(doomed.items), "nothing is removed twice"
    assert not any(item.needed for item in gone)
    referred = {name for item in stay for name in item.contents}
    assert not {item.name for item in gone if item.kind == "content"} & referred, "what stays is whole"
    assert doomed.freed == sum(item.size for item in gone)
    assert doomed.stays == sum(item.size for item in stay)
    removable = [item for item in stay if not item.needed and not (item.kind == "content" and item.name in referred)]
    assert all(item.used > since for item in removable if item.kind == "record")
    if most is not None and doomed.stays > most:
        assert not [item for item in removable if item.kind == "record"], "all that can go has gone"
    if most is None:
        assert all(item.used <= since for item in gone if item.kind == "record")


def test_the_longest_unused_goes_first() -> None:
    old, new = (Item("record", name, 10, used) for name, used in (("old", 1.0), ("new", 2.0)))
    assert choose([new, old], float("-inf"), 10).items == (old,)
    assert choose([new, old], float("-inf"), 20).items == ()


def test_bundles_and_locks_keep_what_they_name(tmp_path: Path) -> None:
    cache, root = tmp_path / "cache", tmp_path / "ws"
    root.mkdir()
    (root / "MODELS.lock").write_text(f"# a lock\ndata a sha256:{'a' * 64}\n")
    (tmp_path / "b.tar.zst").write_text("")
    roots.register(cache, root)
    roots.register(cache, root)
    roots.register(cache, tmp_path / "gone")
    roots.register_bundle(cache, tmp_path / "b.tar.zst", {"//a:m#tm": "b" * 64})
    roots.register_bundle(cache, tmp_path / "removed.tar.zst", {"//a:m#tm": "c" * 64})
    needed = collect.needed(cache)
    assert needed.keys == {"b" * 64}
    assert needed.digests == {"a" * 64}
    assert len(list((cache / "workspaces").iterdir())) == 2


def test_a_workspace_whose_state_is_damaged_is_asked_for_first(tmp_path: Path) -> None:
    (tmp_path / ".megbuild").mkdir()
    (tmp_path / ".megbuild/state").write_bytes(b"megbuild state 2\nrubbish and more rubbish")
    roots.register(tmp_path / "cache", tmp_path)
    with pytest.raises(MegbuildError, match="MB613"):
        collect.needed(tmp_path / "cache")


def test_a_damaged_note_of_a_workspace_is_none(tmp_path: Path) -> None:
    roots.register(tmp_path, tmp_path)
    (tmp_path / "workspaces/x").write_text(json.dumps({"path": 3}))
    assert list(roots.workspaces(tmp_path)) == [tmp_path]
