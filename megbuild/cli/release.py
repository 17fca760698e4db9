"""``doit release``: one bundle of verified artifacts for whoever receives them; ``doit release verify`` checks one."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from megbuild.cli.build import JOBS, LOCKED
from megbuild.cli.command import Command
from megbuild.errors import FAILED, fail

if TYPE_CHECKING:
    from megbuild.declare.models import Release as Declared
    from megbuild.declare.models import Workspace
    from megbuild.release.artifacts import Finished
    from megbuild.release.bundle import Bundle
    from megbuild.release.commit import Commit

USAGE = "[NAME | LABEL ...] [--version VERSION] | verify FILE [--key PUBLIC] [--rebuild]"


def _text(name: str, help: str, default: str = "") -> dict[str, Any]:
    return {"name": name, "short": "", "long": name.replace("_", "-"), "type": str, "default": default, "help": help}


def _flag(name: str, help: str) -> dict[str, Any]:
    return {"name": name, "short": "", "long": name.replace("_", "-"), "type": bool, "default": False, "help": help}


class Release(Command):
    """The command plug-in."""

    name = "release"
    doc_purpose = "pack verified artifacts for others, with provenance; or verify such a bundle"
    doc_usage = USAGE
    doc_description = (
        "NAME: a [releases.NAME] table of a MODELS.toml. LABEL: what to release without one. verify: check a bundle, "
        "its signature with --key, and with --rebuild that the sources give the same bytes again."
    )
    cmd_options = (
        _text("version", "the version, when the table does not say it"),
        _text("name", "how a release of LABELs is called [default: models]", "models"),
        _text("to", "the folder that it is written to [default: dist at the root of the workspace]"),
        _flag("zip", "make a .zip, not compressed, as well"),
        _text("sign", "the private key that signs it: a file, or env:VARIABLE"),
        _text("model_signing", "a private key for an OpenSSF model-signing signature as well: a file"),
        _flag("allow_dirty", "release sources that are not a commit; the manifest says so"),
        _flag("allow_failed", "leave out what failed; the manifest says so"),
        _flag("allow_not_run", "release what could not be run here; the manifest says so"),
        _text("key", "of verify: the public key that must have signed it"),
        _text("signature", "of verify: the signed statements, when not beside the file"),
        _text("model_key", "of verify: the public key of the model-signing signature beside the file"),
        _flag("rebuild", "of verify: build the commit again and compare bit by bit"),
        JOBS,
        LOCKED,
    )

    def execute(self, params: dict[str, Any], words: list[str]) -> int:
        """Called by doit with the parsed command line; the exit status."""
        from megbuild.cli.guard import guarded

        return guarded(lambda: _verify(words[1:], params) if words[:1] == ["verify"] else _release(words, params))


def _release(words: list[str], params: Mapping[str, Any]) -> int:
    from megbuild.declare.load import load
    from megbuild.pipeline import cached
    from megbuild.release import model_signature, provenance
    from megbuild.release.sign import private_key
    from megbuild.store.places import cache_folder
    from megbuild.store.recovery import handing_over
    from megbuild.store.roots import register_bundle

    if params["sign"]:
        private_key(params["sign"])  # what is wrong with it is said before anything is built
    if params["model_signing"]:
        model_signature.needed()
    if params["locked"]:
        from megbuild.cli.lock import check_lock

        check_lock()
    begun = _now()
    workspace = load(Path.cwd())
    release = chosen(workspace, words, params["name"])
    target = _target(Path(workspace.root), params)
    with cached(Path(workspace.root), print):
        bundle, commit = make(workspace, release, params)
        with handing_over(target, print):
            written = write(bundle, commit, release, target, params, begun)
        register_bundle(cache_folder(), written[0], provenance.keys(bundle.statements.values()))
    for path in written:
        print(path)
    return 0


def chosen(workspace: Workspace, words: Sequence[str], name: str) -> Declared:
    """The declared release that is named, or one of the labels given."""
    from megbuild.declare.hints import did_you_mean
    from megbuild.declare.labels import NAME, NAME_RULE, Pattern
    from megbuild.declare.models import Release as Declared
    from megbuild.declare.root import here

    named = {release.name: release for release in workspace.releases}
    if len(words) == 1 and words[0] in named:
        return named[words[0]]
    if not words:
        if len(named) == 1:
            return next(iter(named.values()))
        raise fail("MB401", "doit release needs the name of a release, or labels", f"doit release {USAGE}")
    if len(words) == 1 and not words[0].startswith(("//", ":", ".")):
        raise fail("MB709", f"no release is named {words[0]}", did_you_mean(words[0], named) or "labels begin with //")
    if not NAME.fullmatch(name):
        raise fail("MB401", f"--name {name} cannot name a release", NAME_RULE)
    place = here(workspace.root, Path.cwd())
    return Declared("", name, tuple(str(Pattern.parse(word, place)) for word in words))


def make(workspace: Workspace, release: Declared, params: Mapping[str, Any]) -> tuple[Bundle, Commit]:
    """Build what is stale of a release, hold it against its conditions, and put the bundle together."""
    from megbuild.graph.actions import Leaf
    from megbuild.release.bundle import assemble, licences_of
    from megbuild.release.commit import read
    from megbuild.release.conditions import Allowed, check, version_of

    root = Path(workspace.root)
    finished, failed = _built(root, release, params)
    selected = {aim.target.model.label: aim.target.model for aim in finished.graph.aims}
    read_by_it = {
        entry.said
        for aim in finished.graph.aims
        for action in finished.graph.closure(aim.label)
        for entry in action.inputs
        if isinstance(entry, Leaf) and entry.kind == "file"
    }
    beside = {*licences_of(root, release, selected.values()), *([release.notes] if release.notes else [])}
    commit = read(root, read_by_it | beside)
    version = version_of(release, params["version"], root, commit)
    verdicts = {aim.label: _verdict(finished, aim.label) for aim in finished.graph.aims if aim.label in finished.done}
    not_run = {label: verdict["reason"] for label, verdict in verdicts.items() if verdict["state"] == "not run"}
    allowed = Allowed(params["allow_dirty"], params["allow_failed"], params["allow_not_run"])
    exempt = check(release, commit, failed, not_run, allowed)
    if not verdicts:
        raise fail("MB704", f"nothing of {release.name} was made", "mend what failed", status=FAILED)
    return assemble(finished, root, release, version, commit, exempt), commit


def _target(root: Path, params: Mapping[str, Any]) -> Path:
    """The folder that a release is written to."""
    return Path(params["to"]).absolute() if params.get("to") else root / "dist"


def _verdict(finished: Finished, label: str) -> Any:
    import json

    outputs = finished.memory.last_outputs(label)
    return json.loads(finished.memory.content.read(outputs["verdict.json"]))


def _built(root: Path, release: Declared, params: Mapping[str, Any]) -> tuple[Finished, dict[str, str]]:
    """The finished build, and why labels have no artifact."""
    from megbuild.cli import table
    from megbuild.cli.finish import finish
    from megbuild.pipeline import Asked

    finished, report = finish(Asked(release.labels, root), params["jobs"])
    table.show(report.rows, report.seconds)
    target = _target(root, params)
    moved = [path for path in report.moved if not target.is_relative_to(root / path)]  # else by another release
    if moved:
        raise fail("MB710", f"{moved[0]} changed while the release was built", "release again", status=FAILED)
    failed = {row.label: row.reason for row in report.rows if row.label not in finished.done}
    return finished, failed


def write(
    bundle: Bundle, commit: Commit, release: Declared, target: Path, params: Mapping[str, Any], begun: str
) -> list[Path]:
    """Write the archives, and beside them the signed statements; the paths.

    What was signed of an earlier release of the same name goes first: a signature never stands beside what it is not of.
    """
    from megbuild.release import archive, model_signature, provenance, verify
    from megbuild.release.sign import envelopes, private_key
    from megbuild.store.durable import place

    written = []
    signed = target / f"{bundle.folder}{verify.SIGNED}"
    signature = target / f"{bundle.folder}{model_signature.SIGNED}"
    for earlier in (signed, signature):
        earlier.unlink(missing_ok=True)
    for suffix in (archive.TAR, archive.ZIP) if params["zip"] else (archive.TAR,):
        written.append(target / f"{bundle.folder}{suffix}")
        archive.write(bundle.packed(), written[-1], commit.time)
    if params["sign"]:
        subjects = {path.name: archive.digest_of(path) for path in written}
        subjects[verify.SUMS] = bundle.pieces[verify.SUMS].digest.sha256
        whole = provenance.of_bundle(subjects, release, bundle.version, commit)
        times = (begun, _now())
        statements = [provenance.with_times(one, *times) for one in (whole, *bundle.statements.values())]
        place(signed, envelopes(statements, private_key(params["sign"])))
        written.append(signed)
    if params["model_signing"]:
        model_signature.sign(bundle.pieces, Path(params["model_signing"]), signature)
        written.append(signature)
    return written


def _model_signature(release: Path, key: Path) -> str:
    import tempfile

    from megbuild.release.model_signature import SIGNED, verify
    from megbuild.release.verify import plain_name, unpack

    signature = release.absolute().with_name(plain_name(release.name) + SIGNED)
    if release.is_dir():
        return verify(release, key, signature)
    with tempfile.TemporaryDirectory(prefix="megbuild-") as temporary:
        return verify(unpack(release, Path(temporary)), key, signature)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _verify(words: list[str], params: Mapping[str, Any]) -> int:
    from megbuild.release.verify import Unable, Unsound, check

    if len(words) != 1:
        raise fail("MB401", "doit release verify needs one file or folder", f"doit release {USAGE}")
    release = Path(words[0])
    if not release.exists():
        raise fail("MB102", f"there is no {release}", "give the .tar.zst, the .zip or the unpacked folder")
    key, signature = (Path(params[name]) if params[name] else None for name in ("key", "signature"))
    try:
        for line in check(release, key, signature):
            print(line)
        if params["model_key"]:
            print(_model_signature(release, Path(params["model_key"])))
        if params["rebuild"]:
            from megbuild.cli.rebuild import rebuild

            print(rebuild(release))
    except Unsound as problem:
        raise fail("MB711", f"{release.name} is not sound: {problem}", "do not use it", status=FAILED) from None
    except Unable as problem:
        raise fail("MB712", f"{release.name}: {problem}") from None
    print("sound")
    return 0
