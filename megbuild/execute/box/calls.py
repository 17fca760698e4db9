"""A filter of system calls: what no conversion needs and where holes of the kernel were is refused. x86-64.

It is a program of the kernel's classic BPF, which sees the number of a call and its plain arguments. A refused call gives
EPERM, as without rights; clone3, whose arguments it cannot see, gives ENOSYS, upon which libraries use clone.
"""

from __future__ import annotations

import ctypes
import errno
import struct

from . import kernel

REFUSED = {
    "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "pidfd_getfd": 438, "process_madvise": 440,
    "add_key": 248, "request_key": 249, "keyctl": 250,
    "bpf": 321, "perf_event_open": 298, "userfaultfd": 323, "fanotify_init": 300,
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427,
    "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161, "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431,
    "fsmount": 432, "fspick": 433, "mount_setattr": 442, "swapon": 167, "swapoff": 168, "quotactl": 179, "quotactl_fd": 443, "acct": 163,
    "unshare": 272, "setns": 308,
    "name_to_handle_at": 303, "open_by_handle_at": 304, "lookup_dcookie": 212,
    "init_module": 175, "finit_module": 313, "delete_module": 176, "kexec_load": 246, "kexec_file_load": 320, "reboot": 169,
    "settimeofday": 164, "clock_settime": 227, "clock_adjtime": 305, "adjtimex": 159,
    "sethostname": 170, "setdomainname": 171, "syslog": 103, "iopl": 172, "ioperm": 173, "modify_ldt": 154, "vhangup": 153,
    "memfd_secret": 447, "open_tree_attr": 467,
}  # fmt: skip
"""By name, with their numbers."""
_NEXT = 470
"""The first number that nobody has looked at: newer kernels' calls do not exist in the box, nor those of other ABIs."""
_CLONE3, _CLONE, _SOCKET, _IOCTL = 435, 56, 41, 16
_NAMESPACES = 0x7E020000
"""All flags of clone(2) that make a namespace."""
_FAMILIES = (1, 2, 10, 16)
"""Sockets that may be made where the network is the action's own: unix, IPv4, IPv6, netlink. Others, vsock and the kernel's
ciphers among them, are not confined by namespaces."""
_TERMINAL = (0x5412, 0x541C)
"""Requests that push characters into a terminal."""
_X86_64 = 0xC000003E
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCHITECTURE, _FIRST, _SECOND = 0, 4, 16, 24
"""Where the kernel puts the number of a call, the architecture, and the low halves of two arguments."""
_GET, _SET, _FILTER = 21, 22, 2


def available() -> bool:
    """Whether the kernel has such filters."""
    return bool(kernel.libc.prctl(_GET, 0, 0, 0, 0) >= 0)


def restrict(network: bool) -> None:
    """From here on, for this process and all that it starts; it must have promised to gain no privileges.

    :param network: whether it may make sockets at all; pairs of them it may make anyway.
    """
    code = program(network)
    content = ctypes.create_string_buffer(code, len(code))
    told = struct.pack("HxxxxxxQ", len(code) // 8, ctypes.addressof(content))
    if kernel.libc.prctl(_SET, _FILTER, told, 0, 0) < 0:
        raise OSError(ctypes.get_errno(), "a filter of system calls cannot be set")


def program(network: bool) -> bytes:
    """The filter as the kernel takes it: steps of code, two jumps and a value."""
    refuse = _ERRNO | errno.EPERM
    steps: list[tuple[int, int, str, str]] = [  # what is done, with which value, and where it goes on if so or if not
        (_LOAD, _ARCHITECTURE, "", ""),
        (_EQUAL, _X86_64, "", "kill"),
        (_LOAD, _NUMBER, "", ""),
        (_AT_LEAST, _NEXT, "unknown", ""),
        *((_EQUAL, number, "refuse", "") for number in sorted(REFUSED.values())),
        (_EQUAL, _CLONE3, "unknown", ""),
        (_EQUAL, _CLONE, "clone", ""),
        (_EQUAL, _SOCKET, "socket", ""),
        (_EQUAL, _IOCTL, "terminal", "allow"),
    ]
    places: dict[str, int] = {}
    parts: dict[str, list[tuple[int, int, str, str]]] = {
        "terminal": [(_LOAD, _SECOND, "", ""), *((_EQUAL, request, "refuse", "") for request in _TERMINAL), (_RETURN, _ALLOW, "", "")],
        "clone": [(_LOAD, _FIRST, "", ""), (_ANY_BIT, _NAMESPACES, "refuse", "allow")],
        "socket": [
            (_LOAD, _FIRST, "", ""),
            *((_EQUAL, family, "allow", "") for family in (_FAMILIES if network else ())),
            (_RETURN, refuse, "", ""),
        ],
        "allow": [(_RETURN, _ALLOW, "", "")],
        "refuse": [(_RETURN, refuse, "", "")],
        "unknown": [(_RETURN, _ERRNO | errno.ENOSYS, "", "")],
        "kill": [(_RETURN, _KILL, "", "")],
    }  # fmt: skip
    for name, part in parts.items():
        places[name] = len(steps)
        steps += part
    packed = []
    for at, (code, value, true, false) in enumerate(steps):
        jumps = [places[name] - at - 1 if name else 0 for name in (true, false)]
        packed.append(struct.pack("HBBI", code, *jumps, value))
    return b"".join(packed)
