"""Every mistake a user can make in MODELS.toml, and the exact line that answers it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

NET = "def build():\n    pass\n\ndef train(path):\n    pass\n"
MODEL = """\
[models.net]
source = "net.py:build"
inputs = [{ name = "data", shape = [1, 3, 8, 8] }]
results = [{ name = "prob", shape = [1, 10] }]
[models.net.outputs.x86]
"""
HASH = "0" * 64


def spoilt(old: str, new: str, **files: str) -> dict[str, str]:
    """The sound model with one thing changed."""
    assert old in MODEL
    return {
        "v/MODELS.toml": MODEL.replace(old, new),
        "v/net.py": NET,
        **{k.replace("__", "/"): t for k, t in files.items()},
    }


def with_line(line: str, **files: str) -> dict[str, str]:
    """The sound model with one more line (line 3) in its table."""
    return spoilt('net.py:build"\n', f'net.py:build"\n{line}\n', **files)


def with_output(text: str) -> dict[str, str]:
    """The sound model with text after the header of its output (line 6 on)."""
    return spoilt("outputs.x86]\n", f"outputs.x86]\n{text}\n")


CASES: dict[str, tuple[Mapping[str, str], str]] = {
    "unclosed list": (
        spoilt("[1, 10]", "[1, 10"),
        "v/MODELS.toml:4:44: is not TOML: unclosed list [MB103]\n  hint: a list that opens with [ must close with ]",
    ),
    "key twice": (
        with_line('source = "net.py:build"'),
        "v/MODELS.toml:3:24: is not TOML: a key gets a second value [MB103]\n  hint: remove one of the two",
    ),
    "table twice": (
        with_output("[models.net]"),
        "v/MODELS.toml:6:12: is not TOML: [models.net] stands there a second time [MB103]\n"
        "  hint: join the two tables, or give one another name",
    ),
    "string without quotes": (
        spoilt('"net.py:build"', "net.py:build"),
        'v/MODELS.toml:2:10: is not TOML: invalid value [MB103]\n  hint: a string stands in quotes: key = "value"',
    ),
    "misspelt table": (
        spoilt("models.net", "model.net"),
        'v/MODELS.toml:1:2: unknown key "model" [MB104]\n  hint: did you mean "models"?',
    ),
    "misspelt key": (
        spoilt("source", "sorce"),
        'v/MODELS.toml:2:1: unknown key "sorce" in models.net [MB104]\n  hint: did you mean "source"?',
    ),
    "unknown key far from all": (
        with_line("zzz = 1"),
        'v/MODELS.toml:3:1: unknown key "zzz" in models.net [MB104]\n'
        "  hint: use one of archive, budget, calibration, data, environment, hash, inputs, labels, limits, onnx, outputs, results, samples, source, train, verify",
    ),
    "option on the model": (
        with_line('precision = "int8"'),
        'v/MODELS.toml:3:1: unknown key "precision" in models.net [MB104]\n'
        '  hint: "precision" belongs to an output: write it below [models.NAME.outputs.NAME]',
    ),
    "hardware on the model": (
        with_line('hardware = "x86"'),
        'v/MODELS.toml:3:1: unknown key "hardware" in models.net [MB104]\n'
        '  hint: "hardware" belongs to an output: write it below [models.NAME.outputs.NAME]',
    ),
    "samples on the output": (
        with_output('samples = "s/*.npy"'),
        'v/MODELS.toml:6:1: unknown key "samples" in models.net.outputs.x86 [MB104]\n'
        '  hint: "samples" belongs to the model: write it above its outputs',
    ),
    "key of an input misspelt": (
        spoilt("shape = [1, 3, 8, 8]", "shpe = [1, 3, 8, 8]"),
        'v/MODELS.toml:3:11: models.net.inputs[0] lacks "shape" [MB106]\n'
        "  hint: add shape = [1, 3, 224, 224]\n"
        'v/MODELS.toml:3:28: unknown key "shpe" in models.net.inputs[0] [MB104]\n'
        '  hint: did you mean "shape"?',
    ),
    "wrong type": (
        spoilt('"net.py:build"', "3"),
        "v/MODELS.toml:2:10: models.net.source must be a string, not a whole number [MB105]\n"
        '  hint: write source = "resnet18.py:build"',
    ),
    "inputs as one table": (
        spoilt('[{ name = "data", shape = [1, 3, 8, 8] }]', '{ name = "data", shape = [1, 3, 8, 8] }'),
        "v/MODELS.toml:3:10: models.net.inputs must be a list, not a table [MB105]\n"
        '  hint: write inputs = [{ name = "data", shape = [1, 3, 224, 224] }]',
    ),
    "models as a list": (
        {"v/MODELS.toml": "models = [1]\n"},
        "v/MODELS.toml:1:10: models must be a table, not a list [MB105]",
    ),
    "a model as a string": (
        {"v/MODELS.toml": '[models]\nnet = "net.py:build"\n'},
        "v/MODELS.toml:2:7: models.net must be a table, not a string [MB105]\n  hint: write [models.net]",
    ),
    "an output as a string": (
        spoilt("[models.net.outputs.x86]", 'outputs = { x86 = "mge" }'),
        "v/MODELS.toml:5:19: models.net.outputs.x86 must be a table, not a string [MB105]\n"
        "  hint: write [models.net.outputs.x86]",
    ),
    "dynamic dimension": (
        spoilt("[1, 3, 8, 8]", "[-1, 3, 8, 8]"),
        "v/MODELS.toml:3:37: models.net.inputs[0].shape[0] must be at least 1 [MB105]\n"
        "  hint: megbuild compiles for fixed shapes: write every dimension as a number of 1 or more",
    ),
    "dimension as text": (
        spoilt("[1, 3, 8, 8]", '["n", 3, 8, 8]'),
        "v/MODELS.toml:3:37: models.net.inputs[0].shape[0] must be a whole number, not a string [MB105]\n"
        "  hint: write shape = [1, 3, 224, 224]",
    ),
    "empty shape": (
        spoilt("[1, 10]", "[]"),
        "v/MODELS.toml:4:37: models.net.results[0].shape must have at least 1 item [MB105]\n"
        "  hint: write shape = [1, 3, 224, 224]",
    ),
    "unknown dtype": (
        spoilt("shape = [1, 3, 8, 8]", 'shape = [1, 3, 8, 8], dtype = "float33"'),
        'v/MODELS.toml:3:58: models.net.inputs[0].dtype cannot be "float33" [MB105]\n  hint: did you mean "float32"?',
    ),
    "range of one": (
        spoilt("shape = [1, 3, 8, 8]", "shape = [1, 3, 8, 8], range = [1.0]"),
        "v/MODELS.toml:3:58: models.net.inputs[0].range must have exactly 2 items [MB105]\n"
        "  hint: write range = [-1.0, 1.0]",
    ),
    "range upside down": (
        spoilt("shape = [1, 3, 8, 8]", "shape = [1, 3, 8, 8], range = [1.0, -1.0]"),
        "v/MODELS.toml:3:58: range must be two finite numbers, the smaller one first [MB105]",
    ),
    "range beyond dtype": (
        spoilt("shape = [1, 3, 8, 8]", 'shape = [1, 3, 8, 8], dtype = "uint8", range = [-1, 1]'),
        "v/MODELS.toml:3:75: range goes beyond the values of uint8 [MB105]\n  hint: write range = [0, 255]",
    ),
    "threshold beyond 1": (
        with_line("verify = { cosine = 99.9 }"),
        "v/MODELS.toml:3:21: models.net.verify.cosine must be at most 1 [MB105]",
    ),
    "unknown threshold": (
        with_line("verify = { cosin = 0.9 }"),
        'v/MODELS.toml:3:12: unknown key "cosin" in models.net.verify [MB104]\n  hint: did you mean "cosine"?',
    ),
    "budget of nothing": (
        with_output("budget = { size_mb = 0 }"),
        "v/MODELS.toml:6:22: models.net.outputs.x86.budget.size_mb must be more than 0 [MB105]",
    ),
    "bad hash word": (
        with_line('hash = "byte"'),
        'v/MODELS.toml:3:8: models.net.hash cannot be "byte" [MB105]\n  hint: did you mean "bytes"?',
    ),
    "no inputs": (
        spoilt('inputs = [{ name = "data", shape = [1, 3, 8, 8] }]\n', ""),
        'v/MODELS.toml:1:9: models.net lacks "inputs" [MB106]\n'
        '  hint: add inputs = [{ name = "data", shape = [1, 3, 224, 224] }]',
    ),
    "no name": (
        spoilt('name = "prob", ', ""),
        'v/MODELS.toml:4:12: models.net.results[0] lacks "name" [MB106]\n  hint: add name = "data"',
    ),
    "model name with a space": (
        spoilt("models.net", 'models."my net"'),
        'v/MODELS.toml:1:9: "my net" cannot name a model [MB107]\n'
        "  hint: names are made of at most 100 letters, digits, _, - and ., and start with a letter, a digit or _",
    ),
    "bad output name": (
        spoilt("outputs.x86]", 'outputs."x86=fast"]'),
        'v/MODELS.toml:5:21: "x86=fast" cannot name an output [MB107]\n'
        "  hint: names are made of at most 100 letters, digits, _, - and ., and start with a letter, a digit or _",
    ),
    "bad tensor name": (
        spoilt('"prob"', '"a b"'),
        'v/MODELS.toml:4:21: "a b" cannot name a tensor [MB107]\n'
        "  hint: names are made of at most 100 letters, digits, _, - and ., and start with a letter, a digit or _",
    ),
    "bad package name": (
        {"my models/MODELS.toml": MODEL, "my models/net.py": NET},
        'my models/MODELS.toml:1:1: the folder "my models" cannot be a package [MB107]\n'
        "  hint: names are made of at most 100 letters, digits, _, - and ., and start with a letter, a digit or _",
    ),
    "no start": (
        spoilt('source = "net.py:build"\n', ""),
        "v/MODELS.toml:1:9: model net does not say where it comes from [MB108]\n"
        '  hint: add source = "file.py:function", or archive or onnx = { path = "...", sha256 = "..." }',
    ),
    "two starts": (
        with_line(f'archive = {{ path = "net.py", sha256 = "{HASH}" }}'),
        "v/MODELS.toml:3:1: model net has source and archive, and can start from one only [MB108]\n"
        "  hint: keep one of them",
    ),
    "train without source": (
        spoilt(
            'source = "net.py:build"', f'train = "net.py:train"\narchive = {{ path = "net.py", sha256 = "{HASH}" }}'
        ),
        'v/MODELS.toml:2:1: "train" is of use only with source, and this model has archive [MB109]\n'
        "  hint: leave train out",
    ),
    "labels without samples": (
        with_line('labels = "labels.npy"', **{"v/labels.npy": ""}),
        'v/MODELS.toml:3:1: "labels" is of use only with samples [MB109]\n  hint: add samples = "samples/*.npy"',
    ),
    "default below the root": (
        {"v/MODELS.toml": 'default = ["//..."]\n' + MODEL, "v/net.py": NET},
        'v/MODELS.toml:1:1: "default" is of use only at the root [MB109]\n'
        "  hint: write it at the root of the workspace",
    ),
    "via and direct": (
        with_output('via = "onnx"\ndirect = true'),
        "v/MODELS.toml:7:1: via and direct contradict each other [MB109]\n  hint: keep one of the two",
    ),
    "absolute path": (
        with_line('data = ["/etc/passwd"]'),
        'v/MODELS.toml:3:9: path "/etc/passwd" is a path of one machine [MB110]\n'
        "  hint: write a path below the folder of this file, or with // from the root of the workspace",
    ),
    "parent path": (
        with_line('data = ["../net.py"]'),
        'v/MODELS.toml:3:9: path "../net.py" leaves its folder through ".." [MB110]\n'
        "  hint: write a path below the folder of this file, or with // from the root of the workspace",
    ),
    "backslash": (
        with_line("data = ['a\\b']"),
        'v/MODELS.toml:3:9: path "a\\\\b" has a backslash [MB110]\n'
        "  hint: write a path below the folder of this file, or with // from the root of the workspace",
    ),
    "missing file": (
        spoilt("net.py", "nett.py"),
        'v/MODELS.toml:2:10: there is no file v/nett.py [MB111]\n  hint: did you mean "net.py"?',
    ),
    "missing data": (
        with_line('data = ["labels.txt"]'),
        "v/MODELS.toml:3:9: there is no file v/labels.txt [MB111]",
    ),
    "missing archive": (
        spoilt('source = "net.py:build"', f'archive = {{ path = "net.tm", sha256 = "{HASH}" }}'),
        "v/MODELS.toml:2:20: there is no file v/net.tm [MB111]",
    ),
    "missing environment": (
        with_line('environment = "requirements.lock"'),
        "v/MODELS.toml:3:15: there is no file v/requirements.lock [MB111]",
    ),
    "folder for a file": (
        with_line('environment = "folder"', v__folder__x=""),
        "v/MODELS.toml:3:15: v/folder is a folder, not a file [MB111]",
    ),
    "missing function": (
        spoilt("net.py:build", "net.py:bild"),
        'v/MODELS.toml:2:10: v/net.py has no function bild [MB112]\n  hint: did you mean "build"?',
    ),
    "no function": (
        spoilt("net.py:build", "net.py"),
        'v/MODELS.toml:2:10: source = "net.py" names no function of a file [MB112]\n'
        '  hint: write source = "file.py:function"',
    ),
    "source that is not Python": (
        {**spoilt("net.py:build", "net.py:main"), "v/net.py": "x = = 1\n"},
        "v/net.py:1:5: is not valid Python: invalid syntax [MB112]",
    ),
    "glob without a match": (
        with_line('samples = "samples/*.npy"'),
        'v/MODELS.toml:3:11: "samples/*.npy" matches no file [MB113]\n'
        "  hint: paths are relative to the folder of this file, or with // to the root of the workspace",
    ),
    "samples of another kind": (
        with_line('calibration = ["calib/*.npy", "calib/*.jpg"]', **{"v/calib/a.npy": "", "v/calib/b.jpg": ""}),
        'v/MODELS.toml:3:31: "calib/*.jpg" matches v/calib/b.jpg, which is not .npy or .npz [MB113]\n'
        '  hint: write calibration = "folder/*.npy"',
    ),
    "short sha256": (
        spoilt('source = "net.py:build"', 'onnx = { path = "net.onnx", sha256 = "abc" }', **{"v/net.onnx": "x"}),
        "v/MODELS.toml:2:38: sha256 must be 64 hexadecimal digits [MB114]\n"
        '  hint: sha256 = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881" if the file is the right one',
    ),
    "archive without sha256": (
        spoilt('source = "net.py:build"', 'archive = "net.tm"'),
        "v/MODELS.toml:2:11: models.net.archive must be a table, not a string [MB105]\n"
        '  hint: write archive = { path = "resnet18.tm", sha256 = "..." }',
    ),
    "unknown hardware": (
        with_output('hardware = "arm46"'),
        'v/MODELS.toml:6:12: there is no hardware "arm46" [MB115]\n  hint: did you mean "arm64"?',
    ),
    "output named after no hardware": (
        spoilt("outputs.x86", "outputs.phone"),
        'v/MODELS.toml:5:21: there is no hardware "phone" [MB115]\n'
        '  hint: add hardware = "...": use one of arm64, onnx, rk3588, x86',
    ),
    "output named almost as hardware": (
        spoilt("outputs.x86", "outputs.rk3589"),
        'v/MODELS.toml:5:21: there is no hardware "rk3589" [MB115]\n'
        '  hint: did you mean "rk3588"? Else add hardware = "..."',
    ),
    "option of another type": (
        with_output('opset = "12"'),
        "v/MODELS.toml:6:9: opset must be a whole number, not a string [MB116]",
    ),
    "option out of range": (
        with_output("opset = 99"),
        "v/MODELS.toml:6:9: opset must be between 7 and 12 [MB116]",
    ),
    "option not among the choices": (
        with_output('precision = "int4"'),
        "v/MODELS.toml:6:13: precision must be one of fp32, fp16 for mge; must be one of fp16, int8 for npu [MB116]\n"
        '  hint: did you mean "int8"?',
    ),
    "option as a table": (
        with_output("target = {}"),
        "v/MODELS.toml:6:10: target must be a string, not a table [MB116]",
    ),
    "several at once": (
        with_output('opset = 99\nlayout = 1\nhardwre = "x86"\nvia = "onx"\nbudget = { size = 1 }'),
        "v/MODELS.toml:6:9: opset must be between 7 and 12 [MB116]\n"
        "v/MODELS.toml:7:10: layout must be a string, not a whole number [MB116]\n"
        'v/MODELS.toml:8:1: unknown key "hardwre" in models.net.outputs.x86 [MB104]\n'
        '  hint: did you mean "hardware"?\n'
        'v/MODELS.toml:9:7: no installed rule makes the format "onx" [MB119]\n'
        '  hint: did you mean "onnx"?\n'
        'v/MODELS.toml:10:12: unknown key "size" in models.net.outputs.x86.budget [MB104]\n'
        '  hint: did you mean "size_mb"?',
    ),
    "infinite option": (
        with_output("clip = inf"),
        "v/MODELS.toml:6:8: clip must be a finite number [MB116]",
    ),
    "misspelt option": (
        with_output('precison = "fp16"'),
        'v/MODELS.toml:6:1: unknown key "precison" in models.net.outputs.x86 [MB104]\n'
        '  hint: did you mean "precision"?',
    ),
    "two layouts": (
        with_output('layout = ["nchw44", "nchw88"]'),
        "v/MODELS.toml:6:10: 2 layouts at once: an artifact has one [MB117]\n  hint: declare one output for each",
    ),
    "layout against the hardware": (
        with_output('hardware = "arm64"\nlayout = "nchw88"'),
        "v/MODELS.toml:7:10: layout nchw88 beside layout nchw44, which arm64 asks for [MB117]\n"
        "  hint: leave layout out, or choose another hardware",
    ),
    "same input twice": (
        spoilt(
            '[{ name = "data", shape = [1, 3, 8, 8] }]',
            '[\n  { name = "data", shape = [1] },\n  { name = "data", shape = [1] },\n]',
        ),
        'v/MODELS.toml:5:12: the name "data" stands in inputs[0] already [MB118]\n'
        "  hint: give every input and result its own name",
    ),
    "result named as an input": (
        spoilt('"prob"', '"data"'),
        'v/MODELS.toml:4:21: the name "data" stands in inputs[0] already [MB118]\n'
        "  hint: give every input and result its own name",
    ),
    "unknown via": (
        with_output('via = ["onx"]'),
        'v/MODELS.toml:6:8: no installed rule makes the format "onx" [MB119]\n  hint: did you mean "onnx"?',
    ),
    "no outputs": (
        spoilt("[models.net.outputs.x86]\n", ""),
        "v/MODELS.toml:1:9: model net has no outputs [MB120]\n"
        '  hint: add [models.net.outputs.NAME] with hardware = "..."',
    ),
    "output inside another": (
        {
            **spoilt("8, 8", "8, 8"),
            "v/net/MODELS.toml": MODEL.replace("net.py", "//v/net.py")
            .replace("models.net", "models.x86")
            .replace("outputs.x86", "outputs.onnx"),
        },
        "v/net/MODELS.toml:5:21: //v/net:x86@onnx would be made in the folder of //v:net@x86 [MB121]\n"
        "  hint: give one of them another name",
    ),
    "default that is no label": (
        {"pyproject.toml": '[tool.megbuild]\ndefault = ["//...", "//v:net@"]\n'},
        'pyproject.toml:2:21: label "//v:net@" has no output after its @ [MB122]\n'
        "  hint: write //package:model@output, //package:model, //package or //package/...",
    ),
    "setting misspelt": (
        {"pyproject.toml": '[tool.megbuild]\ndefalt = ["//..."]\n'},
        'pyproject.toml:2:1: unknown key "defalt" in tool.megbuild [MB104]\n  hint: did you mean "default"?',
    ),
    "default in both files": (
        {"pyproject.toml": '[tool.megbuild]\ndefault = "//..."\n', "MODELS.toml": 'default = "//v"\n'},
        'MODELS.toml:1:1: "default" stands in pyproject.toml as well [MB109]\n'
        "  hint: keep one of the two, best that in pyproject.toml",
    ),
    "ignore outside": (
        {"pyproject.toml": '[tool.megbuild]\nignore = ["../x"]\n'},
        'pyproject.toml:2:11: ignore = "../x" leaves its folder through ".." [MB110]\n'
        "  hint: write a folder of this workspace",
    ),
    "rule with a syntax error": (
        {"rules/mine/rule.py": "RULE = = 1\n"},
        "rules/mine/rule.py:1:8: is not valid Python: invalid syntax [MB124]",
    ),
    "rule that fails": (
        {"rules/mine/rule.py": "from megbuild.rule import Rule\nRULE = Rule()\n"},
        "rules/mine/rule.py:2: fails with TypeError: Missing required argument 'consumes' [MB124]\n"
        "  hint: it may import megbuild.rule only",
    ),
    "rule without RULE": (
        {"rules/mine/rule.py": "rule = 1\n"},
        "rules/mine/rule.py: defines neither RULE nor RULES [MB124]\n"
        "  hint: RULE = Rule(consumes=..., produces=..., ...)",
    ),
    "rule without worker": (
        {"rules/mine/rule.py": "from megbuild.rule import Rule\nRULE = Rule('tm', 'x', ('.x',), 'toy')\n"},
        "rules/mine/rule.py: there is no worker.py beside it [MB124]\n"
        "  hint: write the function that makes the artifact",
    ),
    "rule with a default that is none of its choices": (
        {
            "rules/mine/worker.py": "",
            "rules/mine/rule.py": "from megbuild.rule import *\nRULE = Rule('tm', 'x', ('.x',), 'toy', {'a': Option('b', choices=('c',))})\n",
        },
        "rules/mine/rule.py: the default of option a must be one of c [MB124]",
    ),
    "rule that exists": (
        {
            "rules/mine/worker.py": "",
            "rules/mine/rule.py": "from megbuild.rule import Rule\nRULE = Rule(\n  consumes='tm',\n  produces='onnx', files=('.x',), toolchain='toy')\n",
        },
        "rules/mine/rule.py:4: rule mine makes onnx from tm, as onnx does already [MB125]\n"
        "  hint: remove one of the two",
    ),
    "rule with an unknown toolchain": (
        {
            "rules/mine/worker.py": "",
            "rules/mine/rule.py": 'from megbuild.rule import Rule\nRULE = Rule("tm", "x", (".x",),\n "toi")\n',
        },
        'rules/mine/rule.py:3: rule mine wants the toolchain "toi", which does not exist [MB126]\n'
        '  hint: did you mean "toy"?',
    ),
    "toolchain that exists": (
        {"rules/toolchains/toy/toolchain.toml": 'python = "3.9"\n', "rules/toolchains/toy/requirements.lock": ""},
        "rules/toolchains/toy/toolchain.toml: the toolchain toy is one of megbuild's own [MB126]\n"
        "  hint: give yours another name",
    ),
    "hardware that exists": (
        {"HARDWARE.toml": '[x86]\nformat = "mge"\n'},
        "HARDWARE.toml:1:2: hardware x86 is one of megbuild's own [MB127]\n  hint: give yours another name",
    ),
    "hardware of an unknown format": (
        {"HARDWARE.toml": '[board]\nformat = "onx"\n'},
        'HARDWARE.toml:2:10: no installed rule makes the format "onx" [MB119]\n  hint: did you mean "onnx"?',
    ),
    "hardware without format": (
        {"HARDWARE.toml": '[board]\nfamily = "x"\n'},
        'HARDWARE.toml:1:2: board lacks "format" [MB106]\n  hint: add format = "mge"',
    ),
    "hardware with a bad option": (
        {"HARDWARE.toml": '[board]\nformat = "onnx"\noptions = { opset = 3, opst = 3 }\n'},
        "HARDWARE.toml:3:21: opset must be between 7 and 12 [MB116]\n"
        'HARDWARE.toml:3:24: unknown key "opst" in board.options [MB104]\n'
        '  hint: did you mean "opset"?',
    ),
    "hardware with a bad name": (
        {"HARDWARE.toml": '["a b"]\nformat = "onnx"\n'},
        'HARDWARE.toml:1:2: "a b" cannot name a hardware [MB107]\n'
        "  hint: names are made of at most 100 letters, digits, _, - and ., and start with a letter, a digit or _",
    ),
    "misspelt default option": (
        {"v/MODELS.toml": "[defaults]\nopst = 3\nverify = { cosine = 2 }\n"},
        'v/MODELS.toml:2:1: unknown key "opst" in defaults [MB104]\n'
        '  hint: did you mean "opset"?\n'
        "v/MODELS.toml:3:21: defaults.verify.cosine must be at most 1 [MB105]",
    ),
    "junk bool": (
        {"v/MODELS.toml": "workspace = 1\n"},
        "v/MODELS.toml:1:13: workspace must be true or false, not a whole number [MB105]",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_every_mistake_is_told_at_its_place(case: str, complaints: Callable[[Mapping[str, str]], str]) -> None:
    files, said = CASES[case]
    assert complaints(files) == said


def test_the_sound_model_is_sound(complaints: Callable[[Mapping[str, str]], str]) -> None:
    assert complaints({"v/MODELS.toml": MODEL, "v/net.py": NET}) == ""
