"""What hostile code would do, in a box that an ordinary user made: ``as_user.py FOLDER``, with megbuild's part of it there."""

from __future__ import annotations

import sys
from pathlib import Path

ATTEMPTS = [
    "open('/etc/passwd')", "os.listdir('/home')", "open('/work/in', 'w')", "open('/toolchain/x', 'w')", "os.listdir('/megbuild/actions')",
    "socket.create_connection(('127.0.0.1', 9), 1)", "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))",
    "os.kill(1, 9)", "os.setuid(1)", "os.chroot('/work')", "call('unshare', 0x10000000)", "call('mount', b'x', b'/work/tmp', b'tmpfs', 0, None)",
    "call('ptrace', 16, 1, None, None)", "__import__('time').clock_settime(0, 1)",
]  # fmt: skip
CODE = f"""
import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)

def call(name, *arguments):
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)

for what in {ATTEMPTS!r}:
    try:
        eval(what)
        print('did', what)
    except (OSError, socket.error) as error:
        print(type(error).__name__)
open('/work/out/x', 'w').write('x')
"""


def main(place: Path) -> None:
    """Make the box, run the attempts in it, and print what became of each."""
    sys.path.insert(0, str(place))
    from megbuild.execute.zygote import Kind, Limits, WorkerCode, Zygote

    kind = Kind("user", "/usr/bin/python3", ("/usr",), ("-B", "-s"), ("json",), (("PATH", "/usr/bin"),))
    zygote = Zygote(kind, place / "actions", place / "log")
    zygote.start()
    print("box:", zygote.box.confined, zygote.box.why)
    stage = place / "actions/a"
    for folder in ("out", "home", "tmp", "code"):
        (stage / folder).mkdir(parents=True)
    (stage / "code/main.py").write_text(CODE)
    code = WorkerCode({})
    ending = zygote.run("a", ["code/main.py"], {"PATH": "/usr/bin"}, code, place / "said", Limits(1 << 32, seconds=30))
    zygote.stop()
    print((place / "said").read_text(), end="")
    assert ending.well, ending
    assert (stage / "out/x").read_text() == "x"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
