"""A workspace with a rule of its own: one folder more, and no other file. Its code and its tools are inputs too."""

from __future__ import annotations

import base64
import hashlib
import re
import zipfile
from pathlib import Path

from .conftest import REPOSITORY, Make
from .workspace import Workspace

RULE = {
    "rules/table/rule.py": '''
        """table: .tm -> .json with the matrix and the offset of a network that is one affine map"""

        from megbuild.rule import Option, Rule

        RULE = Rule(
            consumes="tm",
            produces="table",
            files=(".json",),
            toolchain="megengine",
            options={"digits": Option(9, range=(1, 9), help="Significant digits of each number.")},
            runs_on=("numpy",),
        )
    ''',
    "rules/table/worker.py": '''
        """Probes the network with unit vectors. Runs inside the megengine toolchain."""

        import json

        import numpy as np
        from megbuild_worker import samples, traced
        from megbuild_worker.job import Refusal, Tensor


        def build(job):
            import megengine

            network = megengine.load(str(job.input("tm")))
            traced.settle(network, job.declared_inputs, job.declared_results)
            (given,), (result,) = job.declared_inputs, job.declared_results

            def answer(x):
                return network(megengine.Tensor(x.reshape(given.shape).astype("float32"))).numpy().ravel()

            size = int(np.prod(given.shape))
            offset = answer(np.zeros(size))
            matrix = np.array([answer(row) - offset for row in np.eye(size)])
            probe = samples.synthetic(job.declared_inputs)[given.name].ravel()
            if not np.allclose(answer(probe), probe @ matrix + offset, atol=1e-5):
                raise Refusal("the network is not one affine map")
            short = "%%.%dg" % job.options.digits
            table = {
                "inputs": [[given.name, given.shape, given.dtype]],
                "results": [[result.name, result.shape, "float32"]],
                "matrix": [[float(short % n) for n in row] for row in matrix],
                "offset": [float(short % n) for n in offset],
            }
            job.output("artifact").write_text(json.dumps(table, indent=1, sort_keys=True))


        def describe(paths):
            table = json.loads(paths[0].read_text())
            return {kind: [Tensor(name, tuple(shape), dtype) for name, shape, dtype in table[kind]] for kind in ("inputs", "results")}


        def run(paths, feeds, job):
            table = json.loads(paths[0].read_text())
            (name, shape, _), (given, _, _) = table["results"][0], table["inputs"][0]
            for feed in feeds:
                flat = feed[given].ravel() @ np.array(table["matrix"]) + np.array(table["offset"])
                yield {name: flat.reshape(shape).astype("float32")}


        def runtime():
            return f"numpy {np.__version__}"
    ''',
    "HARDWARE.toml": '[ledger]\nformat = "table"\n[sealed]\nformat = "sealed"\n',
}
SEAL = {
    "rules/seal/rule.py": """
        from megbuild.rule import Rule

        RULE = Rule(consumes="table", produces="sealed", files=(".sealed",), toolchain="seal")
    """,
    "rules/seal/worker.py": """
        import json

        from megbuild_worker.job import Tensor


        def build(job):
            import wax

            job.output("artifact").write_text(f"{wax.VERSION}\\n{job.input('table').read_text()}")


        def describe(paths):
            table = json.loads(paths[0].read_text().partition("\\n")[2])
            return {kind: [Tensor(name, tuple(shape), dtype) for name, shape, dtype in table[kind]] for kind in ("inputs", "results")}
    """,
    "rules/seal/toolchain.toml": 'python = "3.9"\nsummary = "wax"\n',
}


def test_a_tenth_rule_is_one_folder(small: Workspace) -> None:
    add(small, RULE | SEALED_LATER)
    add_output(small, "ledger")
    outcome = small.build()
    assert outcome.status == 0, outcome.text
    assert outcome.ran == dict.fromkeys(("//:scale#table", "//:scale#table+measured"), "never built")
    assert outcome.statuses == {"//:scale@x86": "up to date", "//:scale@ledger": "built"}
    row = outcome.rows["//:scale@ledger"]
    assert (row["verdict"], row["artifact"], row["metrics"]["cosine"]) == ("pass", "out/scale/ledger/scale.json", 1.0)
    assert row["runtime"].startswith("numpy ")
    assert "tm -- table --> table" in small.doit("graph", "--routes").text
    assert '"digits"' in small.doit("schema").text
    assert "table for ledger: weights" not in small.doit("list", "--all").text


def test_its_options_and_its_verdict(small: Workspace) -> None:
    """One significant digit of 3.3 is too few, and the verdict says so."""
    add(small, RULE | SEALED_LATER)
    small.write("factor.txt", "3.3\n")
    add_output(small, "ledger", "digits = 1\nverify = { scale = 0.01 }")
    outcome = small.build("//:scale@ledger")
    assert outcome.status == 1
    assert re.match(r"//:scale@ledger: scale of y is 0\.909\d* on sample 0, asked within 0.01 of 1", outcome.errors[0])
    assert "//:scale#table-digits1" in outcome.ran


