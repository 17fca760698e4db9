"""Checks a release with nothing but Python: digests, structure and provenance, and more where more is installed.

    python verify.py                            the folder that this file stands in
    python verify.py FILE.tar.zst --key FILE    an archive, with the signatures that stand beside it

Signatures are checked where `cryptography` is installed, and the golden inputs are run where NumPy and MegEngine Lite,
onnxruntime, a TFLite interpreter or, for Caffe, OpenCV are. What was not checked is said. Exit status: 0 sound, 1 not,
2 it could not be checked as asked. A file that checks itself proves little: take this one from a source that you trust,
or check its digest in a signed SHA256SUMS first.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import importlib
import json
import os
import stat
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Callable

FORMAT = 1
SUMS, MANIFEST = "SHA256SUMS", "manifest.json"
SIGNED = ".intoto.jsonl"
PAYLOAD = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PROVENANCE = "https://slsa.dev/provenance/v1"


_MALFORMED = (KeyError, TypeError, AttributeError, ValueError, IndexError, ArithmeticError, RecursionError, MemoryError)
"""What a document of another shape does to those who read it."""
LONGEST = 1 << 28
"""Bytes of a manifest, a statement or a list of sums."""
MOST_FILES = 100_000
LEAST_ROOM, MOST_TIMES = 256_000_000, 200
"""Bytes that an archive may always unpack to, and how many times its own size beyond that."""


class Unsound(Exception):
    """What is wrong, in one sentence."""


class Unable(Exception):
    """Something could not be checked as asked, in one sentence."""


def main(words: list[str] | None = None) -> int:
    """Check what the command line names and say what was found; the exit status."""
    parser = argparse.ArgumentParser(description="Checks a release.")
    parser.add_argument("release", nargs="?", default=str(Path(__file__).absolute().parent))
    parser.add_argument("--key", help="the public key that must have signed it (PEM)")
    parser.add_argument("--signature", help="the signed statements, when not beside the release")
    parser.add_argument("--no-run", action="store_true", help="do not run the golden inputs")
    asked = parser.parse_args(words)
    key = Path(asked.key) if asked.key else None
    signature = Path(asked.signature) if asked.signature else None
    try:
        for line in check(Path(asked.release), key, signature, not asked.no_run):
            print(line)
    except Unsound as problem:
        print(f"NOT SOUND: {problem}", file=sys.stderr)
        return 1
    except Unable as problem:
        print(f"not checked: {problem}", file=sys.stderr)
        return 2
    print("sound")
    return 0


def check(release: Path, key: Path | None, signature: Path | None, run: bool = True) -> Iterator[str]:
    """Check a folder or an archive; yields what was found in order. Raises Unsound or Unable, whatever is in it."""
    try:
        for line in _checked(release, key, signature, run):
            yield _plain(line)
    except (Unsound, Unable) as problem:
        raise type(problem)(_plain(str(problem))) from None
    except OSError as error:
        raise Unable(_plain(f"it cannot be read: {error}")) from None
    except _MALFORMED as error:
        raise Unsound(_plain(f"a document in it is not as it should be: {type(error).__name__}: {error}")) from None


def _plain(text: str) -> str:
    """Words of a release as one line, which cannot do anything to a terminal."""
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in text[:2000])


def _checked(release: Path, key: Path | None, signature: Path | None, run: bool) -> Iterator[str]:
    beside = signature or release.parent / (plain_name(release.name) + SIGNED)
    if release.is_dir():
        yield from _check_folder(release, key, beside, signature is not None, None, run)
        return
    if not release.is_file():
        raise Unable(f"there is no {release}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = unpack(release, Path(temporary))
        archive = (release.name, _sha256(release))
        yield from _check_folder(folder, key, beside, signature is not None, archive, run)


def _check_folder(
    folder: Path, key: Path | None, signed: Path, named: bool, archive: tuple[str, str] | None, run: bool
) -> Iterator[str]:
    sums = check_sums(folder)
    yield f"{len(sums)} files are those of {SUMS}"
    manifest = check_structure(folder, sums)
    yield f"{manifest['name']} {manifest['version']} holds {len(manifest['artifacts'])} artifacts"
    for allowed in manifest["allowed"]:
        yield "note: released although {}: {}".format(allowed["what"], "; ".join(allowed["why"]))
    statements = check_provenance(folder, manifest)
    yield "the provenance names these artifacts, this version and these locks"
    yield check_signatures(signed, named, key, manifest, statements, _sha256(folder / SUMS), archive)
    if run:
        yield from check_results(folder, manifest)


# archives


def unpack(archive: Path, to: Path) -> Path:
    """Unpack into a folder that is empty; the folder of the release in it. Takes plain files under one folder only."""
    names: list[str] = []
    taken: set[str] = set()
    room = max(LEAST_ROOM, MOST_TIMES * archive.stat().st_size)
    try:
        for name, content in _members(archive, room):
            parts = PurePosixPath(name).parts
            bad = name != "/".join(parts) or ".." in parts or name.startswith("/") or len(parts) < 2
            bad = bad or not name.isprintable() or "\\" in name or any(len(part.encode()) > 255 for part in parts)
            if bad or name.casefold() in taken:  # two names that differ in case only are one file on many disks
                raise Unsound(f"{archive.name} has a bad or repeated name in it: {name!r}")
            names.append(name)
            taken.add(name.casefold())
            if len(names) > MOST_FILES:
                raise Unsound(f"{archive.name} has more than {MOST_FILES} files in it")
            target = to / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with open(str(target), "xb") as file:  # nothing is written through what lies there
                while piece := content.read(1 << 20):
                    room -= len(piece)
                    if room < 0:
                        raise Unsound(f"{archive.name} unpacks to far more than its size: it was made to fill a disk")
                    file.write(piece)
    except (Unsound, Unable):
        raise
    except Exception as error:  # each library has its own; all of them mean the same here
        raise Unsound(f"{archive.name} is damaged: {error}") from None
    tops = {name.split("/")[0] for name in names}
    if tops != {plain_name(archive.name)}:
        raise Unsound("{} was renamed: it holds {}".format(archive.name, ", ".join(sorted(tops)) or "nothing"))
    if names != sorted(names, key=lambda name: name.encode()):
        raise Unsound(f"the files of {archive.name} are not in order")
    return to / tops.pop()


def _members(archive: Path, room: int) -> Iterator[tuple[str, Any]]:
    """The name of each member, and what its bytes are read from until the next one is asked for."""
    if archive.name.endswith(".zip"):
        with zipfile.ZipFile(archive) as opened:
            for entry in opened.infolist():
                if not stat.S_ISREG(entry.external_attr >> 16):
                    raise Unsound(f"{entry.filename} is no plain file")
                with opened.open(entry) as content:
                    yield entry.filename, content
        return
    with _decompressed(archive) as stream, tarfile.open(fileobj=_Bounded(stream, 2 * room), mode="r|") as tar:  # type: ignore[call-overload]
        for member in tar:
            if not member.isreg() or member.issparse():
                raise Unsound(f"{member.name} is no plain file")
            tar.members = []  # else all of them stay in memory
            yield member.name, tar.extractfile(member)


class _Bounded:
    """A stream that ends with an error after so many bytes: a tar's own headers can be as long as its files."""

    def __init__(self, stream: Any, most: int) -> None:
        self.stream, self.left = stream, most

    def read(self, size: int) -> bytes:
        """At most so many bytes."""
        piece: bytes = self.stream.read(size)
        self.left -= len(piece)
        if self.left < 0:
            raise Unsound("it unpacks to far more than its size: it was made to fill a memory")
        return piece


