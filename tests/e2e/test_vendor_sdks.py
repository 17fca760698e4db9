"""Compilers that only their vendors give out, driven by the whole of megbuild against emulations.

The emulations check the complete command line or calls, the environment and the files beside, and fail as the real ones
are documented to. Neither rule was run on the real compiler.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import SMALL
from .workspace import Workspace

Make = Callable[[dict[str, str]], Workspace]

ATC = '''\
#!/usr/bin/env python3
"""An emulation of Huawei's atc: takes exactly the documented call, leaves its usual litter, writes a .om."""
import os, sys
from pathlib import Path

toolkit = Path(__file__).parent.parent
here = Path.cwd()


def fail(text):
    print("ATC start working now, please wait for a moment.\\nATC run failed, Please check the detail log, Try \\'atc --help\\' for more information")
    print(text)
    sys.exit(255)


given = dict(argument.split("=", 1) for argument in sys.argv[1:])
assert len(given) == len(sys.argv) - 1, sys.argv
onnx = given["--framework"] == "5"
expected = {
    **({"--framework": "5", "--model": "model.onnx"} if onnx else {"--framework": "0", "--model": "model.prototxt", "--weight": "model.caffemodel"}),
    "--output": "model", "--soc_version": given["--soc_version"], "--input_format": "ND", "--input_shape": given["--input_shape"],
    "--precision_mode": "force_fp16", "--output_type": "FP32", "--op_compiler_cache_mode": "disable", "--log": "error",
}
assert given == expected, given
batch = given["--input_shape"].removeprefix("x:").removesuffix(",3")
assert batch in ("1", "2"), given
tbe = f"{toolkit}/opp/built-in/op_impl/ai_core/tbe"
variables = dict(os.environ)
libraries = variables.pop("LD_LIBRARY_PATH").split(":")
assert libraries[:4] == [f"{toolkit}/lib64", f"{toolkit}/lib64/plugin/opskernel", f"{toolkit}/lib64/plugin/nnengine", f"{tbe}/op_tiling/lib/linux/x86_64"]
assert libraries[-1] == f"{toolkit}/x86_64-linux/devlib"
programs = variables.pop("PATH").split(":")
assert programs[:3] == [f"{toolkit}/bin", f"{toolkit}/compiler/ccec_compiler/bin", f"{toolkit}/tools/ccec_compiler/bin"]
variables.pop("LC_CTYPE", None)
assert variables == {
    "ASCEND_TOOLKIT_HOME": str(toolkit), "ASCEND_HOME_PATH": str(toolkit), "ASCEND_AICPU_PATH": str(toolkit), "ASCEND_OPP_PATH": f"{toolkit}/opp",
    "TOOLCHAIN_HOME": f"{toolkit}/toolkit", "PYTHONPATH": f"{toolkit}/python/site-packages:{tbe}", "HOME": str(here / "home"),
    "TMPDIR": str(here), "ASCEND_PROCESS_LOG_PATH": str(here / "log"), "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1",
}, variables
import decorator, numpy, sympy  # what the compilers of the operators import
import te_of_the_toolkit
assert te_of_the_toolkit.READ == "through a link"
network = ["model.onnx"] if onnx else ["model.caffemodel", "model.prototxt"]
assert sorted(entry.name for entry in here.iterdir()) == sorted(["home", *network])
assert not list((here / "home").iterdir())
try:
    (toolkit / "written").touch()
except OSError:
    pass
else:
    raise AssertionError("the toolkit can be written to")
if not given["--soc_version"].startswith("Ascend"):
    fail(f"E10001: Value [{given['--soc_version']}] for parameter [--soc_version] is invalid.")
content = b"".join((here / name).read_bytes() for name in network)
assert b"x" in content and b"y" in content
for litter in ("kernel_meta/a.o", "fusion_result.json", "log/plog", "home/atc_data/cache"):
    (here / litter).parent.mkdir(parents=True, exist_ok=True)
    (here / litter).write_text(str(os.getpid()))
(here / "model.om").write_bytes(b"IMOD" + f"{given['--soc_version']} {batch} {len(network)} ".encode() + content)
print("ATC start working now, please wait for a moment.\\n...\\nATC run success, welcome to the next use.\\n")
'''

MAGICMIND = '''\
"""An emulation of MagicMind's Python interface: statuses are returned, nothing is raised."""
import json, os
from pathlib import Path

