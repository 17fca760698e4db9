"""More of what training code that means harm could try; each action tries many things, and says what became of each.

Bounded in count and time, and in namespaces of its own: a hole would hurt nobody.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from megbuild.declare.limits import Limits
from megbuild.execute.box import calls
from megbuild.execute.zygote import Kind, Zygote
from megbuild.store.removal import remove

from .conftest import Boxes
from .test_box import TRY, limited, processes_of

BEFORE = (
    TRY + "import ctypes, fcntl, json, mmap, os, resource, socket, struct\nlibc = ctypes.CDLL(None, use_errno=True)\n"
)


def outcomes(box: Boxes, attempts: Mapping[str, str], **staged: str) -> dict[str, str]:
    """What became of each attempt: ``did ...``, or the exception's type and text."""
    code = f"{BEFORE}print(json.dumps({{name: attempt(lambda: eval(what)) for name, what in {dict(attempts)!r}.items()}}, default=str))"
    found = json.loads(box.says(code, **staged).splitlines()[-1])
    return {name: f"{kind} {text}" for name, (kind, text) in found.items()}


def nothing_works(box: Boxes, attempts: Mapping[str, str], **staged: str) -> None:
    found = outcomes(box, attempts, **staged)
    assert {name: what for name, what in found.items() if what.startswith("did ") or "SyntaxError" in what} == {}


FILES = {
    "the root of itself": "open('/proc/self/root/toolchain/poison.py', 'w')",
    "site-packages through a link": "open('/proc/self/root/proc/self/root/usr/lib/python3/poison.py', 'w')",
    "out of its folder by ..": "open('/proc/self/cwd/../../../../../../etc/passwd')",
    "out by an open root": "(os.fchdir(os.open('/', os.O_RDONLY)), os.stat('../../etc/passwd'))",
    "the program that runs": "open('/proc/self/exe', 'r+b')",
    "the log by its name": "open(os.readlink('/proc/self/fd/1'))",
    "the log once more": "open('/proc/self/fd/1')",
    "the log, to be read": "open('/dev/fd/2', 'r+')",
    "the log as an output": "os.link('/proc/self/fd/1', 'out/x', follow_symlinks=True)",
    "descriptors of the first process": "os.readlink('/proc/1/fd/0')",
    "the first process's folder": "os.listdir('/proc/1/cwd')",
    "its memory": "open('/proc/1/maps').read()",
    "attributes of an input": "os.setxattr('in/a', 'user.x', b'x')",
    "an input in memory": "mmap.mmap(os.open('in/a', os.O_RDONLY), 0, mmap.MAP_SHARED, mmap.PROT_WRITE)",
    "an input by its number": "os.truncate(f'/proc/self/fd/{os.open(chr(105) + chr(110) + chr(47) + chr(97), os.O_RDONLY)}', 0)",
    "a device": "os.mknod('out/disk', 0o60666, os.makedev(8, 0))",
    "the kernel's settings": "open('/proc/sys/vm/drop_caches', 'w').write('1')",
    "the handler of crashes": "open('/proc/sys/kernel/core_pattern', 'w').write('|/x')",
    "the machine's keys of the kernel": "open('/proc/sysrq-trigger', 'w').write('h')",
    "its own identity": "open('/proc/self/uid_map', 'w').write('0 0 1')",
    "a namespace of time": "open('/proc/self/timens_offsets', 'w').write('monotonic 1000 0')",
    "groups": "os.setgroups([0])",
    "a program with rights": "os.setuid(12345)",
    "shared memory beyond its size": "os.posix_fallocate(os.open('/dev/shm/x', os.O_RDWR | os.O_CREAT), 0, 257 << 20)",
}


def test_files_that_are_reached_in_other_ways(box: Boxes) -> None:
    nothing_works(box, FILES, in__a="a")
    assert box.says("print(open('in/a').read())", in__a="a") == "a"


def test_proc_tells_little_of_the_machine(box: Boxes) -> None:
    found = outcomes(
        box,
        {name: f"open('/proc/{name}').read()" for name in ("keys", "cmdline", "kallsyms", "timer_list", "slabinfo")},
    )
    assert set(found.values()) <= {"did "} | {what for what in found.values() if what.startswith("FileNotFoundError")}


def test_no_descriptor_is_inherited_but_that_of_its_turn(box: Boxes) -> None:
    """No pipe on which another action's end could be told, no socket of the zygote; the first process has none either."""
    code = "import os; n = sorted(os.listdir('/proc/self/fd')); os.close(0); print(n, sorted(os.listdir('/proc/1/fd')))"
    assert box.says(code) == "['0', '1', '2', '3', '4'] ['0', '1', '2']", "the last one is that of the look itself"


