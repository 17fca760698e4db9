"""Lite's packed model: the bits of the .mge, encrypted or not; and a key that is nowhere but in what it encrypts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import SMALL
from .workspace import Workspace

Make = Callable[[dict[str, str]], Workspace]

KEY = hashlib.sha256(b"a test's").hexdigest()
OTHER = hashlib.sha256(b"another test's").hexdigest()
PUBLIC = bytes(range(32)).hex()

BROKEN = {
    "rules/broken/rule.py": """
        from megbuild.rule import Option, Rule

        RULE = Rule(consumes="mge", produces="broken", files=(".x",), toolchain="megengine", embeds=True,
                    options={"encrypt": Option("")}, secrets=("encrypt",))
    """,
    "rules/broken/worker.py": """
        import os


        def build(job):
            key = job.secret("encrypt")
            left = [name for name, value in os.environ.items() if key.hex() in value]
            raise ValueError(f"a key of {len(key)} bytes, and {left or 'none'} is left")
    """,
}
"""A rule of the workspace's own that gets a key and crashes."""


def outputs(**lines: str) -> dict[str, str]:
    """MODELS.toml of the small model with these outputs, all for x86 and packed."""
    text = SMALL["MODELS.toml"].replace("[models.scale.outputs.x86]\n", "").rstrip()
    for name, more in lines.items():
        text += f'\n{" " * 8}[models.scale.outputs.{name}]\n{" " * 8}embed = "lite_pack"'
        text += "".join(f"\n{' ' * 8}{line}" for line in more.split("; "))
    return {"MODELS.toml": text + "\n"}


def places_of(secret: str, *folders: Path) -> list[str]:
    """Every file, and every file's name, that shows a key in one of its forms."""
    forms = [secret.encode(), secret.upper().encode(), bytes.fromhex(secret)]
    return [
        str(path)
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file()
        and not path.is_symlink()
        and any(form in path.read_bytes() or form in str(path).encode() for form in forms)
    ]


def test_packed(unbuilt: Make) -> None:
    space = unbuilt(outputs(plain='hardware = "x86"', phone='hardware = "arm64"'))
    outcome = space.build()
    assert outcome.status == 0, outcome.text
    row = outcome.rows["//:scale@plain"]
    assert (row["verdict"], row["runtime"][:12], row["samples"]) == ("pass", "Lite Python ", 1)
    packed = Path(space.root, row["artifact"]).read_bytes()
    assert row["artifact"].endswith("scale.lite") and packed.startswith(b"packed_model")
    record = json.loads(Path(space.root, "out/scale/plain/record.json").read_text())
    assert record["road"] == ["traced_module/tm", "mge", "lite_pack"]
    for key in (b'"use_tensor_rt"', b'"record_level"'):  # of Lite's README, which its parser does not read
        assert key not in packed
    assert b'"shape": {"dim0": 1, "dim1": 3}' in packed
    assert outcome.rows["//:scale@phone"]["verdict"] == "not run"
    assert space.build().status == 0


def test_encrypted(unbuilt: Make, tmp_path: Path) -> None:
    """The same network, unreadable; the key is in no file that the build leaves."""
    space = unbuilt(outputs(secret='hardware = "x86"; encrypt = "env:NET_KEY"', plain='hardware = "x86"'))
    space.environment = {"NET_KEY": KEY}
    outcome = space.build()
    assert outcome.status == 0, outcome.text
    row, plain = outcome.rows["//:scale@secret"], outcome.rows["//:scale@plain"]
    assert (row["verdict"], row["metrics"]) == ("pass", plain["metrics"])
    packed = Path(space.root, row["artifact"]).read_bytes()
    assert packed.startswith(b"packed_model") and b"AES_default" in packed and b"dim0" not in packed
    assert KEY not in outcome.text
    assert places_of(KEY, space.root, space.cache / "store") == []
    assert "key " in Path(space.root, "out/scale/secret/record.json").read_text(), "the commitment is what a record has"
    assert space.build(summary=False).ran == {}

    space.forget_store()
    space.doit("forget", "//:scale@secret")
    assert space.build().status == 0
    assert Path(space.root, row["artifact"]).read_bytes() == packed, "the initial vector is no random one"

    space.environment = {"NET_KEY": OTHER}
    again = space.build()
    assert again.status == 0, again.text
    assert set(again.ran) == {"//:scale#lite_pack-encrypt", "//:scale#lite_pack-encrypt+measured"}
    assert Path(space.root, row["artifact"]).read_bytes() != packed
    assert places_of(OTHER, space.root, space.cache / "store") == []


def test_a_failed_action_leaves_no_key(unbuilt: Make) -> None:
    """Its folder, its log and the script that runs it by hand stay."""
    models = outputs(secret='hardware = "x86"; encrypt = "env:NET_KEY"')["MODELS.toml"].replace("lite_pack", "broken")
    space = unbuilt({"MODELS.toml": models, **BROKEN})
    space.environment = {"NET_KEY": KEY}
    outcome = space.build(summary=False)
    assert outcome.status == 1, outcome.text
    (script,) = space.root.glob(".megbuild/actions/*broken*/run.sh")
    assert "env -i" in script.read_text()
    assert f"a key of {len(KEY) // 2} bytes, and none is left" in outcome.text
    assert places_of(KEY, space.root, space.cache / "store") == []


def test_a_key_in_a_file(unbuilt: Make, tmp_path: Path) -> None:
    key = tmp_path / "net.key"
    key.write_text(KEY + "\n")
    key.chmod(0o600)
    space = unbuilt(outputs(secret=f'hardware = "x86"; encrypt = "{key}"'))
    assert space.build(summary=False).status == 0
    assert places_of(KEY, space.root, space.cache / "store") == []
    space.environment = {"NET_KEY": KEY}
    space.edit("MODELS.toml", str(key), "env:NET_KEY")
    assert space.build(summary=False).ran == {}, "where the key lies decides nothing"
    key.chmod(0o644)
    space.edit("MODELS.toml", "env:NET_KEY", str(key))
    outcome = space.build(summary=False)
    assert outcome.status == 2
    assert f"MODELS.toml:13:11: {key} can be read by others than its owner [MB131]" in outcome.errors


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "the variable NET_KEY, which should hold a key, is not set [MB129]"),
        ("a passphrase", "the variable NET_KEY holds no key of 256 bits, 64 hexadecimal digits [MB130]"),
        (PUBLIC, "the variable NET_KEY holds the key that is built into Lite: everybody has it [MB131]"),
        ("11" * 32, "the variable NET_KEY holds a key that follows a pattern: it can be guessed [MB131]"),
        (
            bytes(range(7, 39)).hex(),
            "the variable NET_KEY holds a key that follows a pattern: it can be guessed [MB131]",
        ),
    ],
)
def test_what_is_no_key(unbuilt: Make, value: str | None, said: str) -> None:
    space = unbuilt(outputs(secret='hardware = "x86"; encrypt = "env:NET_KEY"'))
    space.environment = {"NET_KEY": value} if value else {}
    outcome = space.build(summary=False)
    assert (outcome.status, outcome.ran) == (2, {})
    assert outcome.errors[0] == f"MODELS.toml:13:11: {said}"
    assert not value or value not in outcome.text


def test_what_cannot_be_wrapped(unbuilt: Make) -> None:
    space = unbuilt(outputs(onnx='encrypt = "env:NET_KEY"'))
    outcome = space.build(summary=False)
    assert outcome.status == 2
    assert "no installed rule wraps a onnx, which onnx takes, in the format" in outcome.text
