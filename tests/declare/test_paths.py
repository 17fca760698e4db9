"""No path of a declaration leaves the workspace, whatever field it stands in and however it is written."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from megbuild.declare import secrets
from megbuild.declare.load import load
from megbuild.errors import MegbuildError

from .conftest import SOUND, Write

Complaints = Callable[[Mapping[str, str]], str]
MODEL = """
    workspace = true
    [models.net]
    inputs = [{{ name = "data", shape = [1, 3] }}]
    results = [{{ name = "prob", shape = [1, 10] }}]
    {field}
    [models.net.outputs.x86]
"""
SHA = "0" * 64
FIELDS = {
    "source": 'source = "{path}.py:build"',
    "train": 'source = "net.py:build"\ntrain = "{path}.py:build"',
    "archive": f'archive = {{{{ path = "{{path}}", sha256 = "{SHA}" }}}}',
    "archive without a digest": 'archive = {{ path = "{path}", sha256 = "x" }}',
    "onnx": f'onnx = {{{{ path = "{{path}}", sha256 = "{SHA}" }}}}',
    "data": 'source = "net.py:build"\ndata = ["{path}"]',
    "data by glob": 'source = "net.py:build"\ndata = "{path}/*"',
    "environment": 'source = "net.py:build"\nenvironment = "{path}"',
    "samples": 'source = "net.py:build"\nsamples = "{path}/*.npy"',
    "labels": 'source = "net.py:build"\nsamples = "*.npy"\nlabels = "{path}"',
    "calibration": 'source = "net.py:build"\ncalibration = ["{path}/**"]',
}
OUTSIDE = {
    "a parent": "../outside",
    "a parent further on": "sub/../../outside",
    "a parent from the root": "//../outside",
    "absolute": "/etc/passwd",
    "of another system": "C:/x",
    "a home": "~/x",
    "a backslash": "sub\\\\x",
    "a zero": "a\\u0000b",
    "a newline": "a\\nb",
    "a direction": "a\\u202Eb",
    "a terminal's": "a\\u001Bb",
    "empty": "",
    "a long name": "n" * 300,
    "a long path": "d/" * 600 + "x",
    "many folders": "d/" * 200 + "x",
}


def model(field: str, path: str) -> dict[str, str]:
    return {
        "MODELS.toml": MODEL.format(field=FIELDS[field].format(path=path)), "net.py": "def build(): ...\n", "a.npy": "",
        "pyproject.toml": "",
    }  # fmt: skip


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("path", OUTSIDE)
def test_a_path_that_leaves(complaints: Complaints, field: str, path: str) -> None:
    if path == "empty" and field in (
        "source",
        "train",
        "data by glob",
        "samples",
        "calibration",
        "environment",
        "labels",
    ):
        return  # where something stands before or after it, or empty means none
    said = complaints(model(field, OUTSIDE[path]))
    assert "[MB110]" in said or ("[MB112]" in said and "names no function" in said), said
    assert said.splitlines()[0].startswith("MODELS.toml:")
    assert all(line.isprintable() for line in said.splitlines())


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("link", ["a folder", "the thing"])
def test_a_link_that_leaves(write: Write, toy_rules: Path, tmp_path: Path, field: str, link: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ("x", "x.py"):
        (outside / name).write_text("def build(): ...\n")
    (outside / "x.npy").write_text("")
    root = write(model(field, "in/x" if link == "a folder" else "x"))
    globbed = "*" in FIELDS[field].split("\n")[-1] and "labels" not in field
    if link == "a folder":
        (root / "in").symlink_to(outside)
    elif globbed:
        (root / "x").symlink_to(outside)
    else:
        (root / "x").symlink_to(outside / "x")
        (root / "x.py").symlink_to(outside / "x.py")
    with pytest.raises(MegbuildError) as error:
        load(root, builtin=toy_rules)
    assert {p.code for p in error.value.problems} <= {"MB110", "MB113", "MB114"}, str(
        error.value
    )  # a glob finds nothing there


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("kind", ["pipe", "socket", "a link to a device"])
def test_what_would_be_waited_for(
    write: Write, toy_rules: Path, field: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe without a writer: whoever opens it hangs."""
    root = write(model(field, "x"))
    monkeypatch.chdir(root)
    for name in ("x", "x.py"):
        if kind == "pipe":
            os.mkfifo(name)
        elif kind == "socket":
            socket.socket(socket.AF_UNIX).bind(name)
        else:
            os.symlink("/dev/zero", name)  # noqa: PTH211
    with pytest.raises(MegbuildError) as error:
        load(root, builtin=toy_rules)
    assert {p.code for p in error.value.problems} <= {"MB136", "MB113", "MB110", "MB114"}, str(error.value)


