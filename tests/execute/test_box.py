"""Training code that means harm: what it reads, writes, reaches and leaves behind. It runs in namespaces of its own.

Every test is bounded in what it tries, so that a hole in the box would hurt nobody.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import pytest

from megbuild.declare.limits import Limits
from megbuild.errors import MegbuildError
from megbuild.execute import local, zygote
from tests.faults.moments import until

from .conftest import Boxes, boxes

TRY = """
def attempt(what):
    try:
        return 'did', what()
    except BaseException as error:
        return type(error).__name__, str(error)
"""


def refused(box: Boxes, what: str, **staged: str) -> str:
    """How an attempt ends that must not succeed: the exception's type."""
    kind, _, text = box.says(
        f"{TRY}\nimport os, socket, ctypes, signal\nprint(*attempt(lambda: {what}))", **staged
    ).partition(" ")
    assert kind != "did", text
    return kind


def test_this_machine_has_namespaces(box: Boxes) -> None:
    """Else the other tests of this file would show nothing."""
    box.says("")
    assert box.warned == []


def test_it_finds_itself_where_every_action_does(box: Boxes) -> None:
    said = box.says(
        "import os, sys; print(os.getcwd(), sys.argv, __file__, sys.path[0], __name__, os.environ['HOME'], sys.stdin.read())"
    )
    assert said == "/work ['code/main.py', 'one'] /work/code/main.py /work/code __main__ /work/home"


SECRETS = ["/etc/passwd", "/etc/shadow", "/etc/hostname", "/root/.ssh/id_rsa", "/proc/1/environ", "/proc/1/mem", "/proc/kcore", "/dev/mem", "/dev/tty"]  # fmt: skip


FOLDERS = ["/home", "/var/lib", "/run", "/proc/1/root", "/megbuild/actions", "/megbuild/code"]


@pytest.mark.parametrize("path", SECRETS)
def test_files_of_the_machine_cannot_be_read(box: Boxes, path: str) -> None:
    assert refused(box, f"open({path!r}, 'rb').read(1)") in ("FileNotFoundError", "PermissionError")


@pytest.mark.parametrize("path", FOLDERS)
def test_folders_of_the_machine_cannot_be_listed(box: Boxes, path: str) -> None:
    assert refused(box, f"os.listdir({path!r})") in ("FileNotFoundError", "PermissionError")


def test_the_users_own_files_cannot_be_read(box: Boxes) -> None:
    for path in (box.root / "secret.txt", box.runner.folder / "logs/secret", Path.home() / ".profile", Path(__file__)):
        if path.is_relative_to(box.root):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("secret")
        assert refused(box, f"open({str(path)!r}).read()") == "FileNotFoundError"
        assert refused(box, f"os.stat({str(path)!r})") == "FileNotFoundError"


def test_an_undeclared_file_is_named(box: Boxes) -> None:
    failure = box.fails("open('in/source/labels.txt')")
    assert "FileNotFoundError: [Errno 2] No such file or directory: 'in/source/labels.txt'" in failure.tail


@pytest.mark.parametrize(
    "path", ["in/a", "in/b", "code/main.py", "b", "/b", "/usr/b", "/toolchain/b", "/work/../b", "/proc/sys/kernel/hostname", "/proc/self/oom_score_adj", "/sys/devices/system/cpu/b"]
)  # fmt: skip
def test_nothing_but_its_own_can_be_written(box: Boxes, path: str) -> None:
    assert refused(box, f"open({path!r}, 'w').write('x')", in__a="a") in (
        "OSError",
        "PermissionError",
        "FileNotFoundError",
    )


@pytest.mark.parametrize(
    "what",
    [
        "os.remove('in/a')", "os.rename('in/a', 'out/a')", "os.chmod('in/a', 0o777)", "os.chmod('in', 0o777)", "os.link('in/a', 'out/a')",
        "os.utime('in/a')", "os.truncate('in/a', 0)", "os.mkdir('in/b')", "os.rmdir('out')", "os.mknod('out/null', 0o20666, os.makedev(1, 3))",
        "os.chroot('tmp')", "os.sethostname('x') if hasattr(os, 'sethostname') else socket.sethostname('x')", "os.setuid(1)",
        "__import__('time').clock_settime(0, 1)", "os.setpriority(0, 0, -5)",
    ],
)  # fmt: skip
def test_what_is_refused(box: Boxes, what: str) -> None:
    assert refused(box, what, in__a="a") in ("OSError", "PermissionError")


