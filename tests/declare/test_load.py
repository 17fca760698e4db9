"""A whole workspace: what is found, what is inherited, what is passed over, what is watched."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from megbuild.declare.load import load
from megbuild.declare.models import Budget, EntryPoint, Pinned, Tensor, Thresholds, Workspace
from megbuild.declare.root import here
from megbuild.errors import Location, MegbuildError

Write = Callable[[Mapping[str, str]], Path]
NET = "def build():\n    pass\n\ndef train(path):\n    pass\n"
SHA = "AB" * 32
FULL = f"""
[defaults]
verify = {{ cosine = 0.999, max_abs = 0.1 }}
budget = {{ size_mb = 20 }}
hash = "bytes"
environment = "requirements.lock"
precision = "int8"

[models.resnet18]
train = "train.py:train"
source = "net.py:build"
data = ["labels.txt", "extra"]
inputs = [
  {{ name = "data", shape = [1, 3, 224, 224], dtype = "float32", range = [-2, 2.0] }},
  {{ name = "mask", shape = [1, 1], dtype = "uint8" }},
]
results = [{{ name = "prob", shape = [1, 1000] }}, {{ name = "class", shape = [1], dtype = "int32" }}]
samples = "samples/*.npy"
labels = "labels.npy"
calibration = ["calib/**/*.np[yz]", "//shared/*.npy"]
verify = {{ cosine = 0.99 }}

[models.resnet18.outputs.x86]
[models.resnet18.outputs.npu]
hardware = "rk3588"
via = "onnx"
opset = 11
clip = 1
verify = {{ top1 = 1 }}
budget = {{ size_mb = 14 }}

