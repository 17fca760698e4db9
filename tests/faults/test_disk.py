"""Disks that fail: at every place where a build writes, the process is killed, or the call is refused; then it goes on."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from megbuild.errors import MegbuildError
from tests.conftest import Toy
from tests.faults.toys import Toys, environment

CALLS = ("fsync", "fdatasync", "rename", "unlink", "write", "open")
"""What the store asks of the disk, all through the module os."""


@contextmanager
def faulty(
    toy: Toy, at: int, fault: Callable[[], None], calls: tuple[str, ...] = CALLS, *, lasting: bool = False
) -> Iterator[list[str]]:
    """Call ``fault`` before the ``at``-th call about the workspace or the cache, or all from there on; gives what was called."""
    seen: list[str] = []
    originals = {name: getattr(os, name) for name in calls}

    def replaced(name: str) -> Callable[..., Any]:
        def call(first: Any, *rest: Any, **named: Any) -> Any:
            place = Path(f"/proc/self/fd/{first}").readlink() if isinstance(first, int) else os.fspath(first)
            reads = name == "open" and not (rest and rest[0] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
            if str(place).startswith((str(toy.root), str(toy.cache))) and not reads:
                seen.append(f"{name} {place}")
                if len(seen) == at or (lasting and len(seen) > at):
                    fault()
            return originals[name](first, *rest, **named)

        return call

    for name in calls:
        setattr(os, name, replaced(name))
    try:
        yield seen
    finally:
        for name, original in originals.items():
            setattr(os, name, original)


def places(toy: Toy, calls: tuple[str, ...] = CALLS) -> list[str]:
    """Every call of a whole build, in order."""
    with faulty(toy, 0, lambda: None, calls) as seen:
        toy.build()
    return seen


def reset(toy: Toy) -> None:
    """Nothing was ever built."""
    for folder in (toy.root / ".megbuild", toy.root / "out", toy.cache):
        subprocess.run(["rm", "-rf", str(folder)], check=True)
    toy.ran.clear()


def artifacts(toy: Toy) -> dict[str, bytes]:
    return {str(p.relative_to(toy.root)): p.read_bytes() for p in sorted(toy.root.glob("out/**/*")) if p.is_file()}


def parts(toy: Toy) -> list[Path]:
    return [
        *toy.root.glob("**/.*.part"),
        *toy.cache.glob("**/.*.part"),
        *toy.cache.glob("store/cas/incoming/*"),
        *toy.cache.glob("store/running/*"),
    ]


def test_killed_at_every_write_rename_and_sync(toy: Toy) -> None:
    """A child is killed just before each call that changes the disk; what it did before stays as the kernel has it."""
    calls = ("fsync", "fdatasync", "rename", "unlink", "write")
    total = len(places(toy, calls))
    whole = artifacts(toy)
    assert total > 100
    for at in range(1, total + 1, 7):
        reset(toy)
        child = os.fork()
        if not child:
            try:
                with faulty(toy, at, lambda: os.kill(os.getpid(), signal.SIGKILL), calls):
                    toy.build()
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            continue  # that build came by with fewer calls
        for path, content in artifacts(toy).items():
            assert Path(path).name.startswith(".") or content == whole[path], f"{path} is half-written ({at})"
        recorded = len(list(toy.cache.glob("store/ac/??/[!.]*")))
        toy.build()
        assert artifacts(toy) == whole, f"call {at}"
        assert len(list(toy.cache.glob("store/ac/??/[!.]*"))) >= recorded
        assert parts(toy) == [], f"call {at}"
        ran = list(toy.ran)
        toy.build()
        assert toy.ran == []
        assert len(ran) == len(set(ran))


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EROFS], ids=["EIO", "ENOSPC", "EROFS"])
def test_refused_at_every_call(toy: Toy, code: int) -> None:
    """One clear error, and the next build goes on from what had finished."""
    total = len(places(toy))
    whole = artifacts(toy)

    def refuse() -> None:
        raise OSError(code, os.strerror(code))

    told = 0
    for at in range(1, total + 1, 41):
        reset(toy)
        with faulty(toy, at, refuse):
            try:
                report = toy.report(keep_going=True)
            except MegbuildError as error:
                told += 1
                assert error.problems[0].code in ("MB602", "MB603", "MB607"), error
                assert len(error.problems) == 1
            except OSError as error:  # what the command shows as MB607
                told += 1
                assert error.errno == code
            else:
                for failure in report.failed:
                    told += 1
                    assert "[MB60" in failure.message, failure.message
        toy.build()
        assert artifacts(toy) == whole, f"call {at}"
        toy.build()
        assert toy.ran == []
    assert told > total / 41 / 2


@pytest.mark.parametrize("code", [errno.EIO, errno.EROFS], ids=["EIO", "EROFS"])
def test_a_disk_that_refuses_all_from_some_call_on(toy: Toy, code: int) -> None:
    """What is half-made then cannot be removed either: the next build does it, when the disk is well."""
    total = len(places(toy))
    whole = artifacts(toy)

    def refuse() -> None:
        raise OSError(code, os.strerror(code))

    left = 0
    for at in range(1, total + 1, 41):
        reset(toy)
        with faulty(toy, at, refuse, lasting=True), suppress(MegbuildError, OSError):
            assert toy.report(keep_going=True).failed
        left += bool(parts(toy))
        toy.build()
        assert artifacts(toy) == whole, f"call {at}"
        assert parts(toy) == [], f"call {at}"
        toy.build()
        assert toy.ran == []
    assert left, "no moment left anything"


def test_what_has_a_name_is_on_the_disk_first(toy: Toy) -> None:
    """All contents and records with their names, then the journal, then the state: so what it says can be had."""
    order: list[tuple[str, str]] = []
    originals = {name: getattr(os, name) for name in ("fsync", "fdatasync", "rename")}

    def sync(name: str) -> Callable[[int], None]:
        def call(descriptor: int) -> None:
            order.append((name, str(Path(f"/proc/self/fd/{descriptor}").readlink())))
            originals[name](descriptor)

        return call

    def rename(before: Any, after: Any, **named: Any) -> None:
        order.append(("to", str(after)))
        originals["rename"](before, after, **named)

    os.fsync, os.fdatasync, os.rename = sync("fsync"), sync("fdatasync"), rename
    try:
        toy.build()
    finally:
        os.fsync, os.fdatasync, os.rename = originals["fsync"], originals["fdatasync"], originals["rename"]
    saved = next(at for at, (what, target) in enumerate(order) if what == "to" and target.endswith("/state"))
    named = 0
    for at, (what, target) in enumerate(order):
        if what != "to" or not any(place in target for place in ("/cas/", "/ac/")) or "/incoming/" in target:
            continue
        named += 1
        content = order.index(("fsync", target), at)
        name = order.index(("fsync", str(Path(target).parent)), at)
        journal = next(i for i in range(max(content, name), len(order)) if order[i][0] == "fdatasync")
        assert journal < saved, f"the state tells of {target} before it is on the disk"
    assert named > 20


@pytest.mark.parametrize("jump", [86400.0, -86400.0], ids=["forward", "back"])
def test_a_clock_that_jumps(toy: Toy, monkeypatch: pytest.MonkeyPatch, jump: float) -> None:
    toy.build()
    now, now_ns = time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: now() + jump)
    monkeypatch.setattr(time, "time_ns", lambda: now_ns() + int(jump * 1e9))
    toy.build()
    assert toy.ran == []
    toy.write({"net.py": "def build(weights): return 2\n"})
    seen = (toy.root / "net.py").stat()
    os.utime(toy.root / "net.py", ns=(seen.st_atime_ns, seen.st_mtime_ns + int(jump * 1e9)))
    toy.build()
    assert "//:net#tm" in toy.ran
    assert "//:net#weights" not in toy.ran
    toy.build()
    assert toy.ran == []
    monkeypatch.undo()


def test_a_clock_that_jumps_during_a_build(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a day, forward and back, whenever somebody looks at it."""
    now, now_ns = time.time, time.time_ns
    jumps = cycle((0.0, 86400.0, -86400.0))
    begun = time.monotonic()
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", lambda: now() + next(jumps))
        patched.setattr(time, "time_ns", lambda: now_ns() + int(next(jumps) * 1e9))
        toy.build()
        made = artifacts(toy)
        toy.build()
        assert toy.ran == []
        toy.write({"net.py": "def build(weights): return 2\n"})
        toy.build()
        assert "//:net#tm" in toy.ran
        assert "//:net#weights" not in toy.ran
    assert time.monotonic() - begun < 600, "somebody waited for the clock"
    toy.build()
    assert toy.ran == []
    assert artifacts(toy) != made
    toy.write({"net.py": "def build(weights): return 1\n"})
    toy.build()
    assert artifacts(toy) == made