def _decompressed(archive: Path) -> Any:
    if not archive.name.endswith(".tar.zst"):
        raise Unable(f"{archive.name} is neither .tar.zst nor .zip")
    try:
        return importlib.import_module("compression.zstd").open(archive)  # Python 3.14
    except ImportError:
        pass
    try:
        import zstandard
    except ImportError:
        raise Unable("unpack the archive first (tar --zstd -xf FILE): this Python cannot read zstd") from None
    return zstandard.open(archive, "rb")


def plain_name(name: str) -> str:
    """The name of a release without what its archive's name ends in."""
    for suffix in (".tar.zst", ".zip"):
        if name.endswith(suffix):
            return name[: -len(suffix)]
    return name


# contents


def check_sums(folder: Path) -> dict[str, str]:
    """Every file is there with its digest, and no other one; the digests by name."""
    try:
        text = _text(folder / SUMS)
    except (OSError, UnicodeDecodeError):
        raise Unsound(f"there is no {SUMS}") from None
    sums: dict[str, str] = {}
    for line in text.splitlines():
        digest, gap, name = line[:64], line[64:66], line[66:]
        if gap != "  " or not name or name in sums or set(digest) - set("0123456789abcdef"):
            raise Unsound(f"{SUMS} has a bad line: {line!r}")
        sums[name] = digest
    there = set(_files(folder)) - {SUMS}
    for name in sorted(there - set(sums)):
        raise Unsound(f"{name} was added: {SUMS} does not name it")
    for name, digest in sorted(sums.items()):
        if name not in there:
            raise Unsound(f"{name} is missing")
        if _sha256(folder / name) != digest:
            raise Unsound(f"{name} is not the file of the release: its SHA-256 differs")
    return sums