CALLS = {
    "unshare time": "libc.unshare(0x80)",
    "clone": "libc.syscall(56, 0x20000000 | 17, 0, 0, 0, 0)",
    "clone3": "libc.syscall(435, 0, 0)",
    "keyctl": "libc.syscall(250, 0, -3, 1)",
    "add_key": "libc.syscall(248, b'user', b'x', b'x', 1, -3)",
    "bpf": "libc.syscall(321, 0, 0, 0)",
    "perf_event_open": "libc.syscall(298, bytes(128), 0, -1, -1, 0)",
    "userfaultfd": "libc.syscall(323, 1)",
    "io_uring": "libc.syscall(425, 1, bytes(120))",
    "open_by_handle": "libc.syscall(304, -100, bytes(32), 0)",
    "new mounts": "libc.syscall(430, b'tmpfs', 0)",
    "process_vm_readv": "libc.syscall(310, 1, 0, 0, 0, 0, 0)",
    "clock": "libc.syscall(227, 0, bytes(16))",
    "32 bit numbers": "libc.syscall(0x40000000 + 39)",
    "vsock": "libc.socket(40, 1, 0)",
    "packets": "libc.socket(17, 3, 0)",
    "ciphers": "libc.socket(38, 5, 0)",
    "terminal": "libc.ioctl(1, 0x5412, b'x')",
    "mount": "libc.mount(b'none', b'/work/tmp', b'tmpfs', 0, None)",
    "remount": "libc.mount(b'none', b'/work', None, 32 | 4096, None)",
    "umount": "libc.umount2(b'/work/out', 2)",
    "user namespace": "libc.unshare(0x10000000)",
    "mount namespace": "libc.unshare(0x20000)",
    "ptrace": "libc.ptrace(16, 1, None, None)",
    "setns": "libc.setns(os.open('/proc/self/ns/net', 0), 0)",
}


@pytest.mark.parametrize("call", CALLS)
def test_calls_of_the_kernel_that_are_refused(box: Boxes, call: str) -> None:
    assert box.says(f"import ctypes, os; libc = ctypes.CDLL(None, use_errno=True); print({CALLS[call]})") == "-1"


def test_it_has_no_rights(box: Boxes) -> None:
    said = box.says(
        "print(*[line.split()[1] for line in open('/proc/self/status') if line.startswith(('Cap', 'NoNewPrivs'))])"
    )
    assert said.split() == ["0" * 16] * 5 + ["1"]


def test_it_sees_no_process_but_its_own(box: Boxes) -> None:
    assert (
        box.says(
            "import os; print(sorted(int(name) for name in os.listdir('/proc') if name.isdigit()), os.getpid(), os.getppid())"
        )
        == "[1, 2] 2 0"
    )


def test_the_first_process_cannot_be_killed(box: Boxes) -> None:
    assert refused(box, "os.kill(1, 9)") == "PermissionError"
    assert refused(box, f"os.kill({os.getpid()}, 0)") in ("ProcessLookupError", "PermissionError")


def test_no_network(box: Boxes, tmp_path: Path) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    by_path = socket.socket(socket.AF_UNIX)
    by_path.bind(str(tmp_path / "unix"))
    by_path.listen()
    abstract = socket.socket(socket.AF_UNIX)
    abstract.bind(f"\0megbuild-test-{os.getpid()}")
    abstract.listen()
    with listening, by_path, abstract:
        assert refused(box, f"socket.create_connection(('127.0.0.1', {port}), 2)") in ("OSError", "PermissionError")
        assert (
            refused(box, f"socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {port}))")
            == "OSError"
        )
        assert (
            refused(box, "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53))")
            == "OSError"
        )
        assert refused(box, "socket.getaddrinfo('example.org', 80)") == "gaierror"
        assert refused(box, f"socket.socket(socket.AF_UNIX).connect({str(tmp_path / 'unix')!r})") == "FileNotFoundError"
        assert refused(box, f"socket.socket(socket.AF_UNIX).connect('\\0megbuild-test-{os.getpid()}')") in (
            "ConnectionRefusedError",
            "PermissionError",
        )