[models.delivered]
archive = {{ path = "net.tm", sha256 = "{SHA}" }}
inputs = [{{ name = "data", shape = [1] }}]
results = [{{ name = "prob", shape = [1] }}]
[models.delivered.outputs.arm64]
"""
FILES = {
    "vision/MODELS.toml": FULL,
    "vision/net.py": NET,
    "vision/train.py": NET,
    "vision/labels.txt": "",
    "vision/extra/deep/b.txt": "",
    "vision/extra/a.txt": "",
    "vision/extra/.hidden": "",
    "vision/requirements.lock": "",
    "vision/samples/1.npy": "",
    "vision/labels.npy": "",
    "vision/calib/x/1.npz": "",
    "vision/net.tm": "",
    "shared/1.npy": "",
}


def sound(name: str = "net", folder: str = "") -> dict[str, str]:
    """A package with one model."""
    start = f"{folder}/" if folder else ""
    text = f"""
        [models.{name}]
        source = "net.py:build"
        inputs = [{{ name = "data", shape = [1] }}]
        results = [{{ name = "prob", shape = [1] }}]
        [models.{name}.outputs.x86]
    """
    return {f"{start}MODELS.toml": dedent(text), f"{start}net.py": NET}


def labels(workspace: Workspace) -> list[str]:
    return [model.label for model in workspace.models]


def test_a_full_declaration_becomes_typed_and_frozen(write: Write, toy_rules: Path) -> None:
    resnet, delivered = load(write(FILES), builtin=toy_rules).models
    assert resnet.label == "//vision:resnet18"
    assert resnet.train == EntryPoint("vision/train.py", "train")
    assert resnet.source == EntryPoint("vision/net.py", "build")
    assert resnet.data == ("vision/extra/a.txt", "vision/extra/deep/b.txt", "vision/labels.txt")
    assert resnet.environment == "vision/requirements.lock"
    assert resnet.inputs == (
        Tensor("data", (1, 3, 224, 224), "float32", (-2.0, 2.0)),
        Tensor("mask", (1, 1), "uint8", (0.0, 255.0)),
    )
    assert resnet.results == (Tensor("prob", (1, 1000), ""), Tensor("class", (1,), "int32"))
    assert resnet.samples == ("vision/samples/*.npy",)
    assert resnet.calibration == ("vision/calib/**/*.np[yz]", "shared/*.npy")
    assert resnet.labels == "vision/labels.npy"
    assert resnet.hash == "bytes"
    assert delivered.archive == Pinned("vision/net.tm", SHA.lower())
    assert (delivered.source, delivered.environment) == (None, "")


def test_the_nearest_word_on_thresholds_and_limits_counts(write: Write, toy_rules: Path) -> None:
    x86, npu = load(write(FILES), builtin=toy_rules).models[0].outputs
    assert x86.verify == Thresholds(cosine=0.99, max_abs=0.1)
    assert npu.verify == Thresholds(cosine=0.99, max_abs=0.1, top1=1.0)
    assert (x86.budget, npu.budget) == (Budget(20.0), Budget(14.0))


def test_options_are_typed_and_those_of_the_defaults_stay_apart(write: Write, toy_rules: Path) -> None:
    npu = load(write(FILES), builtin=toy_rules).models[0].outputs[1]
    assert dict(npu.options) == {"opset": 11, "clip": 1.0}
    assert isinstance(npu.options["clip"], float)
    assert dict(npu.inherited) == {"precision": "int8"}
    assert (npu.hardware, npu.via, npu.direct) == ("rk3588", ("onnx",), False)


def test_everything_can_be_found_again_in_its_file(write: Write, toy_rules: Path) -> None:
    model = load(write({**FILES, "vision/MODELS.toml": FULL.lstrip("\n")}), builtin=toy_rules).models[0]
    npu = model.outputs[1]
    assert model.where and model.where.located() == Location("vision/MODELS.toml", 8, 9)
    assert npu.where and npu.where.located() == Location("vision/MODELS.toml", 23, 26)
    assert npu.places["opset"].located() == Location("vision/MODELS.toml", 26, 9)


def test_folders_below_inherit_and_may_say_otherwise(write: Write, toy_rules: Path) -> None:
    root = write(
        {
            "MODELS.toml": '[defaults]\nverify = { cosine = 0.9 }\nhash = "bytes"\nopset = 9\n',
            "a/MODELS.toml": "[defaults]\nverify = { top1 = 0.5 }\nopset = 10\n",
            **sound("near", "a/b/c"),
            **sound("far", "z"),
        }
    )
    near, far = load(root, builtin=toy_rules).models
    assert near.outputs[0].verify == Thresholds(cosine=0.9, top1=0.5)
    assert far.outputs[0].verify == Thresholds(cosine=0.9)
    assert (dict(near.outputs[0].inherited), dict(far.outputs[0].inherited)) == ({"opset": 10}, {"opset": 9})
    assert (near.hash, far.hash) == ("bytes", "bytes")


def test_packages_come_in_order_and_some_folders_are_passed_over(write: Write, toy_rules: Path) -> None:
    skipped = [".hidden", "out", "node_modules", "venv", "nested", "other", "ignored/deep", "b/__pycache__"]
    files: dict[str, str] = {"pyproject.toml": '[tool.megbuild]\nignore = "ignored"\n'}
    for folder in ["", "b", "a", "a/z", "a/b", "b/out", *skipped]:
        files |= sound("net", folder)
    files |= {
        "venv/pyvenv.cfg": "",
        "nested/pyproject.toml": "[tool.megbuild]\n",
        "other/MODELS.toml": "workspace = true\n",
        "b/pyproject.toml": '[project]\nname = "megbuild-models"\n',
    }
    workspace = load(write(files), builtin=toy_rules)
    assert labels(workspace) == ["//:net", "//a:net", "//a/b:net", "//a/z:net", "//b:net", "//b/out:net"]


def test_the_workspace_is_the_nearest_one_upwards(write: Write, toy_rules: Path) -> None:
    root = write({**sound("net", "a"), **sound("inner", "a/in"), "a/in/deep/x": ""})
    inner = root / "a/in/MODELS.toml"
    inner.write_text("workspace = true\ndefault = ':inner'\n" + inner.read_text())
    assert labels(load(root / "a", builtin=toy_rules)) == ["//a:net"]
    nested = load(root / "a/in/deep", builtin=toy_rules)
    assert (labels(nested), nested.default, nested.root) == (["//:inner"], (":inner",), str(root / "a/in"))


def test_a_bare_build_builds_everything_unless_told_otherwise(write: Write, toy_rules: Path) -> None:
    assert load(write(sound()), builtin=toy_rules).default == ("//...",)
    told = load(write({"pyproject.toml": "[tool.megbuild]\ndefault = ['//a', '//b/...']\n"}), builtin=toy_rules)
    assert told.default == ("//a", "//b/...")


def test_no_workspace_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(MegbuildError) as raised:
        load(tmp_path)
    assert str(raised.value) == (
        f"no workspace was found in {tmp_path} or above [MB101]\n"
        '  hint: write "workspace = true" into a MODELS.toml, or a [tool.megbuild] table into pyproject.toml, '
        "at the root of your models"
    )


def test_a_lone_file_is_asked_to_say_that_it_is_the_root(tmp_path: Path) -> None:
    (tmp_path / "MODELS.toml").write_text("")
    (tmp_path / "deep").mkdir()
    with pytest.raises(MegbuildError) as raised:
        load(tmp_path / "deep")
    assert str(raised.value) == (
        f"{tmp_path}/MODELS.toml belongs to no workspace [MB101]\n"
        '  hint: write "workspace = true" as the first line of it'
    )


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MegbuildError, match="there is no folder"):
        load(tmp_path / "nowhere")


def test_what_was_read_can_be_watched(write: Write, toy_rules: Path) -> None:
    root = write({**FILES, "HARDWARE.toml": ""})
    loaded = load(root, builtin=toy_rules)
    read = {*loaded.read, *loaded.listed}
    inside = ["", "vision", "vision/MODELS.toml", "vision/samples", "HARDWARE.toml", "pyproject.toml"]
    assert {str(root / name) for name in inside} <= read
    rules = ["", "hardware.toml", "mge", "mge/rule.py", "npu/requirements.lock", "toolchains/toy/toolchain.toml"]
    assert {str(toy_rules / name) for name in rules} <= read
    assert all(Path(path).is_absolute() and Path(path).exists() for path in read)


def test_links_may_lead_anywhere_but_out(write: Write, toy_rules: Path, tmp_path: Path) -> None:
    root = write({**sound(), "real/1.npy": ""})
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "1.npy").touch()
    for name, target in {"inside": "real", "away": outside, "one.npy": outside / "1.npy", "loop": "loop"}.items():
        (root / name).symlink_to(target)
    models = root / "MODELS.toml"
    text = models.read_text()

    def said(line: str) -> str:
        models.write_text(text.replace("[models.net]\n", f"[models.net]\n{line}\n"))
        try:
            load(root, builtin=toy_rules)
        except MegbuildError as error:
            return str(error)
        return ""

    assert said('samples = "inside/*.npy"') == ""
    assert said('samples = "away/*.npy"').startswith('MODELS.toml:2:11: "away/*.npy" matches no file [MB113]')
    assert said('data = "one.npy"') == (
        "MODELS.toml:2:8: one.npy leaves the workspace through a link [MB110]\n"
        "  hint: copy what it leads to into the workspace"
    )
    assert said('data = "away/1.npy"').startswith("MODELS.toml:2:8: away/1.npy leaves the workspace through a link")
    assert said('data = "loop"').startswith("MODELS.toml:2:8: there is no file loop [MB111]")
    assert said('data = "away"').startswith("MODELS.toml:2:8: away leaves the workspace through a link [MB110]")


@pytest.mark.parametrize(
    "text",
    ["from x import build\n", "if 1:\n    def build(): ...\n", "build = 1\n", "from x import *\n", "a, build = 1, 2\n"],
)
def test_a_function_may_be_defined_in_any_way(write: Write, toy_rules: Path, text: str) -> None:
    assert load(write({**sound(), "net.py": text}), builtin=toy_rules).models


def test_a_file_that_is_no_text(write: Write, toy_rules: Path) -> None:
    root = write({"a/MODELS.toml": ""})
    (root / "a/MODELS.toml").write_bytes(b"[defaults]\n# \xff\n")
    with pytest.raises(MegbuildError) as raised:
        load(root, builtin=toy_rules)
    assert str(raised.value) == "a/MODELS.toml:2: is not UTF-8 text [MB102]\n  hint: save the file as UTF-8"


def test_a_byte_order_mark_is_no_mistake(write: Write, toy_rules: Path) -> None:
    root = write(sound())
    text = (root / "MODELS.toml").read_bytes()
    (root / "MODELS.toml").write_bytes(b"\xef\xbb\xbf" + text.lstrip(b"\n").replace(b"x86", b"x68"))
    with pytest.raises(MegbuildError, match=r"MODELS.toml:5:21: there is no hardware \"x68\""):
        load(root, builtin=toy_rules)


def test_mistakes_of_several_files_are_told_together_in_order(write: Write, toy_rules: Path) -> None:
    root = write({"b/MODELS.toml": "x = 1\ny = 2\n", "a/MODELS.toml": "=", "HARDWARE.toml": "[h]\n"})
    with pytest.raises(MegbuildError) as raised:
        load(root, builtin=toy_rules)
    heads = [line.split(": ")[0] for line in str(raised.value).splitlines() if not line.startswith("  hint")]
    assert heads == ["HARDWARE.toml:1:2", "a/MODELS.toml:1:1", "b/MODELS.toml:1:1", "b/MODELS.toml:2:1"]


def test_positions_are_looked_up_only_for_mistakes(write: Write, toy_rules: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from megbuild.declare.load import load;"
        f"load(Path({str(write(FILES))!r}), builtin=Path({str(toy_rules)!r}));"
        "print([name for name in ('tree_sitter', 'difflib', 'doit') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.stdout.strip() == "[]", done.stderr


def test_here_is_the_package_one_stands_in(tmp_path: Path) -> None:
    (tmp_path / "a/.b").mkdir(parents=True)
    root = str(tmp_path.resolve())
    assert here(root, tmp_path) == ""
    assert here(root, tmp_path / "a/.b") == "a/.b"
    assert here(root, tmp_path.parent) == ""