def _files(folder: Path) -> Iterator[str]:
    for base, folders, names in os.walk(str(folder)):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in [*names, *(name for name in folders if Path(base, name).is_symlink())]:
            path = Path(base, name)
            inside = path.relative_to(folder).as_posix()
            if path.is_symlink() or not path.is_file():
                raise Unsound(f"{inside} is no plain file")
            yield inside


def check_structure(folder: Path, sums: dict[str, str]) -> Any:
    """The manifest, whose every artifact is there as it says."""
    manifest = _json(folder, MANIFEST)
    if manifest.get("format") != FORMAT:
        raise Unable(f"the manifest has format {manifest.get('format')}, this program knows {FORMAT}")
    named: list[str] = []
    try:
        for artifact in manifest["artifacts"]:
            if artifact["provenance"] not in sums:
                raise Unsound(f"the provenance of {artifact['label']} is missing")
            for file in artifact["files"]:
                named.append(file["path"])
                if sums.get(file["path"]) != file["sha256"]:
                    raise Unsound("{} is not the file that the manifest names".format(file["path"]))
                if (folder / file["path"]).stat().st_size != file["size"]:
                    raise Unsound("{} has another size than the manifest says".format(file["path"]))
        for model in manifest["models"]:
            for path in (path for kind in model["golden"].values() for path in kind.values()):
                if path not in sums:
                    raise Unsound(f"{path} is no file of the release")
        for toolchain in manifest["toolchains"]:
            for lock in toolchain["locks"]:
                if sums.get(lock["path"]) != lock["sha256"]:
                    raise Unsound("the lock {} is not the one that the manifest names".format(lock["path"]))
    except (KeyError, TypeError) as error:
        raise Unsound(f"the manifest lacks {error}") from None
    for name in sorted(set(sums) - set(named)):
        if name.startswith("artifacts/"):
            raise Unsound(f"{name} is in no artifact of the manifest")
    return manifest