def test_what_an_action_does_to_its_turn_harms_nobody(box: Boxes) -> None:
    """It says what it likes there, gives descriptors away, hears nothing, and closes it."""
    code = """
        import os, socket
        turn = socket.socket(fileno=3)
        turn.setblocking(False)
        try:
            while True:
                socket.send_fds(turn, [b"+" * 1000], [1, 1])
        except OSError as error:
            print(error.strerror)
        try:
            print(turn.recv(100))
        except OSError as error:
            print(error.strerror)
        turn.close()
        open('out/answer.txt', 'w')
    """
    box.run(code)
    assert box.log.splitlines()[1:] == ["Resource temporarily unavailable"]
    assert box.says("print('next')") == "next"


def test_every_refused_call_is_refused(box: Boxes) -> None:
    """All of the list, by number, and the calls of kernels to come."""
    code = """
        import ctypes, errno
        libc = ctypes.CDLL(None, use_errno=True)
        for number in NUMBERS:
            ctypes.set_errno(0)
            result = libc.syscall(number, 0, 0, 0, 0, 0, 0)
            if result != -1 or ctypes.get_errno() != EXPECTED:
                print(number, result, errno.errorcode.get(ctypes.get_errno()))
    """
    refused = sorted(calls.REFUSED.values())
    assert box.says(code.replace("NUMBERS", str(refused)).replace("EXPECTED", "errno.EPERM")) == ""
    newer = [calls._NEXT, calls._NEXT + 1, 600, 1000, 0x40000000 + 39]
    assert box.says(code.replace("NUMBERS", str(newer)).replace("EXPECTED", "errno.ENOSYS")) == ""


def test_calls_of_32_bits_end_the_action(box: Boxes) -> None:
    """They have other numbers, which the filter cannot judge."""
    code = """
        import ctypes, mmap
        page = mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        page.write(bytes.fromhex('b814000000cd80c3'))  # getpid by int 0x80
        print('here', flush=True)
        print(ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))())
    """
    failure = box.fails(code)
    assert failure.tail[0] == "here"
    assert failure.message.startswith("was ended by SIG")  # SIGSYS, or SIGSEGV where the kernel has no such calls


def test_sockets_of_all_other_families(box: Boxes) -> None:
    nothing_works(
        box,
        {
            str(family): f"socket.socket({family}, {kind})"
            for family in range(3, 46)
            if family not in (10, 16)
            for kind in (3,)
        },
    )


def test_its_network_cannot_be_changed(box: Boxes) -> None:
    """Netlink is there, for libraries that list interfaces; the loopback cannot even be raised."""
    raised = "struct.pack('IHHII', 32, 16, 5, 1, 0) + struct.pack('BxHiII', 0, 0, 1, 1, 1)"  # RTM_NEWLINK, to be up, with an answer
    ask = f"(lambda s: (s.send({raised}), struct.unpack('i', s.recv(100)[16:20])[0])[1])(socket.socket(16, 3, 0)) == 0 or 1 / 0"
    nothing_works(
        box,
        {
            "the loopback": ask,
            "IPv6": "socket.create_connection(('::1', 9), 1)",
            "IPv6 datagrams": "socket.socket(10, 2).sendto(b'x', ('2001:db8::1', 53))",
            "raw": "socket.socket(2, 3, 1)",
            "raw IPv6": "socket.socket(10, 3, 58)",
            "a name": "socket.gethostbyname('localhost.example.org')",
        },
    )  # fmt: skip


def test_processes_of_others(box: Boxes) -> None:
    nothing_works(
        box,
        {
            "trace": "libc.ptrace(16, 1, 0, 0) == 0 or 1 / 0",
            "trace itself by its parent": "libc.ptrace(0, 0, 0, 0) == 0 or 1 / 0",
            "read memory": "libc.syscall(310, 1, 0, 0, 0, 0, 0) >= 0 or 1 / 0",
            "take a descriptor": "libc.syscall(438, os.pidfd_open(1), 0, 0) >= 0 or 1 / 0",
            "stop the first process": "os.kill(1, 19)",
            "run before others": "os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))",
            "a better priority": "os.setpriority(0, 0, -1)",
            "the clock": "libc.settimeofday(bytes(16), 0) == 0 or 1 / 0",
            "the speed of the clock": "libc.adjtimex(bytes(256)) >= 0 or 1 / 0",
        },
    )  # fmt: skip
    said = box.says("""
        import os, signal, time
        child = os.fork()
        if not child:
            time.sleep(30)
        os.kill(-1, 9)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), os.path.exists('/proc/1/status'))
    """)
    assert said == "-9 True"  # its own
    assert box.says("print('others live')") == "others live"