def test_its_own_refusal(small: Workspace) -> None:
    add(small, RULE | SEALED_LATER)
    small.edit("scale.py", "return x * self.factor", "return x * x * self.factor")
    add_output(small, "ledger")
    outcome = small.build("//:scale@ledger")
    assert outcome.errors[0] == "//:scale#table: the network is not one affine map"
    assert outcome.rows["//:scale@ledger"]["status"] == "refused"


def test_its_code_changed(small: Workspace) -> None:
    """Its own actions run again, with the reason; what they make is the same, so no verdict is asked."""
    add(small, RULE | SEALED_LATER)
    add_output(small, "ledger")
    small.build()
    small.edit("rules/table/worker.py", "indent=1", "indent=2")
    outcome = small.build()
    assert outcome.ran == {
        "//:scale#table": "code rules/table/worker.py changed",
        "//:scale#table+measured": "//:scale#table changed; code rules/table/worker.py changed",
    }
    assert outcome.statuses == {"//:scale@x86": "up to date", "//:scale@ledger": "built"}
    small.edit("rules/table/worker.py", "indent=2", "indent=1")
    back = small.build()
    assert back.ran == {}
    assert back.restored["//:scale#table"] == "code rules/table/worker.py changed"


def test_its_description_changed(small: Workspace) -> None:
    """A raised version makes its artifacts again; a new sentence of its documentation does not."""
    add(small, RULE | SEALED_LATER)
    add_output(small, "ledger")
    small.build()
    small.edit("rules/table/rule.py", "Significant digits", "How many significant digits")
    assert small.build().ran == {}
    small.edit("rules/table/rule.py", 'runs_on=("numpy",)', 'runs_on=("numpy",), version=2')
    assert small.build().ran.keys() == {"//:scale#table", "//:scale#table+measured"}


def test_its_toolchain_changed_and_back(unbuilt: Make, tmp_path: Path) -> None:
    """Another lock is another tool: what it makes is made again, and what the older one made is still in the store."""
    versions = {version: wheel(tmp_path / "index", version) for version in ("1.0", "1.1")}
    space = unbuilt(RULE | SEAL | {"rules/seal/requirements.lock": lock("1.0", versions)})
    space.own_toolchains()
    space.environment = {"UV_FIND_LINKS": str(tmp_path / "index")}
    add_output(space, "sealed")
    sealed = space.root / "out/scale/sealed/scale.sealed"
    first = space.build("//:scale@sealed")
    assert first.status == 0, first.text
    assert any(line.startswith("toolchain seal: installing 2 packages for Python 3.9") for line in first.lines)
    assert sealed.read_text().startswith("1.0\n")

    space.write("rules/seal/requirements.lock", lock("1.1", versions))
    newer = space.build("//:scale@sealed")
    assert newer.ran == {"//:scale#sealed": "toolchain seal changed"}
    assert sealed.read_text().startswith("1.1\n")

    space.write("rules/seal/requirements.lock", lock("1.0", versions))
    back = space.build("//:scale@sealed")
    assert (back.status, back.ran) == (0, {})
    assert back.restored["//:scale#sealed"] == "toolchain seal changed"
    assert back.rows["//:scale@sealed"]["status"] == "restored"
    assert sealed.read_text().startswith("1.0\n")

    space.write("rules/seal/requirements.lock", lock("1.1", versions).replace(versions["1.1"], "0" * 64))
    wrong = space.build("//:scale@sealed")
    assert wrong.status == 1
    assert "the index gave another file for wax" in wrong.errors[0]
    assert sealed.read_text().startswith("1.0\n")


SEALED_LATER = {"HARDWARE.toml": '[ledger]\nformat = "table"\n'}
"""The hardware without the one whose rule is not there."""


def add(space: Workspace, files: dict[str, str]) -> None:
    """Write files into the workspace."""
    for path, text in files.items():
        space.write(path, text)


def add_output(space: Workspace, name: str, more: str = "") -> None:
    """Declare one more output of the model, for the hardware of that name."""
    (space.root / "MODELS.toml").write_text(f"{space.read('MODELS.toml')}\n[models.scale.outputs.{name}]\n{more}\n")


def lock(version: str, wheels: dict[str, str]) -> str:
    """A lock with that version of wax and the numpy of the megengine toolchain."""
    pins = (REPOSITORY / "rules/toolchains/megengine/requirements.lock").read_text()
    (numpy,) = re.findall(r"^numpy==.*?(?=^\S)", pins, re.MULTILINE | re.DOTALL)
    return f"{numpy}wax=={version} \\\n    --hash=sha256:{wheels[version]}\n"


def wheel(folder: Path, version: str) -> str:
    """A wheel of the module wax; its SHA-256."""
    folder.mkdir(exist_ok=True)
    about = f"wax-{version}.dist-info"
    files = {
        "wax.py": f"VERSION = '{version}'\n",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: wax\nVersion: {version}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    hashes = {
        path: base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
        for path, text in files.items()
    }
    files[f"{about}/RECORD"] = "".join(
        f"{path},sha256={digest},{len(files[path])}\n" for path, digest in hashes.items()
    )
    path = folder / f"wax-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inner, text in files.items():
            archive.writestr(zipfile.ZipInfo(inner, (2000, 1, 1, 0, 0, 0)), text)
    return hashlib.sha256(path.read_bytes()).hexdigest()