def check_provenance(folder: Path, manifest: Any) -> dict[str, Any]:
    """The statement of every artifact by label, each about its files, this release and these locks."""
    locks = {lock["path"]: lock["sha256"] for toolchain in manifest["toolchains"] for lock in toolchain["locks"]}
    statements: dict[str, Any] = {}
    for artifact in manifest["artifacts"]:
        label = artifact["label"]
        statement = _json(folder, artifact["provenance"])
        try:
            about = {subject["name"]: subject["digest"]["sha256"] for subject in statement["subject"]}
            built = statement["predicate"]["buildDefinition"]
            parameters = built["externalParameters"]
            needed = {one["name"]: one.get("digest", {}) for one in built["resolvedDependencies"]}
            kinds = (statement["_type"], statement["predicateType"])
        except (KeyError, TypeError) as error:
            raise Unsound(f"the provenance of {label} lacks {error}") from None
        if kinds != (STATEMENT, PROVENANCE):
            raise Unsound(f"the provenance of {label} is no SLSA provenance")
        if about != {file["path"]: file["sha256"] for file in artifact["files"]}:
            raise Unsound(f"the provenance of {label} is about other files")
        said = (parameters.get("release"), parameters.get("version"), parameters.get("label"))
        if said != (manifest["name"], manifest["version"], label):
            raise Unsound("the provenance of {} is of another release: {}".format(label, " ".join(map(str, said))))
        for path, sha256 in locks.items():
            if path in needed and needed[path].get("sha256") != sha256:
                raise Unsound(f"{label} was made with another {path} than the release has")
        for path in artifact["locks"]:
            if path not in needed:
                raise Unsound(f"the provenance of {label} does not name its lock {path}")
        commit = needed.get("source", {}).get("gitCommit", "")
        if commit != manifest["commit"]:
            raise Unsound(
                "{} was made from the commit {}, the release from {}".format(label, commit, manifest["commit"])
            )
        statements[label] = statement
    return statements


# signatures


def check_signatures(
    signed: Path,
    named: bool,
    key: Path | None,
    manifest: Any,
    statements: dict[str, Any],
    sums: str,
    archive: tuple[str, str] | None,
) -> str:
    """Every statement is signed, the release as a whole and each artifact; the line that says so."""
    if not signed.is_file():
        if key or named:
            raise Unsound(f"there is no signature {signed.name}")
        return "note: not signed, or the signature is not beside it: anybody could have made this"
    envelopes = []
    for line in _text(signed).splitlines():
        try:
            envelope = json.loads(line)
            body = base64.b64decode(envelope["payload"], validate=True)
            envelopes.append((envelope["payloadType"], body, envelope["signatures"], json.loads(body)))
        except (ValueError, KeyError, TypeError):
            raise Unsound(f"{signed.name} has a line that is no signed statement") from None
    if key:
        verifies = _verifier(key)
        for kind, body, signatures, _ in envelopes:
            if kind != PAYLOAD or not any(verifies(_sig(one), encoding(kind, body)) for one in signatures):
                raise Unsound(f"a statement of {signed.name} is not signed by this key")
    _check_signed(manifest, statements, [statement for *_, statement in envelopes], sums, archive)
    if key:
        return f"{len(envelopes)} statements are signed by {key.name}"
    return "note: signed, and not checked by whom: give the public key with --key"


def _check_signed(
    manifest: Any, statements: dict[str, Any], signed: list[Any], sums: str, archive: tuple[str, str] | None
) -> None:
    whole = [one for one in signed if "label" not in _parameters(one)]
    if len(whole) != 1:
        raise Unsound(f"{len(whole)} signed statements are about the whole release, one is wanted")
    parameters = _parameters(whole[0])
    if (parameters.get("release"), parameters.get("version")) != (manifest["name"], manifest["version"]):
        raise Unsound("the signature is of another release: {release} {version}".format(**parameters))
    about = {subject["name"]: subject["digest"].get("sha256") for subject in whole[0]["subject"]}
    if about.get(SUMS) != sums:
        raise Unsound(f"the signature is of other contents: the SHA-256 of {SUMS} differs")
    if archive and about.get(archive[0]) != archive[1]:
        raise Unsound(f"the signature is of another archive than {archive[0]}")
    found = {_parameters(one)["label"]: _timeless(one) for one in signed if "label" in _parameters(one)}
    if len(found) != len(signed) - 1 or found.keys() != statements.keys():
        raise Unsound("the signed statements are not those of the artifacts, each once")
    for label, statement in statements.items():
        if found[label] != statement:
            raise Unsound(f"the signed provenance of {label} is not the one in the release")


def _parameters(statement: Any) -> dict[str, Any]:
    try:
        parameters: dict[str, Any] = dict(statement["predicate"]["buildDefinition"]["externalParameters"])
        return parameters
    except (KeyError, TypeError, ValueError):
        raise Unsound("a signed statement is no provenance") from None


