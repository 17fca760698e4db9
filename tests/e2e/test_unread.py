"""Declared inputs that nobody reads, as ``doit why --unread`` tells of them."""

from __future__ import annotations

import shutil

from .workspace import Workspace

DATA = 'data    = ["factor.txt"]'


def place_of(space: Workspace, text: str) -> str:
    """Where a text of MODELS.toml stands, as a problem shows it."""
    for number, line in enumerate(space.read("MODELS.toml").splitlines(), 1):
        if text in line:
            return f"MODELS.toml:{number}:{line.index(text) + 1}"
    raise AssertionError(text)


def test_inputs_that_are_never_read_are_told_with_their_place(small: Workspace) -> None:
    """By what the training and the tracing really open, in the box, forked from a warm zygote."""
    for path in ("classes.txt", "looked.txt", "tables/a.csv", "tables/b.csv", "pairs/a.txt", "pairs/b.txt", "old.py"):
        small.write(path, "3\n")
    small.edit("MODELS.toml", DATA, 'data = ["factor.txt", "classes.txt", "looked.txt", "tables", "pairs/*.txt"]')
    small.edit(
        "scale.py",
        "def train(weights):\n",
        "def train(weights):\n    import os\n    os.stat('looked.txt'), os.listdir('tables'), open('pairs/a.txt').read()\n"
        "    if weights is None:\n        import old\n",
    )
    assert small.build().status == 0
    said = small.doit("why", "--unread", "//:scale")
    assert said.status == 1, said.text
    found = [line for line in said.lines if not line.startswith("  hint: ")]
    assert found == [
        f'{place_of(small, chr(34) + "classes.txt")}: data "classes.txt" of //:scale: it is never read [MB416]',
        f'{place_of(small, chr(34) + "looked.txt")}: data "looked.txt" of //:scale: it is never read [MB416]',
        f'{place_of(small, chr(34) + "tables")}: data "tables" of //:scale: none of its 2 files is ever read [MB416]',
        f"{place_of(small, 'train ')}: old.py, which the code of //:scale imports, is never read [MB416]",
    ]
    assert "  hint: leave it out: a change of it builds //:scale again for nothing" in said.lines

    small.edit("MODELS.toml", '"factor.txt", "classes.txt", "looked.txt", "tables", ', '"factor.txt", ')
    waiting = small.doit("why", "//:scale", "--unread")
    assert waiting.status == 1
    assert "what //:scale#weights reads is not known: it is not up to date [MB417]" in waiting.lines
    small.edit("scale.py", "os.stat('looked.txt'), os.listdir('tables'), ", "")
    small.edit("scale.py", "        import old\n", "        pass\n")
    assert small.build().status == 0
    mended = small.doit("why", "--unread", "//:scale")
    assert (mended.status, mended.lines) == (0, ("every declared input of 1 model is read",))


def test_what_comes_from_the_store_is_known_too(small: Workspace) -> None:
    """The note stands beside the result. A calibration that no output takes is told as well."""
    small.write("classes.txt", "cat\n")
    small.edit("MODELS.toml", DATA, f'{DATA[:-1]}, "classes.txt"]\ncalibration = "samples/*.npy"')
    assert small.build().status == 0
    first = small.doit("why", "--unread")
    assert [line.rpartition(": ")[2] for line in first.lines if not line.startswith("  ")] == [
        "it is never read [MB416]",
        "no output of it needs this [MB416]",
    ]
    shutil.rmtree(small.root / ".megbuild")
    shutil.rmtree(small.root / "out")
    again = small.build()
    assert (again.status, again.ran) == (0, {}) and again.restored
    assert small.doit("why", "--unread").lines == first.lines


def test_an_example_reads_all_that_it_declares(monorepo: Workspace) -> None:
    """Models that share code and data, delivered files, samples with labels, a calibration."""
    said = monorepo.doit("why", "--unread", "//...")
    assert (said.status, said.errors) == (0, ()), said.text
    monorepo.write("speech/notes.csv", "1\n")
    monorepo.edit("speech/MODELS.toml", 'data    = ["voice.csv"]', 'data    = ["voice.csv", "notes.csv"]')
    assert monorepo.build().status == 0
    said = monorepo.doit("why", "--unread", "//...")
    line, _ = said.lines
    assert line.startswith("speech/MODELS.toml:11:25: data ") and line.endswith(
        '"notes.csv" of //speech:voice: it is never read [MB416]'
    )