def test_fewer_processes_than_the_kernel_counts_are_a_limit_too(box: Boxes) -> None:
    """Root is held by the smallest number that the kernel takes, everybody else by the declared one."""
    box.limits = Limits(processes=20)
    code = "import threading, time\nfor _ in range(400):\n    threading.Thread(target=time.sleep, args=(30,), daemon=True).start()"
    assert box.fails(code).message == "asked for more processes or threads than it may have (20)"


def test_limits_cannot_be_raised(box: Boxes, monkeypatch: pytest.MonkeyPatch) -> None:
    limited(box, monkeypatch, memory=1 << 30, processes=500, output=64 << 20)
    names = ("CORE", "DATA", "NPROC", "FSIZE", "NOFILE")
    nothing_works(box, {name: f"resource.setrlimit(resource.RLIMIT_{name}, (1 << 40, 1 << 40))" for name in names})
    found = outcomes(
        box,
        {
            "a file in memory": "os.ftruncate(os.memfd_create('x'), 65 << 20)",
            "files": "resource.getrlimit(resource.RLIMIT_NOFILE)[1] <= 65536",
        },
    )
    assert found["a file in memory"].startswith("OSError [Errno 27]")
    assert found["files"] == "did True"


def test_the_user_keeps_his_watches(box: Boxes) -> None:
    """What the kernel counts for each user is not all for an action to take."""
    said = box.says("import ctypes; print(sum(ctypes.CDLL(None).inotify_init1(0) >= 0 for _ in range(300)))")
    assert 0 < int(said) <= 16
    descriptor = ctypes.CDLL(None).inotify_init1(os.O_CLOEXEC)
    assert descriptor >= 0
    os.close(descriptor)


def test_what_was_imported_in_advance_is_not_changed_for_others(box: Boxes) -> None:
    """A fork has its own copy; memory that would be shared is looked for when the zygote has imported all."""
    box.says(
        "import json, sys, os; json.loads = None; sys.path.insert(0, '/tmp'); os.environ['X'] = '1'; json.poison = 1"
    )
    said = box.says(
        "import json, sys, os; print(json.loads('1'), '/tmp' in sys.path, 'X' in os.environ, hasattr(json, 'poison'))"
    )
    assert said == "1 False False False"
    assert box.says("print(sum(line.split()[1] == 'rw-s' for line in open('/proc/self/maps')))") == "0"


def test_memory_that_would_be_shared_is_no_zygotes(tmp_path: Path) -> None:
    """Where a module maps some when it is imported, actions start anew."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules/shares.py").write_text("import mmap\nmemory = mmap.mmap(-1, 4096)\n")
    (tmp_path / "actions").mkdir()
    roots = (sys.prefix, sys.base_prefix, str(tmp_path / "modules"))
    kind = Kind(
        "toy", sys.executable, roots, ("-B", "-s"), ("json", "shares"), (("PYTHONPATH", str(tmp_path / "modules")),)
    )
    made = Zygote(kind, tmp_path / "actions", tmp_path / "log")
    made.start()
    made.stop()
    assert (made.box.confined, made.box.cold) == (
        "namespaces",
        "importing json, shares shares memory with what is forked",
    )


SWAP = """
    import os, sys, time
    open('out/answer.txt', 'w').write('checked')
    if not os.fork():
        os.setsid()
        if not os.fork():
            until = time.monotonic() + 10
            while time.monotonic() < until:
                os.symlink(SECRET, 'out/new')
                os.rename('out/new', 'out/answer.txt')
                open('out/other', 'w').write('checked')
                os.rename('out/other', 'out/answer.txt')
        os._exit(0)
    os.wait()
    time.sleep(0.05)
"""


def test_an_output_cannot_be_swapped_after_it_was_checked(box: Boxes) -> None:
    """Nothing of the action lives any more when its outputs are looked at."""
    secret = box.root / "secret"
    secret.write_text("secret")
    for _ in range(5):
        try:
            assert box.run(SWAP.replace("SECRET", repr(str(secret)))) in ("checked", "")
        except Exception as failure:
            assert "no plain file" in str(failure) or "no declared output" in str(failure)
        assert len(processes_of(box)) == 2


DEEP = """
    import os
    for place in PLACES:
        os.chdir(place)
        for _ in range(5000):
            os.mkdir('d')
            os.chdir('d')
        open('x', 'w').write('x')
        os.chdir('/work')
    open('out/answer.txt', 'w').write('made')
