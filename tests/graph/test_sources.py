"""Training code by meaning: what is staged, in which form, and how its lines are found again."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from megbuild.errors import MegbuildError
from megbuild.graph.sources import SourceFile, canonical, closure, written_line


def read(files: Mapping[str, str], entry: str, *, meaning: bool = True) -> dict[str, SourceFile]:
    clean = {name: dedent(text).lstrip("\n") for name, text in files.items()}
    return {file.path: file for file in closure(entry, clean.__contains__, clean.get, meaning=meaning)}


def shown(text: str) -> str:
    text = dedent(text).lstrip("\n")
    return canonical(ast.parse(text), text)


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("import a.b as c", {"a/__init__.py", "a/b.py"}),
        ("import a", {"a/__init__.py"}),
        ("from a import b", {"a/__init__.py", "a/b.py"}),
        ("from a.b import name", {"a/__init__.py", "a/b.py"}),
        ("from a import *", {"a/__init__.py"}),
        ("import space.inner", {"space/inner.py"}),
        ("from space import inner", {"space/inner.py"}),
        ("import beside", {"code/beside.py"}),
        ("import top", {"top.py"}),
        ("def f():\n    if x:\n        import top", {"top.py"}),
        ("import numpy, sys", set()),
        ("from . import beside", {"code/beside.py"}),
        ("from .. import top", {"top.py"}),
        ("from ..a.b import name", {"a/__init__.py", "a/b.py"}),
        ("from .beside import *", {"code/beside.py"}),
    ],
)
def test_what_an_import_brings(statement: str, found: set[str]) -> None:
    files = {
        "code/main.py": statement,
        "a/__init__.py": "",
        "a/b.py": "",
        "space/inner.py": "",
        "code/beside.py": "",
        "top.py": "",
        "beside.py": "",
    }
    assert set(read(files, "code/main.py")) == {"code/main.py", *found}


def test_imports_in_a_circle() -> None:
    files = {"a.py": "import b", "b.py": "import c", "c.py": "import a, c"}
    assert list(read(files, "a.py")) == ["a.py", "b.py", "c.py"]


def test_a_star_import_brings_the_modules_that_a_package_exports() -> None:
    files = {
        "main.py": "from nets import *",
        "nets/__init__.py": '__all__ = ["small"]\n__all__ += ["large", "MISSING"]\nother = ["unlisted"]',
        "nets/small.py": "import common",
        "nets/large.py": "",
        "nets/unlisted.py": "",
        "common.py": "",
    }
    assert set(read(files, "main.py")) == set(files) - {"nets/unlisted.py"}


def test_comments_formatting_and_type_comments_do_not_count() -> None:
    plain = shown("def f(a, b=(1, 2)):\n    x = {'k': a + b * 2}\n    return x")
    same = """
        # a comment

        def f(
            a,  # type: int
            b=( 1, 2, ),
        ):
            x = {"k": (a + (b * 2))}  # type: dict


            return (x)
    """
    assert shown(same) == plain


@pytest.mark.parametrize("change", ["a + (b + c)", "a - b", '"doc"', "a if b else c", "f'{a!r}'", "b'a'", "u'a'"])
def test_meaning_does_count(change: str) -> None:
    assert shown(f"x = {change}") != shown("x = a + b + c")


def test_a_docstring_counts() -> None:
    """Code can read it."""
    assert shown('def f():\n    "one"') != shown('def f():\n    "two"')


def test_bytes_are_staged_as_they_are() -> None:
    text = "x = 1  # kept\r\n"
    assert read({"a.py": text}, "a.py", meaning=False)["a.py"].text == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = (\n", "a.py:1:5: not valid Python"),
        ("\n\nx ==== 1\n", "a.py:3:5: not valid Python"),
        ("x = '\0'", "a.py"),
        ("print 1", "a.py:1:1: not valid Python"),
    ],
)
def test_what_does_not_parse_is_told_at_its_place(text: str, said: str) -> None:
    with pytest.raises(MegbuildError, match="MB210") as error:
        closure("a.py", {"a.py"}.__contains__, {"a.py": text}.get)
    assert str(error.value).startswith(said)


def test_expressions_that_are_nested_too_deeply_are_no_crash() -> None:
    deep = "x = " + " + ".join(["1"] * 700) + "  # a comment"
    assert read({"a.py": deep}, "a.py")["a.py"].text.startswith("x = ")
    with pytest.raises(MegbuildError, match="MB210"):
        read({"a.py": "x = " + "(" * 5000 + ")" * 5000}, "a.py")


def test_a_byte_order_mark_is_no_error() -> None:
    assert read({"a.py": "\ufeffx = 1  # one"}, "a.py")["a.py"].text == "x = 1\n"
    assert written_line("\ufeff# one\nx = 1", 1) == 2


def test_a_file_that_declares_another_encoding_is_staged_as_it_is() -> None:
    """Its comment says how the bytes are read; without it, they would mean something else."""
    text = "# coding: latin-1\nx = 'é'\n"
    assert read({"a.py": text}, "a.py")["a.py"].text == text
    assert read({"a.py": "# coding: utf-8\nx = 'é'\n"}, "a.py")["a.py"].text == "x = 'é'\n"
    assert read({"a.py": "# coding: no-such\nx = 1\n"}, "a.py")["a.py"].text.startswith("# coding")


WRITTEN = '''
# A comment
import os


@decorator(
    1,
)
def build(path):
    """Doc
    string."""
    # another
    values = [
        1,
        2,
    ]
    if path:

        return f"{values[0]!r:>{len(path)}}"
    elif values:
        raise ValueError(
            "broken"
        )
    return values
'''.lstrip("\n")


@pytest.mark.parametrize(
    "words",
    ["import os", "def build", "values = [", "if path", 'return f"', "elif", "raise ValueError", "return values"],
)
def test_lines_are_found_again(words: str) -> None:
    """For every statement: the line of the canonical form that it became is mapped back to where it began."""
    staged = canonical(ast.parse(WRITTEN), WRITTEN)
    assert staged != WRITTEN
    begins = [number for number, line in enumerate(WRITTEN.splitlines(), 1) if words in line]
    lines = {written_line(WRITTEN, number) for number in range(1, len(staged.splitlines()) + 1)}
    assert begins[0] in lines


def test_a_line_of_a_traceback_is_found_again(tmp_path: Path) -> None:
    """As it happens: the staged form runs, and the line that it fails on is the user's."""
    staged = canonical(ast.parse(WRITTEN), WRITTEN)
    names: dict[str, object] = {"decorator": lambda number: lambda function: function}
    exec(compile(staged, "staged.py", "exec"), names)
    with pytest.raises(ValueError, match="broken") as error:
        names["build"]("")  # type: ignore[operator]
    assert (
        written_line(WRITTEN, error.traceback[-1].lineno + 1)
        == WRITTEN.splitlines().index("        raise ValueError(") + 1
    )


