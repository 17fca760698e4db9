"""An environment made of known files is the one that is made of unknown ones, and reads them no second time."""

import os
import subprocess
from pathlib import Path

import pytest

from megbuild.declare import toolchains as declared
from megbuild.declare.rules import builtin_rules_folder
from megbuild.execute import assemble, compiled, inventory, soundness, toolchains
from megbuild.execute.known import Known
from tests.execute.test_toolchains import rules, run, small, wheel  # noqa: F401 - rules is a fixture


def quiet(line):
    pass


def contents(installed, cache):
    """Of every file what it is, by its inventory; not what differs by time and place."""
    path = toolchains.inventory_of(cache, installed.digest)
    files = inventory._read(path)
    assert files == inventory.take(Path(installed.folder))  # what was remembered is what is there
    own = {assemble.MARKER, ".lock"}
    return {name: (size, sha256) for name, (size, _, _, sha256) in files.items() if name not in own}


@pytest.fixture
def twice(rules, tmp_path, monkeypatch):  # noqa: F811
    """The same toolchain made in an empty cache, and made again with all of it warm; what the second time read."""
    (rules / "toolchains/small/site/broken.py").write_text("{% template %}\n")
    toolchain, cache = small(rules), tmp_path / "cache"
    first = contents(toolchains.provision(toolchain, cache, quiet), cache)
    assert toolchains.remove(toolchain, cache)
    read = []
    digest = inventory.digest_file
    for module in (inventory, compiled):
        monkeypatch.setattr(module, "digest_file", lambda path: (read.append(Path(path)), digest(path))[1])
    started, once = [], subprocess.run
    monkeypatch.setattr(
        compiled.subprocess, "run", lambda *words, **how: (started.append(words), once(*words, **how))[1]
    )
    installed = toolchains.provision(toolchain, cache, quiet)
    return first, contents(installed, cache), read, started, installed


def test_a_warm_cache_makes_the_same_environment(twice):
    first, second, _, _, installed = twice
    assert first == second
    assert run(installed, "import tiny, standin; print(tiny.__cached__ != None, tiny.VERSION)") == "True 1.0"


def test_what_is_shared_is_read_once_and_compiled_once(twice):
    _, _, read, started, installed = twice
    partial = Path(installed.folder).with_suffix(".partial")
    names = {
        path.relative_to(partial).as_posix().partition("/site-packages/")[2]
        for path in read
        if path.is_relative_to(partial)
    }
    assert "tiny.py" not in names
    assert not any(name.endswith(".pyc") for name in names)
    assert "standin.py" in names  # ours, which nothing else has
    assert [words for words in started if "bytecode.py" in str(words)] == []


def test_every_module_has_its_compiled_form(twice):
    *_, installed = twice
    packages = next(Path(installed.folder).glob("lib/python3.*/site-packages"))
    forms = {path.name.partition(".")[0] for path in packages.glob("__pycache__/*.pyc")}
    assert forms == {"tiny", "standin"} | {path.stem for path in packages.glob("_virtualenv.py")}
    packages.chmod(0o755)
    source = (packages / "tiny.py").read_text()
    (packages / "tiny.py").unlink()
    (packages / "tiny.py").write_text("VERSION = 'from source'\n")
    assert (
        run(installed, "import tiny; print(tiny.VERSION)") == "1.0"
    )  # the form is used, and nothing looks at the source
    assert source == "VERSION = '1.0'\n"


def test_a_shared_file_that_changed_behind_its_stamp_is_found_by_content(rules, tmp_path):  # noqa: F811
    toolchain, cache = small(rules), tmp_path / "cache"
    installed = toolchains.provision(toolchain, cache, quiet)
    (module,) = Path(installed.folder).glob("lib/python3.*/site-packages/tiny.py")
    status = module.stat()
    assert status.st_nlink > 1
    module.chmod(0o644)
    module.write_text("VERSION = '9.9'\n")
    os.utime(module, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert toolchains.remove(toolchain, cache)
    toolchains.provision(toolchain, cache, quiet)  # of the same, damaged copy
    (changed,) = soundness.damaged(cache, toolchain.digest)
    assert changed.endswith("/tiny.py")

    soundness.condemn(cache, toolchain.digest)
    said = []
    assert not soundness.sound(toolchain, cache, said.append)
    assert not (cache / "compiled" / assemble.DIGESTS).exists()


def test_locks_that_name_the_same_package_are_installed_one_after_another(rules, tmp_path):  # noqa: F811
    lock = tmp_path / "digits" / "requirements.lock"
    lock.parent.mkdir()
    own = (rules / "toolchains/small/requirements.lock").read_text()
    lock.write_text(f"{own}extra==2.0 \\\n    --hash=sha256:{wheel(tmp_path / 'index', 'extra', '2.0')}\n")
    extended = declared.with_environment(small(rules), lock, "digits")
    installed = toolchains.provision(extended, tmp_path / "cache", quiet)
    assert run(installed, "import tiny, extra; print(tiny.VERSION, extra.VERSION)") == "1.0 2.0"


@pytest.fixture
def shared(tmp_path):
    """A file with two names."""
    (tmp_path / "a").write_text("a")
    os.link(tmp_path / "a", tmp_path / "b")
    return tmp_path / "a"


def test_a_file_is_known_until_it_changes(shared, tmp_path):
    known = Known(tmp_path / "folder/known")
    assert known.get(shared.stat()) is None
    known.put(shared.stat(), "f00d")
    known.save()
    assert Known(tmp_path / "folder/known").get((tmp_path / "b").stat()) == "f00d"
    os.utime(shared, (5, 5))
    assert Known(tmp_path / "folder/known").get(shared.stat()) is None


def test_a_file_that_nothing_shares_is_not_remembered(tmp_path):
    (tmp_path / "a").write_text("a")
    known = Known(tmp_path / "known")
    known.put((tmp_path / "a").stat(), "f00d")
    known.save()
    assert not (tmp_path / "known").exists()


@pytest.mark.parametrize("content", [b"", b"\xff", b"\x82\xa7digests\x80\xa6format\x63"])
def test_a_damaged_memory_is_an_empty_one(shared, tmp_path, content):
    (tmp_path / "known").write_bytes(content)
    known = Known(tmp_path / "known")
    assert known.get(shared.stat()) is None
    known.put(shared.stat(), "f00d")
    known.save()
    assert Known(tmp_path / "known").get(shared.stat()) == "f00d"


def test_what_was_seen_longest_ago_is_forgotten_first(tmp_path, monkeypatch):
    monkeypatch.setattr("megbuild.execute.known._MOST", 2)
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        path.write_text("x")
        os.link(path, path.with_suffix(".link"))
        known = Known(tmp_path / "known")
        known.get(paths[0].stat())
        known.put(path.stat(), path.name)
        known.save()
    assert [Known(tmp_path / "known").get(path.stat()) for path in paths] == ["a", None, "c"]


@pytest.mark.parametrize("name", sorted(declared.folders(builtin_rules_folder())))
def test_options_of_one_package_reach_no_other_one_that_is_built(name):
    """On a machine where none of them was ever built: distutils refuses options that a package's own commands do not have."""
    toolchain = declared.describe(name, declared.folders(builtin_rules_folder()))
    parts = declared.installation(toolchain)
    runs = assemble._at_once([Path(lock) for lock in toolchain.locks], parts.build)
    assert sorted(str(lock) for run in runs for lock in run) == sorted(toolchain.locks)
    for locks in runs:
        built = parts.build.keys() & declared.pins(*locks).keys()
        assert len(built) < 2 or not any(parts.build[package] for package in built)
