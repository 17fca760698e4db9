"""What is fuzzed: one function for each kind of input. Hypothesis and atheris call the same ones.

A target takes the bytes of a case and an empty folder. It gives them to megbuild as the file that they stand for, and lets
one kind of error pass: megbuild's own, with a code, and with the place where that is a file which users write.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from zlib import crc32

import msgspec
import tomli

from megbuild.declare import schema, toolchains, trust
from megbuild.declare.labels import Label, Pattern, select
from megbuild.declare.load import load
from megbuild.errors import MegbuildError
from megbuild.execute.failure import ActionFailed, limit_of, located, log_tail, refusal
from megbuild.execute.undeclared import undeclared
from megbuild.execute.zygote import Limits
from megbuild.graph.actions import Action, Leaf
from megbuild.graph.resolve import resolve
from megbuild.graph.sources import closure, written_line
from megbuild.release import lock, verify
from megbuild.release.packages import packages as locked_packages
from megbuild.rule import Rule
from megbuild.store import noop
from megbuild.store.content import ContentStore
from megbuild.store.digests import digest_bytes
from megbuild.store.parts import write_parts
from megbuild.store.records import RecordStore
from megbuild.store.state import _HEAD, _KINDS, State
from megbuild.verify.judge import METRICS
from megbuild.verify.verdict import MEASURES, verdict
from megbuild.worker import onnx_wire, pickles
from tests.declare.conftest import SOUND, TOY_RULES, write_files

ROOT = Path(__file__).parents[2]
_SEED_LENGTH = 20_000
_LARGEST = 1 << 16


@dataclass(frozen=True)
class Target:
    """An input: what takes a case, whole examples of it, and the words that its format knows."""

    name: str
    run: Callable[[bytes, Path], None]
    seeds: Callable[[], Sequence[bytes]]
    words: Callable[[], Sequence[bytes]] = tuple
    needs: str = ""
    """A module that is not among the project's own: only the fuzzer's environment has it."""


def _files(*patterns: str) -> list[bytes]:
    found = sorted(path for pattern in patterns for path in ROOT.glob(pattern) if path.is_file())
    return [content for path in found if len(content := path.read_bytes()) <= _SEED_LENGTH]


def _told(error: MegbuildError, declared: bool) -> None:
    """What an error has to be: a code, printable words, and the line of a file that somebody wrote."""
    assert error.problems
    for problem in error.problems:
        assert len(problem.code) == 5 and problem.code.startswith("MB"), problem
        assert problem.message.isprintable() and len(problem.message) < 2000, problem
        assert len(problem.hint) < 4000, problem
        if declared:
            assert problem.where and problem.where.located().line, str(problem)
        str(problem)


# what is declared


def _workspace(folder: Path, files: dict[str, bytes]) -> None:
    """A workspace with toy rules; they are written once for each folder."""
    if not (folder / "builtin").exists():
        write_files(folder / "builtin", TOY_RULES)
        (folder / "ws/samples").mkdir(parents=True)
        write_files(
            folder / "ws", {"net.py": "def build(): ...\ndef train(): ...\n", "samples/0.npy": "0", "net.tm": ""}
        )
        (folder / "ws/samples/loop").symlink_to(".")
    for name in ("MODELS.toml", "HARDWARE.toml", "pyproject.toml", "rules/own/toolchain.toml", "rules/own/rule.py"):
        (folder / "ws" / name).unlink(missing_ok=True)
    for name, content in {"pyproject.toml": b"[tool.megbuild]\n", **files}.items():
        (folder / "ws" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "ws" / name).write_bytes(content)


def _load(folder: Path, files: dict[str, bytes], declared: bool = True) -> None:
    """Load a workspace with these files, and look for the roads of all of its outputs."""
    _workspace(folder, files)
    try:
        workspace = load(folder / "ws", builtin=folder / "builtin")
    except MegbuildError as error:
        _told(error, declared)
        return
    try:
        selected = select(["//..."], workspace.models) if workspace.models else ()
        resolve(workspace, selected)
    except MegbuildError as error:
        _told(error, False)


def models(data: bytes, folder: Path) -> None:
    """MODELS.toml."""
    _load(folder, {"MODELS.toml": data})


def settings(data: bytes, folder: Path) -> None:
    """pyproject.toml: whatever it says, it is one of a workspace or of none."""
    _workspace(folder, {"pyproject.toml": data})
    try:
        load(folder / "ws", builtin=folder / "builtin")
    except MegbuildError as error:
        _told(error, False)


def hardware(data: bytes, folder: Path) -> None:
    """HARDWARE.toml."""
    _load(folder, {"HARDWARE.toml": data, "MODELS.toml": SOUND.encode()})


def toolchain(data: bytes, folder: Path) -> None:
    """toolchain.toml of a workspace's own rule: what it names lies in its folder or in the environment."""
    _workspace(folder, {"rules/own/toolchain.toml": data, "rules/own/requirements.lock": b""})
    known = {**toolchains.folders(folder / "builtin"), **toolchains.folders(folder / "ws/rules")}
    try:
        described = toolchains.describe("own", known)
    except MegbuildError as error:
        _told(error, declared=False)
        return
    installation = toolchains.installation(described)
    for native in installation.native:
        assert Path(native.source).resolve().is_relative_to(folder.resolve()), native
        assert ".." not in Path(native.output).parts and not Path(native.output).is_absolute(), native
    for pattern in installation.removed:
        assert ".." not in pattern.split("/") and not pattern.startswith("/"), pattern