SCRIPT = """
set -u
build() {{ echo "== $1"; {command} build -n 2 2>&1; echo "== status $?"; }}
half_made() {{  # what a failed action ran in stays, to be run by hand
    for one in $(ls -A {private}/actions); do [ -e {private}/actions/$one/run.sh ] || echo $one; done
    find {store}/cas/incoming {store}/running -mindepth 1 2>/dev/null
    find {root} {cache} -name '.*.part'
}}
{script}
"""


def shell(toys: Toys, script: str) -> tuple[list[list[str]], dict[str, bytes], dict[str, bytes]]:
    """Builds in a mount namespace of their own: the lines of each with its status last, what it made, what it should."""
    wanted = toys.wanted()
    space = toys.space()
    names = {
        "store": space.cache / "store",
        "private": space.root / ".megbuild",
        "cache": space.cache,
        "root": space.root,
    }
    for path in names.values():
        path.mkdir(exist_ok=True)
    text = SCRIPT.format(command=" ".join(space.command), script=script.format(**names), **names)
    done = subprocess.run(
        ["unshare", "--mount", *(["--map-root-user"] if os.geteuid() else []), "sh", "-c", text],
        cwd=space.root, env=environment(space), capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=240,
    )  # fmt: skip
    assert done.stderr == "", done.stderr
    builds = [part.splitlines() for part in done.stdout.split("== ") if part.strip()]
    return builds, space.artifacts(), wanted


