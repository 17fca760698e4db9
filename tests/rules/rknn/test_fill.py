"""The library that fills memory, preloaded into a Python that looks at memory it did not write."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from megbuild.declare.rules import builtin_rules_folder
from megbuild.declare.toolchains import describe, folders
from megbuild.execute.toolchains import provision
from megbuild.store.places import cache_folder

PRELUDE = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
for name in ("malloc", "calloc", "realloc", "reallocarray", "memalign", "aligned_alloc", "valloc"):
    getattr(libc, name).restype = ctypes.c_void_p
size, pointer = ctypes.c_size_t, ctypes.c_void_p
libc.malloc.argtypes = libc.valloc.argtypes = [size]
libc.calloc.argtypes = libc.memalign.argtypes = libc.aligned_alloc.argtypes = [size, size]
libc.realloc.argtypes, libc.reallocarray.argtypes = [pointer, size], [pointer, size, size]
libc.free.argtypes = [pointer]
def bytes_at(address, count): return set(ctypes.string_at(address, count))
"""


@pytest.fixture(scope="module")
def library() -> Path:
    """The library as the rknn toolchain has it, compiled by the compiler that its lock pins."""
    toolchain = describe("rknn", folders(builtin_rules_folder()))
    return Path(provision(toolchain, cache_folder(), print).folder, "lib", "megbuild", "fill.so")


def _run(library: Path, program: str, fill: str = "5a") -> None:
    environment = {**os.environ, "LD_PRELOAD": str(library), "MEGBUILD_FILL": fill, "PYTHONMALLOC": "malloc"}
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + program], env=environment, timeout=120, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("fill", ["00", "5a", "ff"])
def test_fresh_memory_and_what_lies_behind_it_hold_the_fill(library, fill):
    program = f"""
fill = {{0x{fill}}}
for count in (1, 24, 100, 5000, 1 << 20):
    assert bytes_at(libc.malloc(count), count + 256) == fill
    assert bytes_at(libc.memalign(64, count), count + 256) == fill
    assert bytes_at(libc.valloc(count), count + 256) == fill
    zeros = libc.calloc(count, 3)
    assert bytes_at(zeros, 3 * count) == {{0}} and bytes_at(zeros + 3 * count, 256) == fill
assert libc.memalign(64, 10) % 64 == 0 and libc.aligned_alloc(128, 128) % 128 == 0
"""
    _run(library, program, fill)


def test_a_block_keeps_its_content_when_its_size_changes(library):
    program = """
block = libc.malloc(100)
ctypes.memset(block, 1, 100)
block = libc.realloc(block, 5000)
assert bytes_at(block, 100) == {1} and bytes_at(block + 100, 4900 + 256) == {0x5a}
block = libc.realloc(block, 40)
assert bytes_at(block, 40) == {1} and bytes_at(block + 40, 256) == {0x5a}
block = libc.reallocarray(block, 10, 30)
assert bytes_at(block, 40) == {1} and bytes_at(block + 40, 260 + 256) == {0x5a}
assert libc.realloc(block, 0) is None
assert bytes_at(libc.realloc(None, 10), 10) == {0x5a}
"""
    _run(library, program)


def test_what_cannot_be_had_is_refused_as_ever(library):
    program = """
import errno
most = (1 << 64) - 1
for impossible in (lambda: libc.malloc(most), lambda: libc.calloc(most, 2), lambda: libc.reallocarray(None, most, 2)):
    ctypes.set_errno(0)
    assert impossible() is None and ctypes.get_errno() == errno.ENOMEM
block = pointer()
assert libc.posix_memalign(ctypes.byref(block), size(24), size(10)) == errno.EINVAL
assert libc.posix_memalign(ctypes.byref(block), size(32), size(10)) == 0 and block.value % 32 == 0
"""
    _run(library, program)


def test_threads_and_forks_go_on_as_ever(library):
    program = """
import os, threading
def work():
    for round in range(300):
        blocks = [bytearray(n * 37 % 5000) for n in range(60)]
        assert not any(map(any, blocks))
threading.stack_size(64 * 1024)
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads: thread.start()
children = []
for _ in range(20):
    child = os.fork()
    if child == 0:
        assert bytes_at(libc.malloc(300), 300) == {0x5a}
        os._exit(0)
    children.append(child)
assert all(os.waitpid(child, 0)[1] == 0 for child in children)
for thread in threads: thread.join()
"""
    _run(library, program)