def test_two_actions_at_a_time_do_not_meet(box: Boxes) -> None:
    meet = """
        import os, socket, time
        mine = socket.socket(socket.AF_UNIX); mine.bind('\\0here'); mine.listen()
        open('/dev/shm/here', 'w'); open('/tmp/here', 'w')
        time.sleep(1)
        print(sorted(os.listdir('/dev/shm')), sorted(os.listdir('/tmp')), [p for p in os.listdir('/proc') if p.isdigit()], os.path.exists('/megbuild/actions'))
        open('out/answer.txt', 'w')
    """
    logs: dict[str, str] = {}

    def one(name: str) -> None:
        failure = box.fails(meet + "    raise SystemExit(5)\n", name)
        logs[name] = "\n".join(failure.tail)

    threads = [threading.Thread(target=one, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert logs == dict.fromkeys(["a", "b"], "['here'] ['here'] ['1', '2'] False")


def test_nothing_stays_for_the_next_action(box: Boxes) -> None:
    box.says("import os; open('/dev/shm/x', 'w'); open('/tmp/x', 'w'); open(os.environ['HOME'] + '/x', 'w'); print(1)")
    assert (
        box.says("import os; print(os.listdir('/dev/shm'), os.listdir('/tmp'), os.listdir(os.environ['HOME']))")
        == "[] [] []"
    )


DAEMON = """
    import os, sys, time
    if not os.fork():
        os.setsid()
        if not os.fork():
            while True:
                time.sleep(0.05)
                with open('out/answer.txt', 'a') as file:
                    file.write('x')
        os._exit(0)
    os.wait()
    while not os.path.exists('out/answer.txt') or not os.path.getsize('out/answer.txt'):
        time.sleep(0.01)
"""


def below(process: int) -> list[int]:
    """The live descendants of a process."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit():
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[1]) == process and fields[0] != "Z":
                    found += [int(entry.name), *below(int(entry.name))]
        except OSError:
            continue
    return found


def processes_of(box: Boxes) -> list[int]:
    """All processes of the zygotes, the launchers included."""
    launchers = [z._process.pid for z in box.runner.zygotes._alive.values() if z._process]
    return launchers + [found for launcher in launchers for found in below(launcher)]


def gone(processes: Iterable[int]) -> bool:
    """Whether they all end within seconds; one that only its parent must take note of has ended."""
    deadline = time.monotonic() + 15
    while any(map(lives, processes)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def lives(process: int) -> bool:
    """Whether a process is there and has not ended."""
    with suppress(OSError):  # it goes while it is looked at
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    return False


def test_daemons_end_with_their_action(box: Boxes) -> None:
    assert box.run(DAEMON).startswith("x")
    assert len(processes_of(box)) == 2  # the launcher and the zygote


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os; os.abort()", "was ended by SIGABRT"),
        ("import ctypes; ctypes.string_at(0)", "was ended by SIGSEGV"),
        ("import os; os.kill(os.getpid(), 9)", "was ended by SIGKILL"),
        ("import sys; sys.exit(7)", "exited with status 7"),
        ("import sys; sys.exit('words')", "exited with status 1"),
        ("import sys; sys.exit(256 + 9)", "exited with status 9"),
        ("import os; os._exit(41)", "exited with status 41"),
        ("raise KeyError('x')", "exited with status 1"),
        (
            "import threading; threading.Thread(target=lambda: __import__('os')._exit(6)).start()",
            "exited with status 6",
        ),
        ("pass", "the action ended well but did not make answer.txt"),
        (
            "import os; os.symlink('/etc/passwd', 'out/answer.txt')",
            "the action left out/answer.txt, which is no plain file",
        ),
        ("import os; os.mkfifo('out/answer.txt')", "the action left out/answer.txt, which is no plain file"),
        ("open('out/other.txt', 'w')", "the action left out/other.txt, which is no declared output"),
    ],
)
def test_endings(box: Boxes, code: str, said: str) -> None:
    failure = box.fails(f"print('before', flush=True)\n{code}")
    assert said in failure.message
    assert failure.tail[0] == "before"
    assert box.says("print('the next one runs')") == "the next one runs"


def test_what_is_printed_last_is_in_the_log(box: Boxes) -> None:
    said = box.says("""
        import atexit, ctypes, threading, time
        atexit.register(print, "at exit")
        threading.Thread(target=lambda: (time.sleep(0.2), print("a thread"))).start()
        print("buffered")
        ctypes.CDLL(None).puts(b"by C")
    """)
    assert sorted(said.splitlines()) == ["a thread", "at exit", "buffered", "by C"]


def test_a_hang_ends_in_time(box: Boxes, monkeypatch: pytest.MonkeyPatch) -> None:
    box.says("")  # the zygote's start does not count
    monkeypatch.setattr(local, "TIME_LIMIT", 3.0)
    begun = time.monotonic()
    failure = box.fails(
        "import signal, time\nsignal.signal(15, signal.SIG_IGN)\nprint('here', flush=True)\ntime.sleep(60)"
    )
    assert (failure.message, failure.tail) == ("ran out of time (3 s)", ("here",))
    assert time.monotonic() - begun < 20  # it would sleep for 60
    assert len(processes_of(box)) == 2


def test_endless_output_ends_the_action(box: Boxes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zygote, "LONGEST_LOG", 1 << 20)
    begun = time.monotonic()
    failure = box.fails("import time\nfor _ in range(1200):\n    print('x' * 1000000, flush=True); time.sleep(0.05)")
    assert failure.message == "printed more than 1 MB"
    assert time.monotonic() - begun < 30  # it would print for 60


def test_binary_output_is_shown_as_it_can_be(box: Boxes) -> None:
    failure = box.fails("import os; os.write(1, bytes(range(256))); raise SystemExit(1)")
    assert failure.tail
    assert all(character.isprintable() for line in failure.tail for character in line)


def limited(box: Boxes, monkeypatch: pytest.MonkeyPatch, **limits: int) -> None:
    monkeypatch.setattr(local, "limits_of", lambda action: zygote.Limits(**{"memory": 8 << 30, **limits}))


def test_memory_has_a_limit(box: Boxes, monkeypatch: pytest.MonkeyPatch) -> None:
    limited(box, monkeypatch, memory=256 << 20)
    failure = box.fails("x = bytearray(400 << 20)")
    assert failure.message == "asked for more memory than it may have (268 MB)"
    assert "MemoryError" in failure.tail


def test_a_file_has_a_limit(box: Boxes, monkeypatch: pytest.MonkeyPatch) -> None:
    limited(box, monkeypatch, output=1 << 20)
    failure = box.fails("open('out/answer.txt', 'wb').write(bytes(2 << 20))")
    assert failure.tail[-1].startswith("OSError: [Errno 27] File too large")
    assert failure.message == "wrote more than 1 MB to a file"


FILL = """
    import os, time
    for number in range(100):  # 100 MB, 20 MB in each file
        with open(f'{PLACE}/{number // 20}', 'ab') as file:
            file.write(bytes(1 << 20))
    time.sleep(60)
"""


@pytest.mark.parametrize("place", ["out", "tmp", "home", "/tmp"])
def test_all_files_together_have_a_limit(box: Boxes, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    limited(box, monkeypatch, output=64 << 20)
    failure = box.fails(FILL.replace("{PLACE}", place))
    assert failure.message == "wrote more than 67 MB to its files"
    assert len(processes_of(box)) == 2


def test_many_names_are_a_use_of_the_disk(box: Boxes, monkeypatch: pytest.MonkeyPatch) -> None:
    limited(box, monkeypatch, output=1 << 20)
    failure = box.fails(
        "import time\nfor number in range(3000):\n    open(f'out/{number}', 'w').close()\ntime.sleep(20)"
    )
    assert failure.message == "wrote more than 1 MB to its files"


def test_the_disk_is_left_room_whatever_holds_it(box: Boxes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was removed and is still open is in no folder; what is free on the disk tells of it."""
    asked = iter([8 << 30, 4 << 30])
    monkeypatch.setattr(zygote.disk, "free", lambda folder: next(asked, 1 << 20))
    code = "import os, time\nfile = open('out/x', 'wb'); os.unlink('out/x')\nfile.write(bytes(1 << 20)); time.sleep(20)"
    assert box.fails(code).message == "left less than 1074 MB of the disk free"


def test_declared_limits_are_those_of_the_action(box: Boxes) -> None:
    box.says("")
    box.limits = Limits(seconds=0.5)
    assert box.fails("import time; time.sleep(20)").message == "ran out of time (0.5 s)"
    box.limits = Limits(memory_mb=300)
    assert box.fails("x = bytearray(400 << 20)").message == "asked for more memory than it may have (300 MB)"
    box.limits = Limits(print_mb=0.5)
    message = box.fails("import time\nprint('x' * 1000000, flush=True); time.sleep(20)").message
    assert message in ("printed more than 0 MB", "printed more than 1 MB")
    box.limits = Limits()
    assert box.says("print('goes on')") == "goes on"


def test_processes_have_a_limit(box: Boxes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fork bomb that would stop by itself at 2000 processes, each asleep."""
    limited(box, monkeypatch, processes=400)
    failure = box.fails("""
        import os, sys, time
        for number in range(2000):
            try:
                if not os.fork():
                    time.sleep(30)
                    os._exit(0)
            except OSError as error:
                print('after', number, error.strerror)
                raise SystemExit(1)
    """)
    assert failure.message in ("exited with status 1", "asked for more processes or threads than it may have (400)")
    _, number, *why = failure.tail[-1].split()
    assert int(number) < 401
    assert " ".join(why) in ("Resource temporarily unavailable", "No space left on device")
    assert len(processes_of(box)) == 2


def test_a_zygote_that_dies_is_started_again_once(box: Boxes) -> None:
    box.says("")
    (alive,) = box.runner.zygotes._alive.values()
    assert alive._process
    os.kill(alive._process.pid, signal.SIGKILL)
    assert box.says("print('again')") == "again"


def test_a_zygote_that_dies_every_time_is_no_result(box: Boxes, monkeypatch: pytest.MonkeyPatch) -> None:
    box.says("")
    started: list[int] = []
    original = zygote.Zygote.run

    def run(self: zygote.Zygote, *arguments: object) -> object:
        assert self._process
        started.append(self._process.pid)
        os.kill(self._process.pid, signal.SIGKILL)
        return original(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(zygote.Zygote, "run", run)
    with pytest.raises(MegbuildError, match="MB406"):
        box.run("open('out/answer.txt', 'w')")
    assert len(set(started)) == 2


def test_a_zygote_killed_in_the_middle_takes_its_action_along(box: Boxes) -> None:
    box.says("")
    failure: list[BaseException] = []

    def one() -> None:
        try:
            box.run("import time; time.sleep(60)")
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=one)
    thread.start()
    seen: set[int] = set()
    for _ in range(2):
        until(lambda: {*processes_of(box)} - seen and len(processes_of(box)) >= 4, "no action began")
        mine = processes_of(box)
        seen.update(mine)
        zygotes = [process for launcher in mine[:1] for process in below(launcher)][:1]
        os.kill(zygotes[0], signal.SIGKILL)
    thread.join(50)
    assert isinstance(failure[0], MegbuildError)
    assert gone(seen)


def test_everything_ends_with_megbuild(tmp_path: Path) -> None:
    """A process that runs an action is killed in the middle of it."""
    script = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from pathlib import Path
import pytest
from tests.execute.conftest import boxes
box = boxes(Path({str(tmp_path)!r}), pytest.MonkeyPatch(), ["json"])
box.run("import time, os; os.fork(); open('out/alive', 'w'); time.sleep(60)")
"""
    running = subprocess.Popen([sys.executable, "-c", script])
    alive = tmp_path / "workspace/.megbuild/actions/a+m@x/out/alive"
    until(alive.exists, "no action began", 60)
    mine = below(running.pid)
    assert len(mine) >= 5  # launcher, zygote, keeper, the action and its child
    running.kill()
    running.wait()
    assert gone(mine)


def test_a_module_that_the_staged_code_has_is_the_staged_one(box: Boxes) -> None:
    """``decimal`` is imported in advance; a new interpreter would find the user's own."""
    code = "import sys; sys.path.insert(0, 'in/source'); import decimal; print(decimal.__file__)"
    assert box.says(code, in__source__decimal="no module") != "/work/in/source/decimal.py"
    assert box.says(code, **{"in__source__decimal.py": "x = 1"}) == "/work/in/source/decimal.py"


def test_an_sdk_that_cannot_be_imported_in_advance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box = boxes(tmp_path, monkeypatch, ["json", "no_such_module"])
    assert box.says("print('anew')") == "anew"
    assert [z.box.cold for z in box.runner.zygotes._alive.values()] == [
        "ModuleNotFoundError: No module named 'no_such_module'"
    ]
    box.runner.stop()


def test_only_so_many_zygotes_stay(box: Boxes) -> None:
    box.runner.zygotes.most = 2
    for number in range(4):
        box.runner.toolchains = {
            "toy": box.runner.toolchains["toy"].__class__(
                "toy", "0", "3", "/", environment={"N": str(number)}, settings={"preload": ["json"]}
            )
        }
        action_environment = {"N": str(number)}
        kind = zygote.Kind(
            "toy",
            sys.executable,
            (sys.prefix, sys.base_prefix),
            ("-B",),
            (),
            tuple(action_environment.items()),
        )
        with box.runner.zygotes.taken(kind):
            pass
    assert len(box.runner.zygotes._alive) == 2


def test_another_program_runs_the_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an emulator would; and actions see the folders that it needs."""
    box = boxes(tmp_path, monkeypatch, ["json"])
    shown = tmp_path / "shown"
    shown.mkdir()
    (shown / "a").write_text("seen")
    box.runner.through, box.runner.shown = ("/usr/bin/env", "THROUGH=it"), (str(shown),)
    assert box.says(f"import os; print(os.environ['THROUGH'], open('{shown}/a').read())") == "it seen"
    box.runner.stop()


WEAKER = {"namespaces": "only Landlock confines actions", "landlock": "nothing confines actions"}


@pytest.mark.parametrize("preload", [["json"], []], ids=["warm", "fresh"])
@pytest.mark.parametrize("without", WEAKER)
def test_without_namespaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without: str, preload: list[str]) -> None:
    box = boxes(tmp_path, monkeypatch, preload, without)
    place = str(box.runner.folder / "actions" / "a+m@x")
    assert (
        box.says("import os; print(os.getcwd(), os.environ['HOME'], os.getppid() != 1)") == f"{place} {place}/home True"
    )
    assert len(box.warned) == 1
    assert box.warned[0].startswith(f"warning: {WEAKER[without]} here")
    assert box.run(DAEMON).startswith("x")
    assert len(processes_of(box)) == 2
    assert "was ended by SIGSEGV" in box.fails("import ctypes; ctypes.string_at(0)").message
    assert "exited with status 7" in box.fails("raise SystemExit(7)").message
    monkeypatch.setattr(local, "TIME_LIMIT", 0.5)
    assert box.fails(DAEMON + "    time.sleep(60)\n").message == "ran out of time (0.5 s)"
    assert len(processes_of(box)) == 2
    if without == "namespaces":
        for what in (
            "open('/etc/passwd')",
            "open('in/a', 'w')",
            "os.listdir('..')",
            "socket.create_connection(('127.0.0.1', 9))",
        ):
            assert refused(box, what, in__a="a") == "PermissionError"
    box.runner.stop()


def test_a_weaker_box_can_be_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box = boxes(tmp_path, monkeypatch, [], "namespaces")
    box.runner.require_sandbox = True
    for _ in range(2):
        with pytest.raises(MegbuildError, match="MB407"):
            box.says("")
    box.runner.stop()


POISON = {
    "the toolchain": "open('/toolchain/lib/poison.py', 'w')",
    "its interpreter": "open(__import__('sys').executable, 'ab')",
    "the store by its path": "os.listdir({store!r})",
    "the store by a link": "os.link({blob!r}, 'out/x')",
    "a key by a link": "os.link('/etc/shadow', 'out/x')",
    "a system's library": "os.remove('/usr/bin/env')",
    "memory of another process": "open('/proc/1/mem', 'r+b').write(b'x')",
    "the zygote's memory": "ctypes.CDLL(None).process_vm_writev(1, 0, 0, 0, 0, 0) == -1 and os.kill(1, 0)",
    "a parent's descriptors": "open('/proc/1/fd/0')",
    "where a parent's descriptors lead": "os.readlink('/proc/1/fd/1')",
    "the clock": "__import__('time').clock_settime(0, 1)",
}


@pytest.mark.parametrize("what", POISON)
def test_what_others_use_cannot_be_poisoned(box: Boxes, what: str) -> None:
    digest = box.runner.content.put_bytes(b"what others use")
    code = POISON[what].format(
        store=str(box.runner.content.path(digest).parent), blob=str(box.runner.content.path(digest))
    )
    assert refused(box, code) in ("OSError", "PermissionError", "FileNotFoundError", "ProcessLookupError")
    assert box.runner.content.read(digest) == b"what others use"


def test_links_that_leave_are_not_followed(box: Boxes) -> None:
    """A link in out/ to a file of the machine is no output, and what was put there is not what the machine has."""
    secret = box.root / "secret"
    secret.write_text("secret")
    for target in (str(secret), "../../../../secret", "/etc/hostname"):
        failure = box.fails(f"import os; os.symlink({target!r}, 'out/answer.txt')")
        assert failure.message.startswith("the action left out/answer.txt, which is no plain file")
    failure = box.fails(f"import os; os.symlink({str(box.root)!r}, 'out/folder'); open('out/answer.txt', 'w')")
    assert failure.message.startswith("the action left out/folder, which is no declared output")
    failure = box.fails("import os; os.rmdir('out')")
    assert "OSError" in failure.tail[-1] or "PermissionError" in failure.tail[-1]


def test_a_hard_link_to_an_input_cannot_change_it(box: Boxes) -> None:
    assert refused(box, "os.link('in/a', 'tmp/a')", in__a="a") in ("OSError", "PermissionError")


@pytest.mark.parametrize("without", WEAKER)
def test_without_namespaces_the_network_is_closed_by_the_filter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without: str
) -> None:
    box = boxes(tmp_path, monkeypatch, ["json"], without)
    for what in (
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)", "socket.socket(socket.AF_INET6, socket.SOCK_STREAM)", "socket.socket(socket.AF_UNIX)",
        "socket.getaddrinfo('example.org', 80)", "os.kill(os.getppid(), 0) if 0 else ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0) + 1 or 1 / 0",
    ):  # fmt: skip
        assert refused(box, what) in ("PermissionError", "gaierror", "ZeroDivisionError")
    assert box.says("import socket; a, b = socket.socketpair(); a.send(b'x'); print(b.recv(1))") == "b'x'"
    box.runner.stop()


def test_a_gigabyte_of_output_ends_the_action_in_seconds(box: Boxes) -> None:
    """At the limit that everybody has."""
    box.says("")
    begun = time.monotonic()
    failure = box.fails("import os\npiece = b'x' * (1 << 20)\nfor _ in range(1024):\n    os.write(1, piece)\n")
    assert failure.message == "printed more than 64 MB"
    assert time.monotonic() - begun < 60
    assert len(failure.tail[0]) <= 300