def _timeless(statement: Any) -> Any:
    """A statement without the times, which only the signed one has."""
    copy = json.loads(json.dumps(statement))
    copy["predicate"].get("runDetails", {}).pop("metadata", None)
    return copy


def _verifier(key: Path) -> Callable[[bytes, bytes], bool]:
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ImportError:
        raise Unable("the signature needs the package cryptography") from None
    try:
        public = load_pem_public_key(key.read_bytes())
    except (OSError, ValueError) as error:
        raise Unable(f"the key {key} cannot be read: {error}") from None
    if not isinstance(public, Ed25519PublicKey):
        raise Unable(f"the key {key} is not an Ed25519 key")

    def verifies(signature: bytes, message: bytes) -> bool:
        try:
            public.verify(signature, message)
            return True
        except InvalidSignature:
            return False

    return verifies


def _sig(signature: Any) -> bytes:
    try:
        return base64.b64decode(signature["sig"], validate=True)
    except (ValueError, KeyError, TypeError):
        return b""


def encoding(kind: str, body: bytes) -> bytes:
    """What DSSE signs."""
    return b"DSSEv1 %d %s %d %s" % (len(kind.encode()), kind.encode(), len(body), body)


# results


def check_results(folder: Path, manifest: Any) -> Iterator[str]:
    """Run the golden inputs on every artifact that has a runtime here, and compare with the expected results."""
    try:
        numpy = importlib.import_module("numpy")
    except ImportError:
        yield "note: no artifact was run: NumPy is not installed"
        return
    models = {model["label"]: model for model in manifest["models"]}
    for artifact in manifest["artifacts"]:
        label, golden = artifact["label"], models[artifact["model"]]["golden"]
        if not golden or artifact["verdict"]["state"] == "not run":
            yield "note: {} was not run: {}".format(label, "it needs its device" if golden else "no golden inputs")
            continue
        try:
            feeds, wanted = (
                {name: numpy.load(str(folder / path), allow_pickle=False) for name, path in golden[kind].items()}
                for kind in ("inputs", "results")
            )
        except (OSError, ValueError) as error:
            raise Unsound(f"the golden samples of {artifact['model']} cannot be read: {error}") from None
        runtime = _RUNTIMES.get(artifact["format"])
        if runtime is None:
            why = _ELSEWHERE.get(artifact["format"], "no runtime for {}".format(artifact["format"]))
            yield f"note: {label} was not run: {why}"
            continue
        try:
            given = runtime(folder / artifact["files"][0]["path"], feeds, artifact["io"])
        except ImportError as missing:
            yield f"note: {label} was not run: {missing.name} is not installed"
        except Exception as error:
            raise Unsound(f"{label} cannot be run: {error}") from None
        else:
            yield f"{label} runs: lowest cosine {_compare(artifact, given, wanted, numpy):.6f}"


def _compare(artifact: Any, given: dict[str, Any], wanted: dict[str, Any], numpy: Any) -> float:
    worst = 1.0
    limits = artifact["thresholds"]
    for name, expected in wanted.items():
        for a, b in zip(given[name], expected):
            a, b = (x.astype("float64").ravel() for x in (a, b))
            if not numpy.isfinite(a[numpy.isfinite(b)]).all():
                raise Unsound("{} gives values of {} that are not finite".format(artifact["label"], name))
            norms = numpy.sqrt((a * a).sum()), numpy.sqrt((b * b).sum())
            both_zero = norms[0] == norms[1] == 0
            cosine = 1.0 if both_zero else float((a * b).sum() / max(norms[0] * norms[1], 1e-300))
            scale = 1.0 if both_zero else float(norms[0] / max(norms[1], 1e-300))
            worst = min(worst, cosine)
            if cosine < limits.get("cosine", -1.0) or abs(scale - 1) > limits.get("scale", 1e300):
                told = (artifact["label"], name, cosine, scale)
                raise Unsound("{}: {} has cosine {:.6f} and scale {:.6f} to what is expected".format(*told))
    return worst


