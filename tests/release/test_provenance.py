"""Statements, signatures and the bill of materials; and that nothing secret gets into any of them."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path

import pytest

from megbuild.errors import MegbuildError
from megbuild.release.bom import bill
from megbuild.release.packages import packages
from megbuild.release.sign import new_key, private_key

from .conftest import Shop, Unpack


def test_a_statement_is_slsa_provenance(shop: Shop, unpack: Unpack) -> None:
    folder = unpack(shop.release("edge"))
    statement = json.loads((folder / "provenance/net/chip.json").read_text())
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    assert [subject["name"] for subject in statement["subject"]] == ["artifacts/chip/net/chip/net.npu"]
    definition = statement["predicate"]["buildDefinition"]
    assert definition["externalParameters"]["label"] == "//:net@chip"
    assert definition["externalParameters"]["options"]["target"] == "b"
    needed = {one["name"]: one for one in definition["resolvedDependencies"]}
    assert set(needed["source"]["digest"]) == {"gitCommit"}
    assert needed["source"]["uri"].startswith("git+https://example.org/models@")
    assert {"net.py", "train.py", "samples/0.npy"} <= needed.keys()
    assert any(name.startswith("locks/convert-") for name in needed)
    assert [one["id"] for one in definition["internalParameters"]["actions"]][-1] == "//:net@chip"
    assert "metadata" not in statement["predicate"]["runDetails"]


def test_sources_are_named_by_the_bytes_that_git_has(shop: Shop, unpack: Unpack) -> None:
    import hashlib

    text = b"# a comment, which the canonical form does not have\ndef build(weights): return 1\n"
    (shop.root / "net.py").write_bytes(text)
    shop.commit()
    statement = json.loads((unpack(shop.release("edge")) / "provenance/net/x86.json").read_text())
    needed = {one["name"]: one for one in statement["predicate"]["buildDefinition"]["resolvedDependencies"]}
    assert needed["net.py"]["digest"]["sha256"] == hashlib.sha256(text).hexdigest()


def test_only_the_signed_statements_have_times(shop: Shop, tmp_path: Path) -> None:
    new_key(tmp_path / "key")
    archive = shop.release("edge", sign=str(tmp_path / "key"))
    lines = (archive.parent / "edge-1.2.0.intoto.jsonl").read_text().splitlines()
    bodies = [json.loads(base64.b64decode(json.loads(line)["payload"])) for line in lines]
    assert len(bodies) == 4
    for body in bodies:
        metadata = body["predicate"]["runDetails"]["metadata"]
        assert metadata["startedOn"] <= metadata["finishedOn"] and metadata["finishedOn"].endswith("Z")
    assert {subject["name"] for subject in bodies[0]["subject"]} == {"edge-1.2.0.tar.zst", "SHA256SUMS"}


def test_the_envelope_is_dsse(shop: Shop, tmp_path: Path) -> None:
    """The encoding by its specification, not by our own function."""
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    public = load_pem_public_key(new_key(tmp_path / "key").read_bytes())
    archive = shop.release("edge", sign=str(tmp_path / "key"))
    envelope = json.loads((archive.parent / "edge-1.2.0.intoto.jsonl").read_text().splitlines()[0])
    body = base64.b64decode(envelope["payload"])
    signed = b" ".join([b"DSSEv1", b"28", b"application/vnd.in-toto+json", str(len(body)).encode(), body])
    public.verify(base64.b64decode(envelope["signatures"][0]["sig"]), signed)  # type: ignore[union-attr, call-arg]
    assert len(envelope["signatures"][0]["keyid"]) == 64


def test_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    public = new_key(tmp_path / "key")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert b"PRIVATE" not in public.read_bytes()
    with pytest.raises(MegbuildError, match=r"exists already \[MB707\]"):
        new_key(tmp_path / "key")
    monkeypatch.setenv("SIGNER", (tmp_path / "key").read_text())
    assert private_key("env:SIGNER").public_key() == private_key(str(tmp_path / "key")).public_key()
    for bad, said in (("none", "no key none"), ("env:NONE", "no key env:NONE"), (str(public), "no private key")):
        with pytest.raises(MegbuildError, match=said):
            private_key(bad)


def test_a_bad_key_is_said_before_anything_is_built(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    assert shop.run("edge", sign="none.pem") == 2
    assert "there is no key none.pem [MB708]" in capsys.readouterr().err
    assert shop.toy.ran == []


def test_the_bill_of_materials_keeps_its_schema(shop: Shop, unpack: Unpack) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = (unpack(shop.release("edge")) / "bom.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    document = json.loads(text)
    assert "timestamp" not in document["metadata"]
    (model,) = [one for one in document["components"] if one["type"] == "machine-learning-model"]
    assert model["modelCard"]["modelParameters"]["inputs"] == [{"format": "data float32[1, 3]"}]
    metrics = model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert {"type": "cosine", "value": "1", "slice": "//:net@chip"} in metrics
    assert {part["bom-ref"] for part in model["components"]} == {"//:net@chip", "//:net@onnx", "//:net@x86"}
    text = json.dumps({**document, "specVersion": "1.7", "bomFormat": "none"})
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is not None  # the validator does validate


def test_an_empty_bill_has_a_serial_number_of_its_contents() -> None:
    one, two = (bill("a", version, "c", (), {}, ()) for version in ("1", "2"))
    assert one["serialNumber"] != two["serialNumber"] == bill("a", "2", "c", (), {}, ())["serialNumber"]


def test_packages_of_a_lock() -> None:
    lock = (
        "# made by x\na-b[c]==1.0 ; python_version < '3' \\\n    --hash=sha256:" + "1" * 64 + " \\\n    --hash=sha256:"
    )
    found = packages(lock + "0" * 64 + "\nC_d==2.0+cu1 \\\n    --hash=sha256:" + "2" * 64 + "\n")
    assert [(package.url, len(package.sha256)) for package in found] == [
        ("pkg:pypi/a-b@1.0", 2),
        ("pkg:pypi/c-d@2.0+cu1", 1),
    ]


SECRET = "hunter2-3f9d1c"


def test_no_secret_gets_into_a_release(
    shop: Shop, unpack: Unpack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from .conftest import git

    home = tmp_path / f"home-{SECRET}"
    for path in (home / ".netrc", home / ".config/pip/pip.conf", home / ".aws/credentials", home / ".ssh/id_ed25519"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"password={SECRET}\n")
    for name in ("AWS_SECRET_ACCESS_KEY", "UV_INDEX_URL", "PIP_INDEX_URL", "TOKEN", "USER", "HOSTNAME", "LOGNAME"):
        monkeypatch.setenv(name, f"https://user:{SECRET}@index.example")
    monkeypatch.setenv("HOME", str(home))
    (shop.root / ".gitignore").write_text("out/\n.megbuild/\ndist/\n.env*\nsecrets.toml\n*.pem\n")
    shop.commit()
    for name in (".env", "secrets.toml", "signing.pem", ".env.local"):
        (shop.root / name).write_text(f"KEY={SECRET}\n")
    git(shop.root, "remote", "add", "origin", f"https://user:{SECRET}@git.example/models")
    new_key(tmp_path / f"key-{SECRET}")
    monkeypatch.setenv("SIGNER", (tmp_path / f"key-{SECRET}").read_text())
    archive = shop.release("edge", sign="env:SIGNER")
    folder = unpack(archive)
    signed = (archive.parent / "edge-1.2.0.intoto.jsonl").read_text().splitlines()
    bodies = [base64.b64decode(json.loads(line)["payload"]) for line in signed]
    contents = {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    private = [line for line in (tmp_path / f"key-{SECRET}").read_text().splitlines() if "-----" not in line]
    for name, content in [*contents.items(), *((f"statement {n}", body) for n, body in enumerate(bodies))]:
        for secret in (SECRET, str(tmp_path), *private):
            assert secret.encode() not in content, f"{secret} stands in {name}"
    assert len(contents) > 12
