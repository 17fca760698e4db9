"""Keys and signed statements: Ed25519 in DSSE envelopes, one envelope a line."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from megbuild.errors import FAILED, fail
from megbuild.release.provenance import Statement
from megbuild.release.verify import PAYLOAD, encoding

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

VARIABLE = "env:"
"""How the name of a variable begins that holds a key, for machines where no file should."""


def new_key(path: Path, *, elliptic: bool = False) -> Path:
    """Make a key pair: the private one at ``path``, for its owner alone, the public one beside it as ``.pub``.

    It is of Ed25519, or with ``elliptic`` of P-256, for :mod:`megbuild.release.model_signature`.
    """
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    public = path.with_name(f"{path.name}.pub")
    for there in (path, public):
        if there.exists():
            raise fail("MB707", f"{there} exists already", "a key is never overwritten: choose another name")
    key = ec.generate_private_key(ec.SECP256R1()) if elliptic else Ed25519PrivateKey.generate()
    secret = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secret)
    public.write_bytes(key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo))
    return public


def private_key(reference: str) -> Ed25519PrivateKey:
    """The key of a file, or of the variable that ``env:NAME`` names; MB708 when it is none."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        if reference.startswith(VARIABLE):
            content = os.environ[reference.removeprefix(VARIABLE)].encode()
        else:
            content = Path(reference).read_bytes()
    except (KeyError, OSError):
        raise fail("MB708", f"there is no key {reference}", "make one: doit key new FILE; or env:VARIABLE") from None
    try:
        key = load_pem_private_key(content, None)
    except (ValueError, TypeError):
        raise fail("MB708", f"{reference} holds no private key", "it is PEM, without a passphrase") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise fail("MB708", f"{reference} is not an Ed25519 key", "doit key new FILE", status=FAILED)
    return key


def envelopes(statements: Iterable[Statement], key: Ed25519PrivateKey) -> bytes:
    """The signed statements, one a line."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    name = hashlib.sha256(public).hexdigest()
    lines = []
    for statement in statements:
        body = json.dumps(statement, sort_keys=True, separators=(",", ":")).encode()
        signature = base64.b64encode(key.sign(encoding(PAYLOAD, body))).decode()
        envelope = {
            "payload": base64.b64encode(body).decode(),
            "payloadType": PAYLOAD,
            "signatures": [{"keyid": name, "sig": signature}],
        }
        lines.append(json.dumps(envelope, sort_keys=True, separators=(",", ":")))
    return "".join(f"{line}\n" for line in lines).encode()