def test_a_file_staged_as_it_is_keeps_its_lines() -> None:
    text = "# coding: latin-1\n\nx = 1\n"
    assert written_line(text, 3) == 3


def test_a_module_that_many_import_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cold build of many models is mostly waiting for this otherwise."""
    files = {f"m{number}.py": f"import shared\nX = {number}\n" for number in range(5)}
    files["shared.py"] = "def all_need_this():\n    return 'parsed once'\n"
    parsed: list[str] = []
    parse = ast.parse
    monkeypatch.setattr(ast, "parse", lambda text: parsed.append(text) or parse(text))  # type: ignore[func-returns-value]
    texts = {read(files, f"m{number}.py")["shared.py"].text for number in range(5)}
    assert len(texts) == 1
    assert sum("all_need_this" in text for text in parsed) == 3  # for its imports, its canonical form, and the proof


def test_imports_are_found_in_every_kind_of_block() -> None:
    text = """
def f():
    class C:
        async def g(self):
            with x:
                for y in z:
                    import a
                else:
                    import b
            try:
                import c
            except E:
                import d
            else:
                import e
            finally:
                while 1:
                    if x:
                        pass
                    elif y:
                        import f
"""
    files = {"m.py": text, **{f"{name}.py": "" for name in "abcdef"}}
    assert set(read(files, "m.py")) == set(files)
