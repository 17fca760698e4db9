"""The OpenSSF model-signing signature of a release, beside its DSSE envelopes, for receivers who verify models with that tool.

It signs the digests of the files of the unpacked bundle, with an elliptic key (P-256), because that tool takes no Ed25519.
It needs the extra ``megbuild[model-signing]``, and no network.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from megbuild.errors import FAILED, fail
from megbuild.release.archive import Piece
from megbuild.store.durable import part_beside

SIGNED = ".model.sig"
"""Behind the name of the bundle: a Sigstore bundle in JSON."""


def sign(pieces: Mapping[str, Piece], key: Path, signature: Path) -> None:
    """Sign the files of a bundle by their names in its folder.

    :param key: an elliptic private key in PEM, without a passphrase: ``doit key new FILE --model-signing``.
    :raises MegbuildError: MB714 where the package is not installed, MB715 for a key that cannot be used.
    """
    signing = _module("signing")
    with tempfile.TemporaryDirectory(prefix="megbuild-") as temporary:
        for name, piece in pieces.items():
            path = Path(temporary, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(piece.read())
        part = part_beside(signature)
        try:
            signing.Config().use_elliptic_key_signer(private_key=key).sign(temporary, part)
            part.rename(signature)
        except (OSError, ValueError, TypeError, AttributeError) as error:
            part.unlink(missing_ok=True)
            raise fail("MB715", f"{key} cannot sign: {error}", "make one: doit key new FILE --model-signing") from None


def verify(folder: Path, key: Path, signature: Path) -> str:
    """Check an unpacked bundle against its signature; the line that says so.

    :raises MegbuildError: MB714 where the package is not installed, MB715 for a key that cannot be used, MB716 where the
        signature is missing, by another key, or of other files.
    """
    verifying = _module("verifying")
    if not signature.is_file():
        raise fail("MB716", f"there is no signature {signature.name}", "it stands beside the archive", status=FAILED)
    try:
        verifier = verifying.Config().use_elliptic_key_verifier(public_key=key)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise fail("MB715", f"{key} cannot verify: {error}", "it is the .pub file of the signer") from None
    try:
        verifier.verify(folder, signature)
    except Exception as error:  # each of its layers has its own
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise fail(
            "MB716", f"{signature.name} is not of these files by this key: {first}", "do not use it", status=FAILED
        ) from None
    return f"{signature.name} is of these files by {key.name}"


def needed() -> None:
    """Raise MB714 now, where the package is not installed, and not after the build."""
    _module("signing")


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(f"model_signing.{name}")
    except ImportError as error:
        hint = "pip install 'megbuild[model-signing]'"
        raise fail("MB714", f"a model-signing signature needs a package that is not here: {error.name}", hint) from None