@pytest.mark.parametrize("name", ["MODELS.toml", "HARDWARE.toml", "pyproject.toml", "MODELS.trust", "sub/MODELS.toml"])
def test_declarations_that_are_no_plain_files(write: Write, toy_rules: Path, name: str) -> None:
    root = write({"MODELS.toml": "workspace = true\n" + SOUND, "net.py": "def build(): ...\n", "sub/a": ""})
    (root / name).unlink(missing_ok=True)
    os.mkfifo(root / name)
    try:
        load(root, builtin=toy_rules)
    except MegbuildError as error:
        assert {p.code for p in error.problems} <= {"MB101", "MB136"}, str(error)


@pytest.mark.parametrize("name", ["HARDWARE.toml", "pyproject.toml", "MODELS.trust", "rules", "sub/MODELS.toml"])
def test_declarations_that_lie_elsewhere(write: Write, toy_rules: Path, tmp_path: Path, name: str) -> None:
    root = write({"MODELS.toml": "workspace = true\n" + SOUND, "net.py": "def build(): ...\n", "sub/a": ""})
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("[tool.megbuild]\n" if name == "pyproject.toml" else "")
    (root / name).unlink(missing_ok=True)
    (root / name).symlink_to(outside if name == "rules" else outside / "file")
    with pytest.raises(MegbuildError, match="MB110") as error:
        load(root, builtin=toy_rules)
    assert all(p.where and p.where.located().line for p in error.value.problems)


def test_a_package_folder_that_is_a_link_is_no_package(write: Write, toy_rules: Path, tmp_path: Path) -> None:
    root = write({"real/MODELS.toml": SOUND, "real/net.py": "def build(): ...\n"})
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "MODELS.toml").write_text("no TOML at all")
    (root / "away").symlink_to(outside)
    (root / "again").symlink_to(root / "real")
    assert [found.label for found in load(root, builtin=toy_rules).models] == ["//real:net"]


RELEASES = {
    "notes": 'notes = "{path}"',
    "licences": 'licences = ["{path}"]',
    "version": 'version = "file:{path}"',
}


@pytest.mark.parametrize("field", RELEASES)
@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a\\nb", "link"])
def test_paths_of_releases(write: Write, toy_rules: Path, tmp_path: Path, field: str, path: str) -> None:
    release = f'[releases.r]\nlabels = "//..."\n{RELEASES[field].format(path=path)}\n'
    root = write({"MODELS.toml": f"{SOUND}\n{release}", "net.py": "def build(): ...\n"})
    (root / "link").symlink_to("/etc/passwd")
    with pytest.raises(MegbuildError, match="MB110"):
        load(root, builtin=toy_rules)


@pytest.mark.parametrize("kind", ["defaults", "ignore"])
def test_other_paths(complaints: Complaints, kind: str) -> None:
    text = {"defaults": '[defaults]\nenvironment = "../x"\n', "ignore": 'ignore = ["../x"]\n'}[kind]
    assert "[MB110]" in complaints({"MODELS.toml": text})


@pytest.mark.parametrize(
    "name",
    ["a/b", "..", "-rf", "a b", "a\\u0000", "a\\nb", "a\\u202Eb", "é", "n" * 101, "", ".hidden", "a:b", "a@b", "ﬁ"],
)
@pytest.mark.parametrize("what", ["model", "output", "release", "hardware", "tensor"])
def test_names_that_become_parts_of_paths(complaints: Complaints, what: str, name: str) -> None:
    files = {"MODELS.toml": SOUND, "net.py": "def build(): ...\n"}
    if what == "model":
        files["MODELS.toml"] = SOUND.replace("models.net", f'models."{name}"')
    elif what == "output":
        files["MODELS.toml"] = SOUND.replace("outputs.x86", f'outputs."{name}"') + '    hardware = "x86"\n'
    elif what == "release":
        files["MODELS.toml"] += f'    [releases."{name}"]\n    labels = "//..."\n'
    elif what == "tensor":
        files["MODELS.toml"] = SOUND.replace('"data"', f'"{name}"')
    else:
        files["HARDWARE.toml"] = f'["{name}"]\nformat = "mge"\n'
    assert "[MB107]" in complaints(files)


