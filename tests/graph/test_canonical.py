"""The canonical form: the same tree, the same bytes on every Python, readable by the oldest that runs it."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from megbuild.graph import canonical
from megbuild.graph.canonical import Unprintable, printed

ROOT = Path(__file__).parents[2]
OURS = sorted(path for room in ("examples", "rules", "megbuild", "tests") for path in (ROOT / room).rglob("*.py"))

EVERYTHING = r'''
"""Doc 'string' "with" quotes \\ and a é tab	and
lines."""
from __future__ import annotations
import a.b as c, d
from . import x
from ..y.z import (p as q, r)
from s import *
x: int = 1; (y): str = "a"; z.w: float; v[0]: int = 2
a = b = c, *d = (1,), ()
a += 1; b **= 2; c //= 3; d @= e; f >>= 1
del a, b[0], (c, d)
global g
assert x, "no"; assert y
raise; raise E; raise E from None
@deco
@deco.rator(1, *a, k=2, **b)
class A(B, C.D, metaclass=M, **kw):
    pass
class Empty: x = 1
async def f(a, b: int = 1, /, c=2, *args: str, d, e=3, **kw: float) -> None:
    await x
    async for i in y:
        yield i
    else: pass
    async with a as b, c: pass
    return [i async for i in z if i]
def g(*, a): nonlocal h; return
def k(a, /): x = yield; y = yield from z; return (yield), 1
while x: break
else: continue
for a, (b, *c) in d, e: pass
with a: pass
with (a, b): pass
with (a, b) as (c, d), e as f[0]: pass
with (yield) as g: pass
with (x := y), z: pass
try: pass
except A: pass
except (A, B.C) as e: pass
except: pass
else: pass
finally: pass
try: pass
finally: pass
if a: pass
elif b: pass
elif c:
    if d: pass
    else: pass
else:
    pass
if a: pass
else:
    if b: pass
    x
lambda: 0; lambda a, b=1, *c, d=2, **e: (a, b); (lambda x: x)(1)
x = a if b else c if d else e; y = (a if b else c) if d else e
a or b and not c; (a or b) and c; not (a and b); a and (b and c); (a and b) and c
a < b <= c != d is not e not in f; (a < b) < c; a < (b < c)
a + b * c ** -d ** e; (a + b) * c; (-a) ** b; -a ** b; ~(not a); - -a; +a; a - (b - c); a @ b
a | b ^ c & d << e >> f // g % h
x[1]; x[1:2]; x[:, ::2, ...]; x[(1, 2)]; x[1,]; x[a:b:c][:][d:]; x[(a:=1)]; x[i, 1:2]; x[*a, b] if 0 else 1
1 .real; 1.5.real; 1j.imag; "a".join(b); (1).x; x.y().z[0].w; (-1).bit_length(); [].a; {}.b; f"{x}".c
1e400; -1e400; 1e400j; 1e-7; 1.0; 0xff; 10**20; 1_000; 0o17; True; None; ...; 1e22; 0.1; 2j; 1e16
{}; {1}; {1: 2, **a, 'b': lambda: 0}; {*a, b}; [*a]; (*a,); (); []; {i for i in j}; {i: j for i, j in k if i if j}
[a for b in c for d in (e if f else g) if (h if i else j)]; (a for b in c); f(a for b in c); f((a for b in c), d)
f(*a, b, *c, k=1, **d); f(a)(b)(c); f(x=(yield)); f((a := 1)); f(lambda: (yield))
print((yield))
'' "x" 'implicit ' "concatenation"; u'kind'; b'by\x00tes\'"'; r'\d'; '\ud800\x7f\x00\r\n\t\\'; "it's"; 'say "x"'; '\u2028\U0001f600'; '\u0378'
f''; f'{x}'; f'{{}}{x!r:>{w}.{p}}{y!s}{z!a}'; f"{x['a']}{y}"; f"it's {d['k']}"; f'{"""a"""}'; f'{x:%Y-%m}'; f'{ {1: 2}[1] }'; f'{(lambda: 1)()}'
f'{f"{x}"}'; f"""{d["a"]} '{d['b']}' {x!r}
next"""; f'{x = }'; f'{x=!s:>3}'; f'{a if b else c}{a, b}{a != b}{(a := 1)}{[i for i in j]}'; 'a' f'{b}' 'c{}'; f'{x:{y}{z}}'; f'{"é"}\n\\{x}'
'''
"""Everything that Python 3.9 has a word for. (It is parsed only.)"""
EVERYTHING = EVERYTHING.replace("x[*a, b] if 0 else 1", "x[(*a, b)]")

NEWER = {
    "type parameters": "def f[T](x: T): pass",
    "of a class": "class A[T]: pass",
    "type": "type A = int",
    "except*": "try: pass\nexcept* E: pass",
    "match": "match x:\n    case 1: pass",
    "backslash": "f'{chr(10).join(x)}{\"\\n\"}'",
    "all quotes": "f'{a[\"it\\'s\"]}'",
}


def same_tree(text: str) -> str:
    tree = ast.parse(text)
    shown = printed(tree)
    assert ast.dump(ast.parse(shown)) == ast.dump(tree), shown
    assert printed(ast.parse(shown)) == shown
    return shown


@pytest.mark.parametrize(
    "statement", [EVERYTHING, *(ast.get_source_segment(EVERYTHING, node) for node in ast.parse(EVERYTHING).body)]
)
def test_everything_keeps_its_tree(statement: str) -> None:
    same_tree(statement)


@pytest.mark.parametrize("path", OURS, ids=lambda path: str(path.relative_to(ROOT)))
def test_our_own_code_keeps_its_tree(path: Path) -> None:
    try:
        same_tree(path.read_text("utf-8"))
    except Unprintable:
        assert path == Path(__file__), "only code that no toolchain runs may be newer than it"


@pytest.mark.parametrize("text", NEWER.values(), ids=NEWER)
def test_what_older_pythons_cannot_read_is_not_printed(text: str) -> None:
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return  # nor by this one
    with pytest.raises(Unprintable):
        printed(tree)


def test_the_layout() -> None:
    """Pinned: a change of one byte makes every model of every user train again."""
    shown = same_tree("def f( a,b = 1 ):\n  '''doc'''\n  return f\"{a['x']!r:>{b}}\" if a+b*2 else (1,)\n")
    assert shown == (
        "def f(a, b=1):\n"
        "    'doc'\n"
        "    return f\"{a['x']!r:>{b}}\" if (a + (b * 2)) else (1,)\n"
    )  # fmt: skip
    assert hashlib.sha256(same_tree(EVERYTHING).encode()).hexdigest() == PINNED


PINNED = "34c54316fe1c9e886a339f8617f7007456d4ca0ef72b2eca222199ea54b82383"


def pythons() -> list[str]:
    """The interpreters of this machine that could run megbuild, and the one that toolchains have."""
    places = [*Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv").glob("versions/3.*/bin/python")]
    found = [str(path) for path in places] + [shutil.which(f"python3.{minor}") or "" for minor in range(9, 15)]
    asked = "import sys; print('%d.%d' % sys.version_info[:2])"
    versions: dict[str, str] = {}
    for python in filter(None, found):
        ran = subprocess.run([python, "-I", "-c", asked], capture_output=True, text=True)
        if ran.returncode == 0 and ran.stdout.strip() in ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14"):
            versions.setdefault(ran.stdout.strip(), python)
    return list(versions.values())


PRINT = """
import importlib.util, json, sys, ast, hashlib
spec = importlib.util.spec_from_file_location("canonical", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print(json.dumps([hashlib.sha256(module.printed(ast.parse(text)).encode()).hexdigest() for text in json.load(sys.stdin)]))
"""
PARSE = "import ast, json, sys; [ast.parse(text) for text in json.load(sys.stdin)]; print('[]')"


def test_every_python_prints_the_same_and_the_toolchains_python_reads_it() -> None:
    texts = [EVERYTHING, *(path.read_text("utf-8") for path in OURS if path != Path(__file__))]
    shown = [printed(ast.parse(text)) for text in texts]
    mine = [hashlib.sha256(text.encode()).hexdigest() for text in shown]
    for python in pythons():
        old = subprocess.run([python, "-c", "import sys; sys.exit(sys.version_info < (3, 10))"]).returncode
        command = [python, "-I", "-W", "ignore", "-c", *((PARSE,) if old else (PRINT, canonical.__file__))]
        ran = subprocess.run(command, input=json.dumps(shown if old else texts), capture_output=True, text=True)
        assert ran.returncode == 0, (python, ran.stderr)
        assert json.loads(ran.stdout) == ([] if old else mine), python