def rule(data: bytes, folder: Path) -> None:
    """What a rule.py declares, given as the TOML of its fields: text that runs cannot be made by chance."""
    try:
        fields = tomli.loads(data.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return
    fields = {key: value for key, value in fields.items() if key in Rule.__struct_fields__}
    fields = {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
    options = fields.pop("options", {})
    shown = {}
    if isinstance(options, dict):
        for name, option in options.items():
            given = option if isinstance(option, dict) else {"default": option}
            known = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items() if k in _OPTION}
            shown[name] = "Option(" + ", ".join(f"{k}={v!r}" for k, v in known.items()) + ")"
    body = ", ".join(f"{key}={value!r}" for key, value in fields.items())
    body += ", options={" + ", ".join(f"{name!r}: {option}" for name, option in shown.items()) + "}"
    text = f"import datetime\nfrom megbuild.rule import Option, Rule\nnan = inf = 1.0\nRULE = Rule({body})\n"
    _load(
        folder,
        {"rules/own/rule.py": text.encode(errors="replace"), "rules/own/worker.py": b"", "MODELS.toml": SOUND.encode()},
        declared=False,
    )


_OPTION = ("default", "choices", "range", "help")


def label(data: bytes, folder: Path) -> None:
    """A label on the command line, after a line with the folder that the user stands in."""
    first, _, text = data.decode("utf-8", "surrogateescape").partition("\n")
    here = "/".join(part for part in first.split("/") if part.isidentifier())
    try:
        pattern = Pattern.parse(text, here)
        assert Pattern.parse(str(pattern)) == pattern, text
        assert ".." not in pattern.package.split("/"), text
        assert not any(part.startswith("-") for part in pattern.package.split("/")), text
    except MegbuildError as error:
        _told(error, declared=False)
        return
    for known in ("//vision:net@x86", "//:net", str(pattern) if pattern.model and not pattern.below else "//a:b"):
        pattern.matches(Label.parse(known))


def trusted(data: bytes, folder: Path) -> None:
    """MODELS.trust."""
    try:
        found = trust.parse(data.decode("utf-8", "replace"))
    except MegbuildError as error:
        _told(error, declared=True)
        return
    assert set(trust.parse(trust.text(found))) == set(found)


def lock_file(data: bytes, folder: Path) -> None:
    """MODELS.lock, and three of them to be merged."""
    parts = [part.decode("utf-8", "replace") for part in data.split(b"\n\n---\n", 2)]
    found = []
    for part in parts:
        try:
            found.append(lock.parse(part))
        except MegbuildError as error:
            _told(error, declared=False)
            return
    assert all(lock.parse(lock.text(one)) == one for one in found)
    while len(found) < 3:
        found.append({})
    merged, clashes = lock.merge(*found)
    lock.merged_text(merged, clashes, *found[1:])


def requirements(data: bytes, folder: Path) -> None:
    """requirements.lock of a toolchain or of training code."""
    path = folder / "requirements.lock"
    path.write_bytes(data)
    try:
        base = toolchains.describe("toy", _toy(folder))
        toolchains.with_environment(base, path)
    except MegbuildError as error:
        _told(error, declared=False)
    locked_packages(data.decode("utf-8", "replace"))


def _toy(folder: Path) -> dict[str, Path]:
    if not (folder / "rules").exists():
        write_files(folder / "rules", {name: text for name, text in TOY_RULES.items() if name.startswith("toolchains")})
    return toolchains.folders(folder / "rules")


def source(data: bytes, folder: Path) -> None:
    """Training code: its canonical form means the same, and its lines are found in it."""
    text = data.decode("utf-8", "replace")
    try:
        files = closure("net.py", lambda path: path == "net.py", lambda path: text)
    except MegbuildError as error:
        _told(error, declared=False)
        return
    try:
        written_line(text, 3)
    except (SyntaxError, ValueError):
        return
    assert files[0].path == "net.py"


# what megbuild keeps


def state(data: bytes, folder: Path) -> None:
    """The state: as it lies on the disk, or with every checksum made right, so that what lies inside is reached."""
    (folder / ".megbuild").mkdir(exist_ok=True)
    path = folder / ".megbuild/state"
    (folder / ".megbuild/journal").unlink(missing_ok=True)
    if data[:1] == b"P":
        names = [*(f"{kind} //p:net" for kind in _KINDS), "known p", "pairs"]
        write_parts(path, _HEAD, zip(names, data[1:].split(b"|--|"), strict=False))
    else:
        path.write_bytes(data)
    _use(State.load(folder, lambda text: None))


def journal(data: bytes, folder: Path) -> None:
    """The journal: lines with their checksums right, but for those that begin with an exclamation mark."""
    (folder / ".megbuild").mkdir(exist_ok=True)
    (folder / ".megbuild/state").unlink(missing_ok=True)
    lines = (line[1:] if line[:1] == b"!" else b"%08x %s" % (crc32(line), line) for line in data.split(b"\n"))
    (folder / ".megbuild/journal").write_bytes(b"\n".join(lines) + b"\n")
    _use(State.load(folder, lambda text: None))


def _use(state: State) -> None:
    for table in (state.built, state.known, state.published, state.told, state.code):
        for key in table:
            table.get(key)
        len(table)
    state.save()


def record(data: bytes, folder: Path) -> None:
    """A record, with its checksum right or as it is."""
    key = "ab" + "0" * 62
    store = RecordStore(folder, ContentStore(folder), lambda text: None)
    path = folder / "ac/ab" / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if data[:1] == b"!":
        path.write_bytes(data[1:])
    else:
        line = data.replace(b"\n", b"")
        path.write_bytes(line + b"\n" + hashlib.sha256(line).hexdigest().encode() + b"\n")
    list(store.all())
    store.get(key)
    store.verify()


def note(data: bytes, folder: Path) -> None:
    """A note of what is up to date. Its checksum is no seal: what has it was written by megbuild."""
    path = Path(noop.note_path(str(folder), "all"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    noop.look(str(folder), "all")


# what workers and strangers give


TRAINING = Action(
    "//p:net#tm",
    "tm",
    "",
    "//p:net",
    "toy",
    (Leaf("in/source/p/net.py", digest_bytes(b""), "p/net.py"),),
    (),
    makes="tm",
)
"""An action that runs training code."""


def answer(data: bytes, folder: Path) -> None:
    """What an action leaves for megbuild to read: measures, operations, a refusal and a log, parted by ``|--|``."""
    measures, operations, refused, log = (*data.split(b"|--|", 3), b"", b"", b"")[:4]
    content = ContentStore(folder / "store")
    options = {"verify.cosine": 0.9, "precision": "int8", "budget.size_mb": 1.0}
    action = SimpleNamespace(id="//p:net@x86", options=options)
    try:
        verdict(action, {MEASURES: content.put_bytes(measures)}, content)  # type: ignore[arg-type]
    except MegbuildError as error:
        _told(error, declared=False)
    (folder / "refusal.txt").write_bytes(refused)
    sentence, troubles = refusal(folder / "refusal.txt")
    assert sentence and sentence.isprintable() and all(text.isprintable() for _, text in troubles)
    failed = ActionFailed(action.id, sentence, troubles=troubles)
    try:
        str(located(failed, operations, folder, ()))
    except MegbuildError as error:
        _told(error, declared=False)
    (folder / "log").write_bytes(log)
    tail = log_tail(folder / "log", folder, folder / "in/source")
    assert all(line.isprintable() for line in tail)
    if found := undeclared(tail, TRAINING, folder, folder / "staged"):
        assert found.message.isprintable()
    limit_of(tail, Limits(1))


def archive(data: bytes, folder: Path) -> None:
    """An archive of a release, as it is or made of a list of members; nothing is unpacked beside its folder."""
    to = folder / "to"
    _removed(to)
    to.mkdir()
    suffix, content = _archive(data)
    (folder / f"net-1{suffix}").write_bytes(content)
    try:
        verify.unpack(folder / f"net-1{suffix}", to)
    except (verify.Unsound, verify.Unable) as problem:
        assert str(problem)
    assert {path.name for path in folder.iterdir()} <= {"to", "net-1.zip", "net-1.tar.zst"}


def _archive(data: bytes) -> tuple[str, bytes]:
    """``Z`` a zip as it is, ``T`` a tar that is compressed first; ``z`` and ``t`` make one of lines ``kind name=content``."""
    kind, body = data[:1], data[1:]
    if kind == b"Z":
        return ".zip", body
    if kind == b"T":
        return ".tar.zst", _compressed(body)
    members = [(a[:1], a[1:], b) for a, _, b in (line.partition(b"=") for line in body.split(b"\n"))]
    out = io.BytesIO()
    if kind == b"z":
        with warnings.catch_warnings(), zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as opened:
            warnings.simplefilter("ignore")  # names that stand there twice
            for how, name, content in members:
                entry = zipfile.ZipInfo("x")
                entry.filename = name.decode("utf-8", "replace")
                entry.external_attr = {b"l": 0o120777, b"d": 0o040755}.get(how, 0o100644) << 16
                opened.writestr(entry, content)
        return ".zip", out.getvalue()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for how, name, content in members:
            info = tarfile.TarInfo(name.decode("utf-8", "surrogateescape"))
            info.type = {
                b"l": tarfile.SYMTYPE,
                b"h": tarfile.LNKTYPE,
                b"d": tarfile.DIRTYPE,
                b"c": tarfile.CHRTYPE,
            }.get(how, tarfile.REGTYPE)
            if info.type == tarfile.REGTYPE:
                info.size = len(content)
            else:
                info.linkname = content.decode("utf-8", "surrogateescape")
            tar.addfile(info, io.BytesIO(content))
    return ".tar.zst", _compressed(out.getvalue())


def _compressed(content: bytes) -> bytes:
    import zstandard

    return zstandard.ZstdCompressor(level=1).compress(content)


def _removed(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def bundle(data: bytes, folder: Path) -> None:
    """An unpacked release whose manifest, provenance and signatures are these, with the sums made right."""
    parts = (*data.split(b"|--|", 3), b"", b"", b"")[:4]
    release = folder / "net-1"
    _removed(release)
    for name, content in zip(("manifest.json", "provenance/net/x86.json", "SHA256SUMS"), parts, strict=False):
        (release / name).parent.mkdir(parents=True, exist_ok=True)
        (release / name).write_bytes(content)
    for name in ("artifacts/net/x86/net.mge", "locks/a.lock"):
        (release / name).parent.mkdir(parents=True, exist_ok=True)
        (release / name).write_bytes(b"")
    if not parts[2].startswith(b"!"):
        names = sorted(path.relative_to(release).as_posix() for path in release.rglob("*") if path.is_file())
        sums = (f"{hashlib.sha256((release / n).read_bytes()).hexdigest()}  {n}\n" for n in names if n != "SHA256SUMS")
        (release / "SHA256SUMS").write_text("".join(sums))
    signed = folder / "net-1.intoto.jsonl"
    signed.unlink(missing_ok=True)
    if parts[3]:
        signed.write_bytes(parts[3])
    try:
        list(verify.check(release, None, None, run=False))
    except (verify.Unsound, verify.Unable) as problem:
        assert str(problem)


def pickle_file(data: bytes, folder: Path) -> None:
    """A pickle is followed to an answer, and nothing of it is run."""
    found = pickles.follow_bytes(data)
    assert found.faults or data[-1:] == b"."
    lines = list(pickles.lines(found.refused(_names()), found.faults))
    assert all(line.isprintable() for line in lines), lines


_known: list[pickles.Names] = []


def _names() -> pickles.Names:
    if not _known:
        _known.append(pickles.Names.parse((ROOT / "rules/toolchains/megengine/pickle_names.txt").read_text("utf-8")))
    return _known[0]


def onnx_wire_bytes(data: bytes, folder: Path) -> None:
    """What is looked at of an ONNX file before it is parsed."""
    try:
        onnx_wire.check_bytes(data)
    except onnx_wire.Fault as fault:
        assert str(fault)


def onnx_file(data: bytes, folder: Path) -> None:
    """An ONNX file that is read as all rules read one. It needs the onnx package, as in the toolchain of these rules."""
    import importlib
    import sys

    if "megbuild_worker" not in sys.modules:
        sys.modules["megbuild_worker"] = importlib.import_module("megbuild.worker")
        sys.modules["megbuild_worker.job"] = importlib.import_module("megbuild.worker.job")
        sys.path.append(str(ROOT / "rules/toolchains/mgeconvert"))
        importlib.import_module("onnx_file")  # loads libraries, which no case may do
    reader = importlib.import_module("onnx_file")
    job = importlib.import_module("megbuild.worker.job")
    path = folder / "net.onnx"
    path.write_bytes(data)
    try:
        reader.inputs(reader.load(path).graph)
        reader.describe(path)
    except job.Refusal as refused:
        assert str(refused)


# examples and words


def _keys() -> list[bytes]:
    tables = (
        schema.FileTable, schema.ModelTable, schema.OutputTable, schema.InputTable, schema.ResultTable, schema.VerifyTable,
        schema.BudgetTable, schema.PinnedTable, schema.DefaultsTable, schema.ReleaseTable, schema.SettingsTable,
        schema.HardwareTable, schema.Limits,
    )  # fmt: skip
    keys = {key for table in tables for key in table.__struct_fields__}
    return sorted(key.encode() for key in keys | {"precision", "opset", "layout", "target", "clip"})


def _models_words() -> Sequence[bytes]:
    values = [b"net.py:build", b"samples/*.npy", b"**/*.npy", b"samples/loop/0.npy", b"//net.tm", b"x86", b"onnx", b"int8",
              b"float32", b"[models.net.outputs.x86]", b"[models.net]", b"[releases.r]", b'{ path = "net.tm", sha256 = "" }',
              b"tag:v", b"file:net.py", b"env:X", b"file:///", b"/etc/passwd", b"//...", b"[[models.net.inputs]]"]  # fmt: skip
    return [*_keys(), *values]


def _json_words() -> Sequence[bytes]:
    words = ["null", "NaN", "Infinity", "-1", "1e999", "{}", "[]", '""', "path", "line", "file", "node", "subject", "digest",
             "sha256", "size", "artifacts", "provenance", "label", "files", "toolchains", "locks", "allowed", "what", "why",
             "predicate", "predicateType", "_type", "buildDefinition", "externalParameters", "resolvedDependencies", "name",
             "payload", "payloadType", "signatures", "sig", "commit", "version", "format", "samples", "results", "synthetic",
             "worst", "agreement", "not_finite", "count", "runtime", "not_run", *METRICS]  # fmt: skip
    return [*(word.encode() for word in words), *(b'"%s"' % word.encode() for word in words)]


def _state_seeds() -> list[bytes]:
    formats = ROOT / "tests/store/formats"
    packed = msgspec.msgpack.encode
    digest = ["a" * 64, 3]
    parts = [
        packed({"//p:net@x86": ["k" * 8, [0], {"file:net.py": "x"}, {"artifact/model.mge": digest}]}),
        packed({"p/net.py": [[1, 2, 3, 4], "a" * 64]}),
        packed({"//p:net@x86": {"out/p/net/x86/net.mge": [[1, 2, 3, 4], "a" * 64]}}),
        packed({"//p:net@x86": ["run", ["new"]]}),
        packed({"x": ["y"]}),
        packed({"p/net.py": [[1, 2, 3, 4], "a" * 64]}),
        packed([["code:a", "b"], ["option:x", 1]]),
    ]
    return [b"P" + b"|--|".join(parts), *_files(*(str(p.relative_to(ROOT)) for p in formats.glob("state*")))]


def _journal_seeds() -> list[bytes]:
    built = '{"built":{"//p:net@x86":["k",{"file:a":"b","n":1,"t":true},{"artifact/model.mge":["%s",3]}]}}' % ("a" * 64)
    known = '{"known":{"p/a.py":[[1,2,3,4],"%s"]},"told":{"//p:net@x86":["run",["new"]]}}' % ("a" * 64)
    return [built.encode(), f"{known}\n{built}\n".encode(), b'{"built":{"//p:net@x86":null},"code":{"x":["y"]}}\n!torn']


def _record_seeds() -> list[bytes]:
    digest = ["a" * 64, 3]
    one = {"key": "ab" + "0" * 62, "action": "//p:net@x86", "outputs": {"artifact/model.mge": digest}, "components": {"a": "b"},
           "duration_s": 1.5, "memory": 3, "log": digest, "toolchain": "toy", "toolchain_digest": "d", "megbuild": "1",
           "format": 2}  # fmt: skip
    return [json.dumps(one).encode(), json.dumps({**one, "log": None, "outputs": {}}).encode(), b"!{}"]


def _answer_seeds() -> list[bytes]:
    from tests.conftest import GOOD

    operations = json.dumps([{"path": "a.b", "file": "net.py", "line": 3}, {"path": "c", "node": "n"}])
    log = 'Traceback (most recent call last):\n  File "/work/in/source/net.py", line 3, in build\n'
    log += "FileNotFoundError: [Errno 2] No such file or directory: 'x.txt'\n"
    parts = [json.dumps(GOOD), operations, "no such operator\na.b\tsoftmax is not there\n", log]
    return ["|--|".join(parts).encode(), b'{"not_run":"it needs a board"}|--|[]|--|no\n|--|MemoryError\n']


def _archive_seeds() -> list[bytes]:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in ("net-1/SHA256SUMS", "net-1/a/b.mge"):
            info = tarfile.TarInfo(name)
            info.size = 3
            tar.addfile(info, io.BytesIO(b"abc"))
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as opened:
        entry = zipfile.ZipInfo("net-1/a.txt")
        entry.external_attr = 0o100644 << 16
        opened.writestr(entry, b"abc")
    members = b"fnet-1/SHA256SUMS=abc\nfnet-1/a/b.mge=abc\nfnet-1/z=1"
    bad = b"fnet-1/../../x=1\nlnet-1/l=/tmp\nfnet-1/l/x=1\nhnet-1/h=net-1/a\ncnet-1/c=\nfNet-1/A=1"
    return [b"T" + out.getvalue(), b"Z" + whole.getvalue(), b"t" + members, b"z" + members, b"t" + bad, b"z" + bad]


def _bundle_seeds() -> list[bytes]:
    empty = hashlib.sha256(b"").hexdigest()
    manifest = {
        "format": 1, "name": "net", "version": "1", "commit": "c", "allowed": [{"what": "x", "why": ["y"]}], "models": [],
        "artifacts": [{"label": "//:net@x86", "provenance": "provenance/net/x86.json", "locks": ["locks/a.lock"],
                       "files": [{"path": "artifacts/net/x86/net.mge", "sha256": empty, "size": 0}]}],
        "toolchains": [{"name": "toy", "locks": [{"path": "locks/a.lock", "sha256": empty}]}],
    }  # fmt: skip
    parameters = {"release": "net", "version": "1", "label": "//:net@x86"}
    needed = [{"name": "locks/a.lock", "digest": {"sha256": empty}}, {"name": "source", "digest": {"gitCommit": "c"}}]
    statement = {
        "_type": verify.STATEMENT, "predicateType": verify.PROVENANCE,
        "subject": [{"name": "artifacts/net/x86/net.mge", "digest": {"sha256": empty}}],
        "predicate": {"buildDefinition": {"externalParameters": parameters, "resolvedDependencies": needed}},
    }  # fmt: skip
    import base64

    body = base64.b64encode(json.dumps(statement).encode()).decode()
    envelope = json.dumps({"payload": body, "payloadType": verify.PAYLOAD, "signatures": [{"sig": "aGk="}]})
    texts = [json.dumps(manifest), json.dumps(statement), ""]
    return ["|--|".join([*texts, ""]).encode(), "|--|".join([*texts, f"{envelope}\n"]).encode()]


def _pickle_seeds() -> list[bytes]:
    import collections
    import pickle

    from tests.worker.harmful_pickles import computed_pair, files

    value = collections.OrderedDict(a=[1, "x", b"y"], b=(1.5, None, True))
    return [*files("x").values(), computed_pair(), *(pickle.dumps(value, protocol) for protocol in range(6))]


_UNTYPED = b"\x08\x08:\x12\x12\x01gb\r\n\x01y\x12\x08\n\x06\x12\x04\n\x02\x08\x01"
"""A network whose result has no type of its numbers."""


def _onnx_seeds() -> list[bytes]:
    return [_UNTYPED, *_files("tests/rules/onnx_import/files/*.onnx", "examples/imported/*.onnx")]


def _onnx_words() -> Sequence[bytes]:
    lengths = [struct.pack("<Q", 2**n) for n in (31, 32, 40, 63)]
    return [
        b"location",
        b"offset",
        b"length",
        b"../../etc/passwd",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"p\x01",
        *lengths,
    ]


def _note_seeds() -> list[bytes]:
    seen = {"p/net.py": (1, 2, 3, 4), "p/gone.py": None, "p": (5, 6, 7, 8)}
    lookers = {"p/net.py": "//p:net", "p/gone.py": ("//p:a", "//p:b"), "p": ""}
    return [
        b"".join(noop.encode("all", "up to date", 1, {"HOME": None}, seen, lookers, {"p": ("net.py",)})),
        noop._HEAD,
    ]


_TOOLCHAIN_WORDS = [
    b"python", b'"3.9"', b"extends", b"removed", b"left_out", b"provides", b"environment", b"settings", b"[[native]]", b"source",
    b"output", b"arguments", b"[probe]", b"expect", b"[[sdk]]", b"needs", b"version", b"variables", b"[build.x.y]", b"[limits]",
    b"seconds", b"processes", b"preload",
]  # fmt: skip
_RULE_SEED = b"""consumes = "tm"
produces = "own"
files = [".own", ".b"]
toolchain = "toy"
runs_on = ["x"]
notes = ["n.json"]
[options]
width = { default = 80, range = [20, 200], help = "h" }
mode = { default = "a", choices = ["a", "b"] }
[requires.tm]
ascii = true
"""
_DIGEST = b"a" * 64
_LOCK = b"%bdata a/b.npy sha256:%b\ntoolchain toy sha256:%b\n" % (lock.HEAD.encode(), _DIGEST, _DIGEST)
_PYTHON = (
    b"lambda",
    b"async def",
    b"await",
    b"match",
    b"case",
    b"yield",
    b"f'{x!r:>{y}}'",
    b"@",
    b":=",
    b"**",
    b"global x",
)

TARGETS = {
    target.name: target
    for target in (
        Target("models", models, lambda: [SOUND.encode(), *_files("examples/**/MODELS.toml")], _models_words),
        Target("settings", settings, lambda: [b'[tool.megbuild]\ndefault = ["//..."]\nignore = ["a"]\n'], _models_words),
        Target("hardware", hardware, lambda: _files("examples/**/HARDWARE.toml", "rules/hardware.toml"), _keys),
        Target("toolchain", toolchain, lambda: _files("rules/**/toolchain.toml"), lambda: _TOOLCHAIN_WORDS),
        Target("rule", rule, lambda: [_RULE_SEED], lambda: [f.encode() for f in Rule.__struct_fields__]),
        Target("label", label, lambda: [b"a/b\n//vision:net@x86", b"\n//...", b"a\n../b/...:n", b"\n:net@x"]),
        Target("trust", trusted, lambda: [_DIGEST + b"  a.b.C  reviewed\n", b"# x\n\n" + _DIGEST + b" a.b\n"]),
        Target("lock", lock_file, lambda: [*_files("MODELS.lock", "examples/**/MODELS.lock"), b"\n\n---\n".join([_LOCK] * 3)]),
        Target("requirements", requirements, lambda: _files("examples/quickstart/requirements.lock", "rules/*/requirements.lock")),
        Target("source", source, lambda: _files("examples/**/*.py", "rules/lite_pack/*.py"), lambda: _PYTHON),
        Target("state", state, _state_seeds),
        Target("journal", journal, _journal_seeds, lambda: [b"built", b"known", b"published", b"told", b"code", b"null"]),
        Target("record", record, _record_seeds, _json_words),
        Target("note", note, _note_seeds),
        Target("answer", answer, _answer_seeds, _json_words),
        Target("archive", archive, _archive_seeds, lambda: [b"net-1/", b"../", b"l", b"h", b"f", b"d", b"c", b"=", b"NET-1/"]),
        Target("bundle", bundle, _bundle_seeds, _json_words),
        Target("pickle", pickle_file, _pickle_seeds, lambda: [b"cos\nsystem\n", b"\x93", b"R", b"b", b"i", b"o", b"\x82", b"."]),
        Target("onnx_wire", onnx_wire_bytes, _onnx_seeds, _onnx_words),
        Target("onnx", onnx_file, _onnx_seeds, _onnx_words, needs="onnx"),
    )
}  # fmt: skip


def check(target: Target, data: bytes, folder: Path) -> None:
    """One case: the target, and that it changes nothing outside of its folder and starts nothing."""
    from tests.fuzz.watch import harmless

    with harmless(folder):
        target.run(data[:_LARGEST], folder)