"""


def test_folders_of_any_depth_are_looked_at_or_refused_and_go(box: Boxes) -> None:
    """Walking them must not end in a recursion, nor stop the builds after it."""
    said = box.fails(DEEP.replace("PLACES", "['/work/tmp', '/work/out']")).message
    assert said == "made folders so deep that nobody can look into them"
    code = DEEP.replace("PLACES", "['/work/out']").replace("5000", "1500")
    assert box.fails(code).message.startswith("the action left out/d/d/d")
    assert box.run("open('out/answer.txt', 'w').write('next')") == "next"
    box.runner.stop()
    left = [path for path in (box.runner.folder / "actions").iterdir() if path.name.startswith(".")]
    assert left == []


def test_a_folder_goes_whatever_rights_were_taken(tmp_path: Path) -> None:
    """As an ordinary user, who cannot look into a folder without rights either."""
    if os.getuid():
        pytest.fail("run as root, to become somebody else")
    place = Path("/tmp") / f"megbuild-removal-{os.getpid()}"
    (place / "a/b").mkdir(parents=True)
    (place / "a/b/file").write_text("x")
    for path in (place, *place.rglob("*")):
        os.chown(path, 65534, 65534)
    process = os.fork()
    if not process:
        os.setgid(65534)
        os.setuid(65534)
        (place / "a/b").chmod(0)
        (place / "a").chmod(0)
        remove(place / "a")
        os._exit(int((place / "a").exists()))
    assert os.waitpid(process, 0)[1] == 0
    remove(place)
    assert not place.exists()


def test_files_with_holes_count_by_their_length(box: Boxes) -> None:
    """They are read to their end and kept: a hole takes no room on the disk, its content would."""
    box.says("")
    box.limits = Limits(output_mb=50, print_mb=1)
    sparse = "import os\nfor n in range(3):\n    os.truncate(os.open(f'out/answer.txt', os.O_CREAT | os.O_RDWR), 40_000_000)\n"
    assert box.run(sparse + "os.system('true')")[:1] == "\0"  # one that is short enough
    many = "import os\nfor n in range(3):\n    os.ftruncate(os.open(f'out/{n}', os.O_CREAT | os.O_RDWR), 40_000_000)\n"
    assert box.fails(many).message == "wrote more than 50 MB to its files"
    begun = time.monotonic()
    assert box.fails("import os\nos.ftruncate(1, 40_000_000)").message == "printed more than 1 MB"
    assert time.monotonic() - begun < 30


@pytest.mark.parametrize("name", [b"\xff", b"a\nb", b"x" * 255, "ä".encode(), b"\x1b[31m"])
def test_names_of_any_bytes_are_told(box: Boxes, name: bytes) -> None:
    failure = box.fails(f"open(b'out/' + {name!r}, 'w').close()")
    assert "which is no declared output" in failure.message
    str(failure).encode()  # it can be printed
    assert "\x1b" not in str(failure) and "a\nb" not in str(failure)


def test_every_declared_limit_says_that_it_was_hit(box: Boxes) -> None:
    box.says("")
    for limits, code, said in (
        (Limits(output_mb=1), "open('out/answer.txt', 'wb').write(bytes(2_000_000))", "wrote more than 1 MB to a file"),
        (Limits(output_mb=30), "import time\nfor n in range(4):\n    open(f'tmp/{n}', 'wb').write(bytes(20_000_000))\ntime.sleep(20)", "wrote more than 30 MB to its files"),
        (Limits(processes=310), "import threading, time\nfor _ in range(400):\n    threading.Thread(target=time.sleep, args=(30,), daemon=True).start()", "asked for more processes or threads than it may have (310)"),
        (Limits(memory_mb=400), "x = bytearray(600_000_000)", "asked for more memory than it may have (400 MB)"),
        (Limits(seconds=1), "while True: pass", "ran out of time (1 s)"),
        (Limits(print_mb=2), "import time\nprint('x' * 3_000_000, flush=True); time.sleep(20)", "printed more than 2 MB"),
    ):  # fmt: skip
        box.limits = limits
        assert box.fails(code).message == said
