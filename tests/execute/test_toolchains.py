"""Provisioning of small toolchains whose only package is a wheel made here: real uv, no network."""

import base64
import fcntl
import hashlib
import json
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from megbuild.declare import toolchains as declared
from megbuild.errors import MegbuildError
from megbuild.execute import toolchains

MINOR = f"{sys.version_info[0]}.{sys.version_info[1]}"
REPOSITORY = Path(toolchains.__file__).parents[2]


def wheel(folder, name, version, requires=(), content=""):
    """A pure wheel with one module; its SHA-256."""
    files = {
        f"{name}.py": content or f"VERSION = '{version}'\n",
        f"{name}-{version}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        + "".join(f"Requires-Dist: {entry}\n" for entry in requires),
        f"{name}-{version}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    digest = lambda text: base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")  # noqa: E731
    record = "".join(f"{path},sha256={digest(text)},{len(text)}\n" for path, text in files.items())
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inner, text in {**files, f"{name}-{version}.dist-info/RECORD": record}.items():
            archive.writestr(zipfile.ZipInfo(inner, (2000, 1, 1, 0, 0, 0)), text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def rules(tmp_path, monkeypatch):
    """A rules folder with the toolchain ``small``: one wheel, one stand-in, a probe."""
    index = tmp_path / "index"
    index.mkdir()
    folder = tmp_path / "rules" / "toolchains" / "small"
    (folder / "site").mkdir(parents=True)
    (folder / "site" / "standin.py").write_text("NAME = 'stand-in'\n")
    (folder / "requirements.lock").write_text(f"tiny==1.0 \\\n    --hash=sha256:{wheel(index, 'tiny', '1.0')}\n")
    (folder / "probe.py").write_text(
        "import os, tiny, standin\nprint('noise')\nprint(tiny.VERSION, standin.NAME, os.environ['SMALL'])\n"
    )
    (folder / "toolchain.toml").write_text(
        f'python = "{MINOR}"\n[environment]\nSMALL = "yes"\n[probe]\nexpect = "1.0 stand-in yes"\n'
    )
    (tmp_path / "uv.toml").write_text(f'no-index = true\nfind-links = ["{index}"]\n')
    monkeypatch.setenv("UV_CONFIG_FILE", str(tmp_path / "uv.toml"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    return tmp_path / "rules"


def small(rules):
    return declared.describe("small", declared.folders(rules))


def refused(rules, cache):
    """The one problem of a provisioning that must fail, and leave nothing behind."""
    with pytest.raises(MegbuildError) as caught:
        toolchains.provision(small(rules), cache, lambda line: None)
    assert not [path for path in (cache / "toolchains").iterdir() if path.suffix != ".lock"]
    (problem,) = caught.value.problems
    assert "\n" not in problem.message
    return problem


def run(installed, code):
    done = subprocess.run([installed.python, "-B", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_it_installs_once_and_is_found_again(rules, tmp_path):
    cache, said = tmp_path / "cache", []
    assert toolchains.installed(small(rules), cache) is None
    first = toolchains.provision(small(rules), cache, said.append)
    assert said[0] == f"toolchain small: installing 1 package for Python {MINOR}"
    assert "GB in" in said[-1] or "MB in" in said[-1]
    assert (
        run(first, "import sys, tiny, standin; print(tiny.VERSION, standin.NAME, sys.prefix)")
        == f"1.0 stand-in {first.folder}"
    )
    assert first.folder == str(cache / "toolchains" / small(rules).digest)
    assert dict(first.environment) == {**declared.SAME_EVERYWHERE, "SMALL": "yes"}

    del said[:]
    assert toolchains.provision(small(rules), cache, said.append) == first
    assert toolchains.installed(small(rules), cache) == first
    assert said == []


def test_nothing_in_it_names_the_folder_that_it_was_made_in(rules, tmp_path):
    installed = toolchains.provision(small(rules), tmp_path / "cache", lambda line: None)
    texts = [path for path in Path(installed.folder).rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert not [path for path in texts if b".partial" in path.read_bytes()]


def test_its_folders_are_read_only_and_it_can_be_listed_and_removed(rules, tmp_path):
    cache = tmp_path / "cache"
    installed = toolchains.provision(small(rules), cache, lambda line: None)
    folders = [
        Path(installed.folder),
        *(path for path in Path(installed.folder).rglob("*") if path.is_dir() and not path.is_symlink()),
    ]
    assert {path.stat().st_mode & 0o222 for path in folders} == {0}

    (listed,) = toolchains.list_installed(cache)
    assert (listed.name, listed.digest, listed.python) == ("small", small(rules).digest, MINOR)
    assert listed.size > 0
    assert toolchains.remove(small(rules), cache)
    assert not toolchains.remove(small(rules), cache)
    assert toolchains.list_installed(cache) == ()
    assert toolchains.installed(small(rules), cache) is None


def test_a_file_that_differs_from_the_lock_is_refused(rules, tmp_path):
    wheel(tmp_path / "index", "tiny", "1.0", content="VERSION = 'evil'\n")
    problem = refused(rules, tmp_path / "cache")
    assert (problem.code, "tiny==1.0" in problem.message) == ("MB323", True)


def test_a_probe_with_another_answer_is_refused(rules, tmp_path):
    toml = rules / "toolchains" / "small" / "toolchain.toml"
    toml.write_text(toml.read_text().replace('expect = "1.0', 'expect = "2.0'))
    problem = refused(rules, tmp_path / "cache")
    assert problem.code == "MB332"
    assert (
        problem.message
        == "toolchain small does not behave as locked: its probe answers 1.0 stand-in yes, not 2.0 stand-in yes"
    )


def test_a_probe_that_crashes_is_refused(rules, tmp_path):
    (rules / "toolchains" / "small" / "probe.py").write_text("import absent\n")
    problem = refused(rules, tmp_path / "cache")
    assert (problem.code, "No module named 'absent'" in problem.message) == ("MB332", True)


def test_without_an_interpreter_the_three_ways_to_get_one_are_said(rules, tmp_path, monkeypatch):
    monkeypatch.setenv("UV_OFFLINE", "1")
    toml = rules / "toolchains" / "small" / "toolchain.toml"
    toml.write_text(toml.read_text().replace(MINOR, "3.99"))
    problem = refused(rules, tmp_path / "cache")
    assert problem.code == "MB320"
    assert all(way in problem.hint for way in ("python3.99", "pyenv install 3.99", "uv python install 3.99"))


def test_a_lock_without_hashes_is_refused(rules, tmp_path):
    (rules / "toolchains" / "small" / "requirements.lock").write_text("tiny==1.0\n")
    assert refused(rules, tmp_path / "cache").code == "MB326"


def test_a_lock_for_another_platform_is_refused(rules, tmp_path):
    index = tmp_path / "index"
    digest = wheel(index, "other", "1.0")
    (index / "other-1.0-py3-none-any.whl").rename(index / "other-1.0-py3-none-win_amd64.whl")
    (rules / "toolchains" / "small" / "requirements.lock").write_text(f"other==1.0 --hash=sha256:{digest}\n")
    problem = refused(rules, tmp_path / "cache")
    assert (problem.code, "other==1.0" in problem.message) == ("MB325", True)


def test_files_that_change_after_they_were_described_are_noticed(rules, tmp_path):
    described = small(rules)
    (rules / "toolchains" / "small" / "site" / "standin.py").write_text("NAME = 'changed'\n")
    with pytest.raises(MegbuildError, match="MB327"):
        toolchains.provision(described, tmp_path / "cache", lambda line: None)


def test_an_environment_whose_interpreter_is_gone_is_made_again(rules, tmp_path):
    cache = tmp_path / "cache"
    python = Path(toolchains.provision(small(rules), cache, lambda line: None).python)
    python.parent.chmod(0o755)
    python.unlink()
    python.symlink_to(tmp_path / "uninstalled")
    assert toolchains.installed(small(rules), cache) is None
    again = toolchains.provision(small(rules), cache, lambda line: None)
    assert run(again, "import tiny; print(tiny.VERSION)") == "1.0"


CHILD = """
import sys
from pathlib import Path
from megbuild.declare import toolchains as declared
from megbuild.execute import toolchains
rules, cache = map(Path, sys.argv[1:])
say = lambda line: print(line, flush=True)
say(toolchains.provision(declared.describe("small", declared.folders(rules)), cache, say).python)
"""


def child(rules, cache):
    command = [sys.executable, "-c", CHILD, str(rules), str(cache)]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)


def test_two_builds_at_once_install_once(rules, tmp_path):
    running = [child(rules, tmp_path / "cache") for _ in range(2)]
    said = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert sum(text.count("installing 1 package") for text in said) == 1
    assert len({text.splitlines()[-1] for text in said}) == 1


def test_the_second_build_says_that_it_waits(rules, tmp_path):
    home = tmp_path / "cache" / "toolchains"
    home.mkdir(parents=True)
    with (home / f"{small(rules).digest}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = child(rules, tmp_path / "cache")
        assert process.stdout.readline() == "toolchain small: another build installs it, waiting\n"
    assert process.communicate(timeout=120)[0].startswith("toolchain small: installing")


def test_a_killed_installation_leaves_nothing_that_counts(rules, tmp_path):
    probe = rules / "toolchains" / "small" / "probe.py"
    working, cache = probe.read_text(), tmp_path / "cache"
    probe.write_text("import time; time.sleep(60)\n")
    process = child(rules, cache)
    partial = cache / "toolchains" / f"{small(rules).digest}.partial"
    process.stdout.readline()
    wait = threading.Event()
    while not list(partial.glob("lib/python*/site-packages/tiny.py")):
        wait.wait(0.02)
    process.kill()
    process.wait()
    assert partial.exists()
    assert toolchains.installed(small(rules), cache) is None
    assert toolchains.list_installed(cache) == ()
    probe.write_text(working)
    toolchains.provision(small(rules), cache, lambda line: None)
    assert not partial.exists()


def test_a_training_environment_has_both_locks(rules, tmp_path):
    lock = tmp_path / "digits" / "requirements.lock"
    lock.parent.mkdir()
    lock.write_text(f"extra==2.0 \\\n    --hash=sha256:{wheel(tmp_path / 'index', 'extra', '2.0')}\n")
    extended = declared.with_environment(small(rules), lock, "digits")
    installed = toolchains.provision(extended, tmp_path / "cache", lambda line: None)
    assert run(installed, "import tiny, extra, standin; print(tiny.VERSION, extra.VERSION)") == "1.0 2.0"
    marker = json.loads(Path(installed.folder, toolchains.MARKER).read_text())
    assert marker["name"] == "small+digits"


def test_an_index_that_cannot_be_reached_is_said(rules, tmp_path, monkeypatch):
    monkeypatch.delenv("UV_CONFIG_FILE")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    problem = refused(rules, tmp_path / "cache")
    assert (problem.code, "127.0.0.1:9" in problem.message) == ("MB322", True)


def test_native_sources_are_compiled_and_the_compiler_does_not_stay(rules, tmp_path):
    """A stand-in for the compiler, in a wheel of its name: what it is given, and what becomes of its words."""
    folder = rules / "toolchains" / "small"
    script = "import sys\nopen(sys.argv[sys.argv.index('-o') + 1], 'w').write(' '.join(sys.argv[1:]))\n"
    native = folder / "native"
    native.mkdir()
    (native / "fill.c").write_text("int x;\n")
    (native / "requirements.lock").write_text(
        f"ziglang==1.0 --hash=sha256:{wheel(tmp_path / 'index', 'ziglang', '1.0', content=script)}\n"
    )
    toml = folder / "toolchain.toml"
    toml.write_text(
        toml.read_text() + '[[native]]\nsource = "native/fill.c"\noutput = "lib/x/fill.so"\narguments = ["-O2"]\n'
    )
    installed = toolchains.provision(small(rules), tmp_path / "cache", lambda line: None)
    said = Path(installed.folder, "lib/x/fill.so").read_text()
    assert said.startswith("cc -target x86_64-linux-gnu") and " -O2 " in said and said.endswith(" fill.c")
    assert not Path(installed.folder, "native-build").exists()
    assert subprocess.run([installed.python, "-c", "import ziglang"], capture_output=True).returncode == 1

    digest = wheel(tmp_path / "index", "ziglang", "1.0", content="import sys\nsys.exit('fill.c:1:1: error: no')\n")
    (native / "requirements.lock").write_text(f"ziglang==1.0 --hash=sha256:{digest}\n")
    with pytest.raises(MegbuildError, match=r"fill.c cannot be compiled: fill.c:1:1: error: no \[MB331\]"):
        toolchains.provision(small(rules), tmp_path / "cache", lambda line: None)


def test_files_of_packages_that_are_in_the_way_do_not_stay(rules, tmp_path):
    before = small(rules).digest
    path = rules / "toolchains" / "small" / "toolchain.toml"
    whole = path.read_text()
    path.write_text('removed = ["tiny-*.dist-info/RECORD"]\n' + whole)
    assert small(rules).digest != before
    installed = toolchains.provision(small(rules), tmp_path / "cache", lambda line: None)
    assert [file.name for file in Path(installed.folder).rglob("tiny-1.0.dist-info/*")].count("RECORD") == 0
    assert run(installed, "import tiny; print(tiny.VERSION)") == "1.0"

    path.write_text('removed = ["tiny/libc.so.6"]\n' + whole)
    problem = refused(rules, tmp_path / "other cache")
    assert (problem.code, "tiny/libc.so.6" in problem.message) == ("MB420", True)