def _run_onnx(path: Path, feeds: dict[str, Any], io: Any) -> dict[str, Any]:
    onnxruntime = importlib.import_module("onnxruntime")

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # As bytes it finds no other files, which a network could name as its weights.
    network = path.read_bytes() if path.stat().st_size < 1 << 31 else str(path)
    session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
    names = [result.name for result in session.get_outputs()]
    return _stacked(names, (session.run(names, feed) for feed in _each(feeds)))


def _run_tflite(path: Path, feeds: dict[str, Any], io: Any) -> dict[str, Any]:
    try:
        runtime = importlib.import_module("tflite_runtime.interpreter")
    except ImportError:
        runtime = importlib.import_module("ai_edge_litert.interpreter")
    interpreter = runtime.Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    inputs, results = interpreter.get_input_details(), interpreter.get_output_details()
    last = {tensor["name"] for tensor in [*io["inputs"], *io["results"]] if tensor.get("layout") == "NHWC"}

    def one(feed: dict[str, Any]) -> list[Any]:
        for detail in inputs:
            array = feed[detail["name"]]
            array = array.transpose(0, 2, 3, 1).copy() if detail["name"] in last else array
            interpreter.set_tensor(detail["index"], array)
        interpreter.invoke()
        given = [interpreter.get_tensor(detail["index"]) for detail in results]
        names = [detail["name"] for detail in results]
        return [array.transpose(0, 3, 1, 2) if name in last else array for name, array in zip(names, given)]

    return _stacked([detail["name"] for detail in results], (one(feed) for feed in _each(feeds)))


def _run_mge(path: Path, feeds: dict[str, Any], io: Any) -> dict[str, Any]:
    lite = importlib.import_module("megenginelite")

    network = lite.LiteNetwork()
    network.load(str(path))
    names = network.get_all_output_name()

    def one(feed: dict[str, Any]) -> list[Any]:
        for name in network.get_all_input_name():
            network.get_io_tensor(name).set_data_by_copy(feed[name])
        network.forward()
        network.wait()
        return [network.get_io_tensor(name).to_numpy().copy() for name in names]

    return _stacked(names, (one(feed) for feed in _each(feeds)))


def _run_caffe(path: Path, feeds: dict[str, Any], io: Any) -> dict[str, Any]:
    opencv = importlib.import_module("cv2")

    opencv.setNumThreads(1)
    network = opencv.dnn.readNetFromCaffe(str(path), str(path.with_suffix(".caffemodel")))
    network.enableFusion(False)  # a fused Power layer gives wrong values in OpenCV 4.10
    names = [result["name"] for result in io["results"]]

    def one(feed: dict[str, Any]) -> list[Any]:
        for name, array in feed.items():
            # OpenCV takes a plain 3-dimensional array for an image with channels.
            network.setInput(opencv.Mat(array, wrap_channels=False) if array.ndim == 3 else array, name)
        return [array.copy() for array in network.forward(names)]

    return _stacked(names, (one(feed) for feed in _each(feeds)))


_RUNTIMES = {"onnx": _run_onnx, "tflite": _run_tflite, "mge": _run_mge, "caffe": _run_caffe}
_ELSEWHERE = {"rknn": "its simulator reads ONNX, not the .rknn: only a Rockchip device runs the file"}
"""Why files of a format that was run where it was made cannot be run here."""


def _each(feeds: dict[str, Any]) -> Iterator[dict[str, Any]]:
    count = min(len(array) for array in feeds.values())
    return ({name: array[index] for name, array in feeds.items()} for index in range(count))


def _stacked(names: list[str], results: Iterable[list[Any]]) -> dict[str, Any]:
    rows = list(results)
    return {name: [row[index] for row in rows] for index, name in enumerate(names)}


def _json(folder: Path, name: str) -> Any:
    try:
        return json.loads(_text(folder / name))
    except (OSError, ValueError, RecursionError):
        raise Unsound(f"{name} cannot be read") from None


def _text(path: Path) -> str:
    """A document; an OSError where it is no plain file, or far too long to be one."""
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode) or status.st_size > LONGEST:
        raise OSError(f"{path.name} is no plain file, or too long")
    return path.read_text("utf-8")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(str(path), "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
