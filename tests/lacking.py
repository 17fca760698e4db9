"""A machine that has less: system calls that fail for a process and all that it starts, by a filter of the test's own.

To be called in a process of its own, such as before a command in ``preexec_fn``: it cannot be undone.
"""

from __future__ import annotations

import ctypes
import errno
import struct

_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_FIRST = 16
_NEW_USERS = 0x10000000
LACKS = {
    "namespaces": [(56, _ANY_BIT, _NEW_USERS, errno.EPERM), (272, _ANY_BIT, _NEW_USERS, errno.EPERM), (435, None, 0, errno.ENOSYS)],
    "mounts": [(165, None, 0, errno.EACCES)],
    "landlock": [(444, None, 0, errno.ENOSYS)],
    "seccomp": [(157, _EQUAL, 21, errno.EINVAL), (157, _EQUAL, 22, errno.EINVAL), (317, None, 0, errno.ENOSYS)],
}  # fmt: skip
"""By what is missing: the number of a call, what its first argument must be for that, and how it fails.

``mounts`` is what AppArmor does to namespaces of ordinary users: they can be made, and nothing be done in them.
"""


def lack(*names: str) -> None:
    """From here on, these are missing."""
    steps: list[tuple[int, int, int, int]] = []
    for name in names:
        for call, how, value, number in LACKS[name]:
            steps.append((_LOAD, 0, 0, 0))
            if how is None:
                steps.append((_EQUAL, 0, 1, call))
            else:
                steps += [(_EQUAL, 0, 3, call), (_LOAD, 0, 0, _FIRST), (how, 0, 1, value)]
            steps.append((_RETURN, 0, 0, _ERRNO | number))
    steps.append((_RETURN, 0, 0, _ALLOW))
    code = b"".join(struct.pack("HBBI", *step) for step in steps)
    content = ctypes.create_string_buffer(code, len(code))
    libc = ctypes.CDLL(None, use_errno=True)
    told = struct.pack("HxxxxxxQ", len(steps), ctypes.addressof(content))
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, told, 0, 0):
        raise OSError(ctypes.get_errno(), "the test's filter cannot be set")