folder = os.environ["PYTHONPATH"]
variables = {name: value for name, value in os.environ.items() if name not in ("PATH", "LC_CTYPE")}
neuware = os.environ["NEUWARE_HOME"]
assert os.environ["PATH"].split(":")[0] == f"{neuware}/bin"
assert variables == {
    "NEUWARE_HOME": neuware, "LD_LIBRARY_PATH": f"{neuware}/lib64", "PYTHONPATH": folder, "HOME": str(Path.cwd() / "home"),
    "TMPDIR": str(Path.cwd()), "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0",
}, variables
assert Path(neuware, "lib64/libmagicmind.so").is_file()


class Status:
    def __init__(self, text=""):
        self.text = text

    def ok(self):
        return not self.text

    def __str__(self):
        return self.text or "OK"


class ModelKind:
    kOnnx, kCaffe = "onnx", "caffe"


class Network:
    content = b""


class BuilderConfig:
    text = ""

    def parse_from_string(self, text):
        self.text = text
        told = json.loads(text)
        (arch,) = told.pop("archs")
        assert told == {"graph_shape_mutable": False, "precision_config": {"precision_mode": "force_float16"}}, told
        return Status("" if arch.startswith("mtp_") else f"INVALID_ARGUMENT: unsupported arch {arch}")


class Model:
    def __init__(self, content):
        self.content = content

    def serialize_to_file(self, path):
        Path(path).write_bytes(self.content)
        return Status()


class Builder:
    def build_model(self, name, network, config):
        assert (name, bool(network.content), bool(config.text)) == ("model", True, True)
        return Model(b"MM" + config.text.encode() + network.content)