FULL = """
mount -t tmpfs -o {options} none {{{where}}}
{fill}
build full
half_made
rm -rf {{{where}}}/filler*
build again
half_made
build last
"""
FULLS = {
    "a full store": ("size=4m", "store", "head -c 4100000 /dev/zero > {store}/filler"),
    "a full workspace": ("size=1m", "private", "head -c 1020000 /dev/zero > {private}/filler"),
    "no inode left in the store": ("nr_inodes=60", "store", "for n in $(seq 48); do : > {store}/filler$n; done"),
    # two staged actions and a third that is being deleted take about 90
    "no inode left in the workspace": (
        "nr_inodes=250",
        "private",
        "for n in $(seq 247); do : > {private}/filler$n; done",
    ),
    "no byte left in the workspace": ("size=1m", "private", "head -c 1048576 /dev/zero > {private}/filler 2>/dev/null"),
    "no byte left in the store": ("size=4m", "store", "head -c 4194304 /dev/zero > {store}/filler 2>/dev/null"),
}


@pytest.mark.parametrize("case", FULLS)
def test_a_file_system_that_is_full(toys: Toys, case: str) -> None:
    options, where, fill = FULLS[case]
    builds, made, wanted = shell(toys, FULL.format(options=options, where=where, fill=fill))
    statuses = [lines for lines in builds if lines[0].startswith("status")]
    assert [lines[0] for lines in statuses] == ["status 1", "status 0", "status 0"], "\n".join(map(str, builds))
    assert [lines[1:] for lines in statuses] == [[], [], []], "something half-made is left"
    told = [line for line in builds[0] if "No space left on device" in line or "[MB610]" in line]
    assert told, builds[0]
    assert not [line for line in builds[0] if "Traceback" in line]
    assert made == wanted
    assert builds[4][1].startswith("everything is up to date")


READ_ONLY = """
build first
mount --bind {{{where}}} {{{where}}}
mount -o remount,ro,bind {{{where}}}
build nothing
rm -rf out/one/x86
{change}
build read-only
umount {{{where}}}
build again
"""


@pytest.mark.parametrize("where", ["cache", "root"])
def test_a_read_only_file_system(toys: Toys, where: str) -> None:
    change = "echo '# data' >> MODELS.toml; sed -i s/one/other/ one.py" if where == "cache" else ":"
    script = READ_ONLY.format(where=where, change=change)
    script = script.replace("rm -rf out/one/x86\n", "") if where == "root" else script
    if where == "root":  # what makes it stale has to be there before
        script = script.replace("build nothing\n", "").replace("build first\n", "build first\nrm -rf out/one/x86\n")
    builds, _, _ = shell(toys, script)
    statuses = [lines[0] for lines in builds if lines[0].startswith("status")]
    assert statuses == (
        ["status 0", "status 0", "status 1", "status 0"] if where == "cache" else ["status 0", "status 1", "status 0"]
    ), builds
    refused = builds[-4]
    assert [line for line in refused if "Read-only file system [MB60" in line], builds
    assert not [line for line in refused if "Traceback" in line]