TOOLCHAINS = {
    "a source elsewhere": '[[native]]\nsource = "../../secret.c"\noutput = "bin/x"\n',
    "an absolute source": '[[native]]\nsource = "/etc/passwd"\noutput = "bin/x"\n',
    "an output elsewhere": '[[native]]\nsource = "x.c"\noutput = "../../x"\n',
    "an absolute output": '[[native]]\nsource = "x.c"\noutput = "/tmp/x"\n',
    "an output that is the environment": '[[native]]\nsource = "x.c"\noutput = "."\n',
    "a removed file elsewhere": 'removed = ["../../../*"]\n',
    "an absolute removed file": 'removed = ["/tmp/*"]\n',
    "an empty removed file": 'removed = [""]\n',
    "needs of an SDK": '[[sdk]]\nname = "x"\nvariables = ["X"]\nneeds = ["../x"]\nversion = ["v"]\ninstall = "i"\n',
    "the version of an SDK": '[[sdk]]\nname = "x"\nvariables = ["X"]\nneeds = ["x"]\nversion = ["/etc/*"]\ninstall = "i"\n',
}
NO_PROCESS = {
    "a variable's name": '[environment]\n"a=b" = "x"\n',
    "a variable's value": '[environment]\nA = "a\\u0000b"\n',
    "modules": '[settings]\npreload = "numpy"\n',
    "no variable": '[[sdk]]\nname = "x"\nvariables = []\nneeds = ["x"]\nversion = ["v"]\ninstall = "i"\n',
}


@pytest.mark.parametrize("what", [*TOOLCHAINS, *NO_PROCESS])
def test_toolchains(complaints: Complaints, what: str) -> None:
    text = TOOLCHAINS.get(what) or NO_PROCESS[what]
    said = complaints(
        {
            "rules/own/toolchain.toml": f'python = "3.9"\n{text}', "rules/own/requirements.lock": "", "rules/own/x.c": "",
            "rules/own/native/requirements.lock": "", "rules/own/worker.py": "",
            "rules/own/rule.py": "from megbuild.rule import Rule\n"
            'RULE = Rule(consumes="tm", produces="own", files=(".own",), toolchain="own")\n',
        }
    )  # fmt: skip
    assert ("[MB110]" if what in TOOLCHAINS else "[MB140]") in said, said
    assert "toolchain.toml:" in said.splitlines()[0]


@pytest.mark.parametrize(
    "fields",
    [
        'files=(".a/../../x",)', 'files=("..",)', 'files=(".x\\n",)', 'files=("/etc/passwd",)', "files=()", 'worker="../w.py"',
        'worker="/w.py"', 'notes=("../n.json",)', 'function="a.b"', 'files=[".x"]', "files=1", "options=3",
        'options={"a/b": Option(1)}', 'requires={"tm": 1}', 'version="1"', 'options={"a": Option(None)}',
        'options={"a": Option(1, range=(1,))}', "runs_on=(1,)",
    ],
)  # fmt: skip
def test_rules(complaints: Complaints, fields: str) -> None:
    given = {"consumes": '"tm"', "produces": '"own"', "files": '(".own",)', "toolchain": '"toy"'}
    given[fields.partition("=")[0]] = fields.partition("=")[2]
    body = ", ".join(f"{name}={value}" for name, value in given.items())
    said = complaints(
        {
            "rules/own/rule.py": f"from megbuild.rule import Option, Rule\nRULE = Rule({body})\n",
            "rules/own/worker.py": "",
        }
    )
    assert "[MB124]" in said, said


def test_a_key_is_a_plain_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "big").touch(0o600)
    os.truncate(tmp_path / "big", 1 << 40)
    for name in ("pipe", "big"):
        with pytest.raises(MegbuildError, match="MB130"):
            secrets.key_of(name, tmp_path)