'''

PARSER = """\
from pathlib import Path
from . import Status


class Parser:
    def __init__(self, kind):
        self.kind = kind

    def parse(self, network, *files):
        assert files == {"onnx": ("model.onnx",), "caffe": ("model.caffemodel", "model.prototxt")}[self.kind], files
        network.content = b"".join(Path(name).read_bytes() for name in files)
        return Status()
"""


def cann(folder: Path, version: str = "8.0.RC1") -> Path:
    """A CANN Toolkit as its installer lays it out: ``latest`` holds links to the folders of a version."""
    real, latest = folder / version, folder / "latest"
    for name, text in {
        "bin/atc": ATC,
        "x86_64-linux/ascend_toolkit_install.info": f"package_name=Ascend-cann-toolkit\nversion={version}\narch=x86_64\n",
        "opp/built-in/README": "operators\n",
        "python/site-packages/te_of_the_toolkit.py": 'READ = "through a link"\n',
    }.items():
        (real / name).parent.mkdir(parents=True, exist_ok=True)
        (real / name).write_text(text)
    (real / "bin/atc").chmod(0o755)
    latest.mkdir(exist_ok=True)
    for part in real.iterdir():
        (latest / part.name).unlink(missing_ok=True)
        (latest / part.name).symlink_to(Path("..", version, part.name))
    return latest


def neuware(folder: Path, version: str = "2.8.5") -> dict[str, str]:
    """Neuware, and a folder that its wheel was installed to."""
    for name, text in {
        "neuware/version.txt": f"Neuware Version {version}\n",
        "neuware/lib64/libmagicmind.so": "",
        "python/magicmind/__init__.py": "",
        "python/magicmind/python/__init__.py": "",
        "python/magicmind/python/runtime/__init__.py": MAGICMIND,
        "python/magicmind/python/runtime/parser.py": PARSER,
        "python/magicmind-1.7.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: magicmind\nVersion: 1.7.0\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return {"NEUWARE_HOME": str(folder / "neuware"), "MAGICMIND_PYTHON": str(folder / "python")}


def outputs(**lines: str) -> dict[str, str]:
    """MODELS.toml of the small model with these outputs."""
    text = SMALL["MODELS.toml"].replace("[models.scale.outputs.x86]\n", "").rstrip()
    for name, more in lines.items():
        text += f"\n{' ' * 8}[models.scale.outputs.{name}]" + "".join(f"\n{' ' * 8}{line}" for line in more.split("; "))
    return {"MODELS.toml": text + "\n"}


@pytest.mark.parametrize(
    ("more", "start"),
    [
        ("", b"IMODAscend310P3 1 1 "),
        ("batch = 2", b"IMODAscend310P3 2 1 "),
        ('via = "caffe"', b"IMODAscend310P3 1 2 "),
    ],
)
def test_atlas(unbuilt: Make, tmp_path: Path, more: str, start: bytes) -> None:
    """The documented call; the artifact is "not run", twice the same, and nothing of the litter is left."""
    space = unbuilt(outputs(ascend310p3=more))
    space.environment = {"ASCEND_HOME_PATH": str(cann(tmp_path / "Ascend/ascend-toolkit"))}
    first = space.build()
    assert first.status == 0, first.text
    row = first.rows["//:scale@ascend310p3"]
    assert (row["status"], row["verdict"]) == ("built", "not run")
    folder = Path(space.root, "out/scale/ascend310p3")
    assert sorted(path.name for path in folder.iterdir()) == ["record.json", "scale.om"]
    made = (folder / "scale.om").read_bytes()
    assert made.startswith(start)
    assert json.loads((folder / "record.json").read_text())["verdict"]["state"] == "not run"
    space.forget_store()
    space.doit("forget", "//:scale@ascend310p3")
    assert space.build().status == 0
    assert (folder / "scale.om").read_bytes() == made


def test_another_version_of_the_sdk(unbuilt: Make, tmp_path: Path) -> None:
    """The version is in the key, the folder is not; nothing hides a change of it."""
    space = unbuilt(outputs(ascend310p3=""))
    space.environment = {"ASCEND_TOOLKIT_HOME": str(cann(tmp_path / "first"))}
    assert space.build(summary=False).status == 0
    noted = "everything is up to date: 1 outputs, nothing to run"
    assert space.build(summary=False).lines == (noted,)
    space.environment = {"ASCEND_TOOLKIT_HOME": str(cann(tmp_path / "second"))}
    elsewhere = space.build(summary=False)
    assert (elsewhere.ran, elsewhere.lines[0] != noted) == ({}, True)
    assert space.build(summary=False).lines == (noted,)
    cann(tmp_path / "second", "8.2.RC1")
    newer = space.build(summary=False)
    assert newer.ran == {"//:scale#om": "CANN Toolkit 8.0.RC1 -> 8.2.RC1"}
    assert space.build(summary=False).lines == (noted,)
    space.environment = {}
    assert "CANN Toolkit is not on this machine" in space.build(summary=False).text


def test_another_version_of_a_wheel(unbuilt: Make, tmp_path: Path) -> None:
    """Its folder is found by a glob: a new name in it is noticed."""
    space = unbuilt(outputs(mlu370=""))
    space.environment = neuware(tmp_path / "cambricon")
    assert space.build(summary=False).status == 0
    assert space.build(summary=False).lines == ("everything is up to date: 1 outputs, nothing to run",)
    old = tmp_path / "cambricon/python/magicmind-1.7.0.dist-info"
    new = old.rename(old.with_name("magicmind-1.8.0.dist-info")) / "METADATA"
    new.write_text("Metadata-Version: 2.1\nName: magicmind\nVersion: 1.8.0\n")
    assert "MagicMind for Python" in space.build(summary=False).ran["//:scale#magicmind"]


def test_what_atc_refuses(unbuilt: Make, tmp_path: Path) -> None:
    space = unbuilt(outputs(ascend310p3='target = "Kirin"'))
    space.environment = {"ASCEND_HOME_PATH": str(cann(tmp_path / "Ascend"))}
    outcome = space.build()
    assert outcome.status == 1
    assert outcome.errors[0].endswith(
        "atc cannot compile this model for Kirin: Value [Kirin] for parameter [--soc_version] is invalid. (E10001)"
    )


@pytest.mark.parametrize("more", ["", 'via = "caffe"'])
def test_cambricon(unbuilt: Make, tmp_path: Path, more: str) -> None:
    space = unbuilt(outputs(mlu370=more))
    space.environment = neuware(tmp_path / "cambricon")
    outcome = space.build()
    assert outcome.status == 0, outcome.text
    assert outcome.rows["//:scale@mlu370"]["verdict"] == "not run"
    assert Path(space.root, "out/scale/mlu370/scale.mm").read_bytes().startswith(b'MM{"archs": ["mtp_372"]')


def test_what_magicmind_refuses(unbuilt: Make, tmp_path: Path) -> None:
    """A status that is not good is a refusal in its words, though MagicMind raises nothing."""
    space = unbuilt(outputs(mlu370='target = "sm_80"'))
    space.environment = neuware(tmp_path / "cambricon")
    outcome = space.build()
    assert outcome.status == 1
    said = "MagicMind cannot compile this model for sm_80: parse_from_string: INVALID_ARGUMENT: unsupported arch sm_80"
    assert outcome.errors[0].endswith(said)


def test_no_sdk(unbuilt: Make, tmp_path: Path) -> None:
    """One error before anything runs: what is missing, how to get it, what -k leaves out."""
    space = unbuilt(outputs(x86="", ascend310p3="", small='hardware = "ascend310"', mlu370=""))
    nowhere = {"NEUWARE_HOME": str(tmp_path / "nowhere")}
    space.environment = {**neuware(tmp_path / "cambricon"), **nowhere}
    outcome = space.build()
    assert (outcome.status, outcome.ran, outcome.rows) == (2, {}, {})
    cann_said, hint, neuware_said, _ = outcome.errors
    assert cann_said == (
        "MODELS.toml:12:23: CANN Toolkit is not on this machine: none of ASCEND_TOOLKIT_HOME, ASCEND_HOME_PATH is set [MB333]"
    )
    assert hint.endswith("source its set_env.sh; with -k all is built but //:scale@ascend310p3, //:scale@small")
    assert (
        f"Cambricon Neuware is not on this machine: NEUWARE_HOME = {tmp_path}/nowhere is no folder [MB333]"
        in neuware_said
    )
    assert space.build("//:scale@x86").status == 0
    rest = space.build("-k")
    assert rest.status == 1
    assert rest.errors == outcome.errors
    assert rest.statuses == {"//:scale@x86": "up to date"}
    again = space.build("-k", summary=False)
    assert (again.status, again.errors) == (1, outcome.errors)
    assert space.build("//:scale@mlu370", "-k").status == 2


def test_an_incomplete_sdk(unbuilt: Make, tmp_path: Path) -> None:
    space = unbuilt(outputs(ascend310p3=""))
    toolkit = cann(tmp_path / "Ascend")
    space.environment = {"ASCEND_HOME_PATH": str(toolkit)}
    (toolkit / "x86_64-linux").unlink()
    assert (
        "does not say its version in x86_64-linux/ascend_toolkit_install.info or compiler/version.info"
        in space.build().errors[0]
    )
    (toolkit / "bin").unlink()
    assert f"ASCEND_HOME_PATH = {toolkit} has no bin/atc [MB333]" in space.build().errors[0]


@pytest.mark.parametrize(
    ("hardware", "more", "loader", "start"),
    [
        ("ascend310p3", "", b"atlas", b"IMODAscend310P3 1 1 "),
        ("ascend310p3", 'via = "caffe"; batch = 2; loader = "our_npu"', b"our_npu", b"IMODAscend310P3 2 2 "),
        ("mlu370", "", b"magicmind", b'MM{"archs": ["mtp_372"]'),
    ],
)
def test_a_blob_in_an_mge(unbuilt: Make, tmp_path: Path, hardware: str, more: str, loader: bytes, start: bytes) -> None:
    """The .mge holds the blob as it is; MegEngine asks for the loader of that name and hands it over."""
    wrapped = 'embed = "mge"' + (f"; {more}" if more else "")
    blob = "; ".join(part for part in more.split("; ") if part and "loader" not in part)
    space = unbuilt(
        outputs(wrapped=f'hardware = "{hardware}"; {wrapped}', blob=f'hardware = "{hardware}"; {blob}'.rstrip("; "))
    )
    space.environment = {
        "ASCEND_HOME_PATH": str(cann(tmp_path / "Ascend")),
        **neuware(tmp_path / "cambricon"),
    }
    outcome = space.build()
    assert outcome.status == 0, outcome.text
    row = outcome.rows["//:scale@wrapped"]
    assert (row["status"], row["verdict"]) == ("built", "not run")
    assert row["artifact"].endswith("scale.mge")
    made = Path(space.root, row["artifact"]).read_bytes()
    embedded = Path(space.root, outcome.rows["//:scale@blob"]["artifact"]).read_bytes()
    assert embedded.startswith(start)
    assert made.count(embedded) == 1
    assert loader in made.replace(embedded, b"")
    record = json.loads(Path(space.root, "out/scale/wrapped/record.json").read_text())
    assert record["road"][-1] == "embed"
    assert record["inputs"][0]["shape"] == ([2, 3] if "batch" in more else [1, 3])
    space.forget_store()
    space.doit("forget", "//:scale@wrapped")
    assert space.build("//:scale@wrapped").status == 0
    assert Path(space.root, row["artifact"]).read_bytes() == made
