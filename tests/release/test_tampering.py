"""Every way to tamper with a release that is in the table is found, by verify.py alone and in an archive."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from megbuild.release import verify
from megbuild.release.archive import Piece, write
from megbuild.release.sign import new_key

from .conftest import Shop, Unpack


@pytest.fixture
def key(tmp_path: Path) -> Path:
    new_key(tmp_path / "signer")
    return tmp_path / "signer"


def problem(release: Path, key: Path | None = None, signature: Path | None = None) -> str:
    """What the verifier says is wrong; empty when it is sound."""
    try:
        list(verify.check(release, key, signature, run=False))
        return ""
    except verify.Unsound as error:
        return str(error)


def sums(folder: Path) -> None:
    """Write SHA256SUMS anew, as one would who tampers."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    lines = [f"{hashlib.sha256((folder / n).read_bytes()).hexdigest()}  {n}\n" for n in names if n != "SHA256SUMS"]
    (folder / "SHA256SUMS").write_text("".join(lines))


def edit(path: Path, change: Callable[[Any], None]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")


def flip(folder: Path) -> None:
    path = folder / "artifacts/x86/net/x86/net.mge"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def swap(folder: Path) -> None:
    a, b = folder / "artifacts/x86/net/x86/net.mge", folder / "artifacts/onnx/net/onnx/net.onnx"
    first, second = a.read_bytes(), b.read_bytes()
    a.write_bytes(second)
    b.write_bytes(first)


def rename(folder: Path) -> None:
    (folder / "artifacts/x86/net/x86/net.mge").rename(folder / "artifacts/x86/net/x86/other.mge")


def downgrade(folder: Path) -> None:
    next(iter(sorted((folder / "locks").iterdir()))).write_text("megengine==1.0 --hash=sha256:" + "0" * 64 + "\n")


def add(folder: Path) -> None:
    (folder / "x.mge").write_bytes(b"x")


def downgrade_summed(folder: Path) -> None:
    downgrade(folder)
    sums(folder)


def unproven(folder: Path) -> None:
    (folder / "provenance/net/x86.json").unlink()
    sums(folder)


def consistent(change: Callable[[Path], None]) -> Callable[[Path], None]:
    """The change, with SHA256SUMS and the manifest made to agree."""

    def changed(folder: Path) -> None:
        change(folder)

        def agree(manifest: Any) -> None:
            files = [file for artifact in manifest["artifacts"] for file in artifact["files"]]
            for entry in [*files, *(lock for one in manifest["toolchains"] for lock in one["locks"])]:
                content = (folder / entry["path"]).read_bytes()
                entry["sha256"] = hashlib.sha256(content).hexdigest()
                if "size" in entry:
                    entry["size"] = len(content)

        edit(folder / "manifest.json", agree)
        sums(folder)

    return changed


def forged(change: Callable[[Path], None]) -> Callable[[Path], None]:
    """The change, with everything in the bundle made to agree, the provenance as well: only a signature tells."""

    def changed(folder: Path) -> None:
        consistent(change)(folder)
        manifest = json.loads((folder / "manifest.json").read_text())
        known = {lock["path"]: lock["sha256"] for one in manifest["toolchains"] for lock in one["locks"]}
        for artifact in manifest["artifacts"]:

            def agree(statement: Any, files: Any = artifact["files"]) -> None:
                statement["subject"] = [{"name": f["path"], "digest": {"sha256": f["sha256"]}} for f in files]
                for needed in statement["predicate"]["buildDefinition"]["resolvedDependencies"]:
                    if needed["name"] in known:
                        needed["digest"] = {"sha256": known[needed["name"]]}

            edit(folder / artifact["provenance"], agree)
        sums(folder)

    return changed


def said(key: str, value: Any) -> Callable[[Path], None]:
    def changed(folder: Path) -> None:
        edit(folder / "manifest.json", lambda manifest: manifest.update({key: value}))
        sums(folder)

    return changed


def unlisted(folder: Path) -> None:
    (folder / "artifacts" / "x86" / "extra.mge").write_bytes(b"x")
    sums(folder)


def replayed(folder: Path) -> None:
    """A statement of another version in the place of this one."""

    def older(statement: Any) -> None:
        statement["predicate"]["buildDefinition"]["externalParameters"]["version"] = "1.1.0"

    edit(folder / "provenance/net/x86.json", older)
    sums(folder)


def exchanged(folder: Path) -> None:
    shutil.copyfile(folder / "provenance/net/onnx.json", folder / "provenance/net/x86.json")
    sums(folder)


def linked(folder: Path) -> None:
    path = folder / "artifacts/x86/net/x86/net.mge"
    path.rename(folder.parent / "elsewhere")
    path.symlink_to(folder.parent / "elsewhere")


UNSIGNED: dict[str, tuple[Callable[[Path], None], str]] = {
    "a bit flipped": (flip, "net.mge is not the file of the release"),
    "artifacts swapped": (swap, "is not the file of the release"),
    "a file renamed": (rename, "other.mge was added"),
    "a file added": (add, "x.mge was added"),
    "a file added and summed": (unlisted, "extra.mge is in no artifact of the manifest"),
    "a file missing": (lambda f: (f / "README.md").unlink(), "README.md is missing"),
    "the sums missing": (lambda f: (f / "SHA256SUMS").unlink(), "there is no SHA256SUMS"),
    "a link in the place of a file": (linked, "is no plain file"),
    "a lock downgraded": (downgrade, "is not the file of the release"),
    "a lock downgraded and summed": (downgrade_summed, "is not the one that the manifest"),
    "a lock downgraded consistently": (consistent(downgrade), "was made with another locks/"),
    "artifacts swapped consistently": (consistent(swap), "is about other files"),
    "another version said": (said("version", "9.9"), "is of another release: edge 1.2.0"),
    "another commit said": (said("commit", "0" * 40), "was made from the commit"),
    "a replayed statement": (replayed, "is of another release: edge 1.1.0"),
    "an exchanged statement": (exchanged, "is about other files"),
    "a statement missing": (unproven, "the provenance of //:net@x86 is missing"),
    "the verdict flattered": (
        lambda f: edit(f / "manifest.json", lambda m: m["artifacts"][0]["verdict"].update(state="pass!")),
        "manifest.json is not the file of the release",
    ),
}


@pytest.fixture
def sound(shop: Shop, key: Path, unpack: Unpack) -> tuple[Path, Path, Path]:
    """The archive, its signed statements, and the folder in it."""
    archive = shop.release("edge", sign=str(key))
    return archive, archive.parent / "edge-1.2.0.intoto.jsonl", unpack(archive)


def test_without_a_signature(sound: tuple[Path, Path, Path], tmp_path: Path) -> None:
    assert problem(sound[2]) == ""
    for number, (case, (change, expected)) in enumerate(UNSIGNED.items()):
        folder = Path(shutil.copytree(sound[2], tmp_path / str(number) / "edge"))
        change(folder)
        assert expected in problem(folder), case


FORGED = {"swapped": swap, "downgraded": downgrade, "flipped": flip}


def test_a_forgery_that_agrees_with_itself_needs_the_signature(
    sound: tuple[Path, Path, Path], key: Path, tmp_path: Path
) -> None:
    _, signed, whole = sound
    public = key.with_name("signer.pub")
    assert problem(whole, public, signed) == ""
    for case, change in FORGED.items():
        folder = Path(shutil.copytree(whole, tmp_path / case))
        forged(change)(folder)
        assert problem(folder) == "", case  # that is why there are signatures
        assert "the SHA-256 of SHA256SUMS differs" in problem(folder, public, signed), case


def resigned(signed: Path, change: Callable[[list[Any]], list[Any]]) -> None:
    lines = [json.loads(line) for line in signed.read_text().splitlines()]
    signed.write_text("".join(json.dumps(line) + "\n" for line in change(lines)))


def altered(lines: list[Any]) -> list[Any]:
    body = json.loads(base64.b64decode(lines[1]["payload"]))
    body["predicate"]["runDetails"]["builder"]["id"] = "urn:someone"
    return [lines[0], {**lines[1], "payload": base64.b64encode(json.dumps(body).encode()).decode()}, *lines[2:]]


SIGNED: dict[str, tuple[Callable[[list[Any]], list[Any]], str]] = {
    "a statement altered": (altered, "is not signed by this key"),
    "a statement left out": (lambda lines: lines[:-1], "not those of the artifacts"),
    "a statement twice": (lambda lines: [*lines, lines[-1]], "not those of the artifacts"),
    "no statement about the whole": (lambda lines: lines[1:], "0 signed statements are about the whole"),
    "no signatures": (lambda lines: [{**line, "signatures": []} for line in lines], "is not signed by this key"),
    "signatures of others": (
        lambda lines: [{**line, "signatures": lines[0]["signatures"]} for line in lines],
        "is not signed by this key",
    ),
    "another type": (lambda lines: [{**line, "payloadType": "text/plain"} for line in lines], "is not signed"),
    "nonsense": (lambda lines: [{"payload": 1}], "no signed statement"),
}


def test_signatures(sound: tuple[Path, Path, Path], key: Path) -> None:
    archive, signed, _ = sound
    before = signed.read_bytes()
    for case, (change, expected) in SIGNED.items():
        signed.write_bytes(before)
        resigned(signed, change)
        assert expected in problem(archive, key.with_name("signer.pub")), case


def test_a_wrong_key_a_missing_and_a_replayed_signature(shop: Shop, key: Path, tmp_path: Path) -> None:
    old = shop.release("edge", sign=str(key), version="1.1.0")
    archive = shop.release("edge", sign=str(key))
    public = key.with_name("signer.pub")
    assert problem(archive, public) == ""
    assert "is not signed by this key" in problem(archive, new_key(tmp_path / "other"))
    signed = archive.parent / "edge-1.2.0.intoto.jsonl"
    before = signed.read_bytes()
    signed.write_bytes((old.parent / "edge-1.1.0.intoto.jsonl").read_bytes())
    assert "the signature is of another release: edge 1.1.0" in problem(archive, public)
    signed.unlink()
    assert "there is no signature" in problem(archive, public)
    signed.write_bytes(before)
    renamed = archive.rename(archive.with_name("edge-9.0.tar.zst"))
    assert "was renamed: it holds edge-1.2.0" in problem(renamed, public, signed)


ARCHIVES: dict[str, tuple[dict[str, bytes], str]] = {
    "leaves its folder": ({"edge-1.2.0/../x": b""}, "bad or repeated name"),
    "an absolute name": ({"/etc/x": b""}, "bad or repeated name"),
    "two folders": ({"edge-1.2.0/a": b"", "other/b": b""}, "was renamed: it holds edge-1.2.0, other"),
    "nothing": ({}, "holds nothing"),
}


@pytest.mark.parametrize("case", ARCHIVES)
def test_archives_that_are_none_of_ours(tmp_path: Path, case: str) -> None:
    files, expected = ARCHIVES[case]
    for suffix in (".tar.zst", ".zip"):
        path = tmp_path / f"edge-1.2.0{suffix}"
        write({name: Piece.of(content) for name, content in files.items()}, path, 0)
        assert expected in problem(path)


def test_a_damaged_archive(sound: tuple[Path, Path, Path], key: Path) -> None:
    archive = sound[0]
    content = bytearray(archive.read_bytes())
    for place in (10, len(content) // 2, len(content) - 3):
        damaged = bytes([*content[:place], content[place] ^ 4, *content[place + 1 :]])
        archive.write_bytes(damaged)
        assert problem(archive, key.with_name("signer.pub"))
    archive.write_bytes(content[: len(content) // 2])
    assert problem(archive)


def test_verify_py_needs_nothing_but_python(sound: tuple[Path, Path, Path], tmp_path: Path) -> None:
    _, _, folder = sound
    bare = [sys.executable, "-I", "-S", str(folder / "verify.py")]  # no site-packages at all
    done = subprocess.run(bare, cwd=tmp_path, capture_output=True, text=True, env={})
    assert done.returncode == 0, done.stderr
    assert "edge 1.2.0 holds 3 artifacts" in done.stdout and done.stdout.endswith("sound\n")
    assert "note: no artifact was run: NumPy is not installed" in done.stdout
    unable = subprocess.run([*bare, "--key", "k", "--signature", str(sound[1])], capture_output=True, text=True)
    assert (unable.returncode, "needs the package cryptography" in unable.stderr) == (2, True)
    flip(folder)
    done = subprocess.run(bare, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith("NOT SOUND: ")


def test_the_command_says_the_same(
    shop: Shop, sound: tuple[Path, Path, Path], key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = sound[0]
    assert shop.run("verify", str(archive), key=str(key.with_name("signer.pub"))) == 0
    said = capsys.readouterr().out
    assert "4 statements are signed by signer.pub" in said and said.endswith("sound\n")
    archive.write_bytes(archive.read_bytes()[:-9])
    assert shop.run("verify", str(archive)) == 1
    assert "is not sound: " in capsys.readouterr().err
    assert shop.run("verify", "none.zip") == 2


def test_rebuild_compares_bit_by_bit(
    shop: Shop, sound: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    archive = sound[0]
    (shop.root / "net.py").write_text("def build(weights): return 3\n")  # the commit counts, not what is here now
    assert shop.run("verify", str(archive), rebuild=True) == 0
    assert "files are the same, bit by bit" in capsys.readouterr().out
    shop.toy.salt = "a tool that does not do the same every time"
    assert shop.run("verify", str(archive), rebuild=True) == 1
    said = capsys.readouterr().err
    assert "built again, these files differ: SHA256SUMS" in said and "artifacts/chip/net/chip/net.npu" in said
    assert os.environ["MEGBUILD_CACHE"] == str(shop.toy.cache)


def test_a_model_signing_signature(
    shop: Shop, key: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the package of the OpenSSF itself: its own verifier takes it, and finds a changed file."""
    from model_signing import verifying

    public = new_key(tmp_path / "elliptic", elliptic=True)
    plain = shop.release("edge", sign=str(key)).read_bytes()
    archive = shop.release("edge", sign=str(key), model_signing=str(tmp_path / "elliptic"))
    assert archive.read_bytes() == plain  # it stands beside the archive
    signature = archive.parent / "edge-1.2.0.model.sig"
    folder = verify.unpack(archive, tmp_path / "received")
    verifying.Config().use_elliptic_key_verifier(public_key=public).verify(folder, signature)
    assert shop.run("verify", str(archive), model_key=str(public)) == 0
    assert "edge-1.2.0.model.sig is of these files by elliptic.pub" in capsys.readouterr().out
    other = new_key(tmp_path / "other", elliptic=True)
    assert shop.run("verify", str(archive), model_key=str(other)) == 1
    flip(folder)
    with pytest.raises(ValueError, match="mismatch"):
        verifying.Config().use_elliptic_key_verifier(public_key=public).verify(folder, signature)
    capsys.readouterr()
    signature.unlink()
    assert shop.run("verify", str(archive), model_key=str(public)) == 1
    assert "there is no signature edge-1.2.0.model.sig [MB716]" in capsys.readouterr().err
    assert shop.run("edge", model_signing=str(key)) == 2
    assert f"{key} cannot sign: " in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "model_signing", None)
    monkeypatch.delitem(sys.modules, "model_signing.signing")
    assert shop.run("edge", model_signing=str(tmp_path / "elliptic")) == 2
    assert "[MB714]\n  hint: pip install 'megbuild[model-signing]'" in capsys.readouterr().err
