"""The four functions of megfile that MegEngine and Lite use, for files on this machine.

megfile reads and writes many kinds of remote storage; its dependencies take a second of every import of MegEngine.
Actions see local files only.
"""

import hashlib
import shutil
from pathlib import Path


def smart_open(path, mode="r", **options):
    """Open a file; ``options`` are those of :func:`open`."""
    return open(path, mode, **options)


def smart_getsize(path):
    """The file's size in bytes."""
    return Path(path).stat().st_size


def smart_copy(source, target, callback=None, **options):
    """Copy a file; ``callback``, when given, is told the number of bytes once at the end."""
    shutil.copyfile(source, target)
    if callback is not None:
        callback(smart_getsize(target))


def smart_getmd5(path, **options):
    """The MD5 digest of the file in hex."""
    digest = hashlib.md5()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
