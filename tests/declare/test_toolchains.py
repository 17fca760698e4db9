"""toolchain.toml, its errors, and what its digest covers."""

from pathlib import Path

import pytest

from megbuild.declare import toolchains
from megbuild.errors import MegbuildError

LOCK = "numpy==1.23.5 \\\n    --hash=sha256:" + "0" * 64 + "\n"


@pytest.fixture
def rules(tmp_path):
    """Two toolchains: ``upper`` extends ``lower``, and has a native library and worker-side code."""
    lower, upper = tmp_path / "toolchains" / "lower", tmp_path / "toolchains" / "upper"
    for folder in (lower, upper):
        (folder / "site").mkdir(parents=True)
        (folder / "site" / "standin.py").write_text("")
        (folder / "requirements.lock").write_text(LOCK)
    lower.joinpath("toolchain.toml").write_text(
        'python = "3.9"\nprovides = ["numpy"]\n[environment]\nA = "lower"\nB = "lower"\n'
    )
    upper.joinpath("toolchain.toml").write_text(
        'python = "3.9"\nextends = "lower"\nsummary = "the upper one"\n[environment]\nB = "upper"\n[settings]\npreload = ["numpy"]\n'
        '[build.old.install]\ntargets = "none"\n[probe]\nexpect = "1"\n'
        '[[native]]\nsource = "native/fill.c"\noutput = "lib/fill.so"\narguments = ["-O2"]\n'
    )
    upper.joinpath("native").mkdir()
    upper.joinpath("native", "fill.c").write_text("int x;\n")
    upper.joinpath("native", "requirements.lock").write_text(LOCK)
    upper.joinpath("probe.py").write_text("print(1)\n")
    upper.joinpath("fixes.py").write_text("")
    return tmp_path


def upper(rules):
    return toolchains.describe("upper", toolchains.folders(rules))


def test_what_is_extended_comes_first(rules):
    described = upper(rules)
    folder = rules / "toolchains"
    assert described.locks == (str(folder / "lower/requirements.lock"), str(folder / "upper/requirements.lock"))
    assert described.site == (str(folder / "lower/site"), str(folder / "upper/site"))
    assert described.code == (str(folder / "upper"),)
    assert dict(described.environment) == {**toolchains.SAME_EVERYWHERE, "A": "lower", "B": "upper"}
    assert described.settings["preload"] == ["numpy"]
    installation = toolchains.installation(described)
    assert installation.build == {"old": {"install": {"targets": "none"}}}
    assert installation.native[0].source == str(folder / "upper/native/fill.c")
    assert installation.provides == ("numpy",)


EDITS = {
    "requirements.lock": True,
    "../lower/requirements.lock": True,
    "site/standin.py": True,
    "../lower/site/standin.py": True,
    "native/fill.c": True,
    "native/requirements.lock": True,
    "probe.py": False,
    "fixes.py": False,
}


@pytest.mark.parametrize(("edited", "changes"), EDITS.items())
def test_the_digest_covers_what_is_installed(rules, edited, changes):
    before = upper(rules).digest
    path = rules / "toolchains" / "upper" / edited
    path.write_text(path.read_text() + "\n# edited\n")
    assert (upper(rules).digest != before) is changes


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ('"-O2"', '"-O3"', True),
        ('"lib/fill.so"', '"lib/other.so"', True),
        ('targets = "none"', 'targets = "all"', True),
        ('B = "upper"', 'B = "changed"', False),
        ('summary = "the upper one"', 'summary = "changed"', False),
        ('expect = "1"', 'expect = "2"', False),
    ],
)
def test_the_digest_covers_the_tables_that_decide_the_installation(rules, old, new, changes):
    before = upper(rules).digest
    path = rules / "toolchains" / "upper" / "toolchain.toml"
    path.write_text(path.read_text().replace(old, new))
    assert (upper(rules).digest != before) is changes


def test_the_digest_does_not_depend_on_the_place(rules, tmp_path):
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    before = upper(rules).digest
    (rules / "toolchains").rename(moved / "toolchains")
    assert upper(moved).digest == before


@pytest.mark.parametrize(
    ("old", "new", "code", "line", "said"),
    [
        ('extends = "lower"', 'extend = "lower"', "MB104", 2, '"extend"'),
        ('expect = "1"', 'expects = "1"', "MB104", 11, '"expects"'),
        ('python = "3.9"', 'python = "3.9.1"', "MB302", 1, '"3.9.1"'),
        ('python = "3.9"', "python = 3.9", "MB105", 1, "python"),
        ('extends = "lower"', 'extends = "loser"', "MB304", 2, '"loser"'),
        ('extends = "lower"', 'extends = "upper"', "MB304", 2, "circle"),
        ('python = "3.9"', 'python = "3.10"', "MB304", 2, "3.10"),
        ('"native/fill.c"', '"native/none.c"', "MB303", 0, "native/none.c"),
        ("[settings]", "[settings", "MB103", 6, "TOML"),
    ],
)
def test_errors_are_placed(rules, old, new, code, line, said):
    path = rules / "toolchains" / "upper" / "toolchain.toml"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(MegbuildError) as caught:
        upper(rules)
    problem = caught.value.problems[0]
    assert problem.code == code
    where = problem.where.located()
    assert Path(where.file) == path
    assert where.line == line
    assert said in problem.message


def test_every_toolchain_s_problems_are_told_together(rules):
    for name in ("lower", "upper"):
        path = rules / "toolchains" / name / "toolchain.toml"
        path.write_text(path.read_text().replace("[environment]", "[enviroment]"))
    with pytest.raises(MegbuildError) as caught:
        toolchains.describe_all(toolchains.folders(rules))
    assert len(caught.value.problems) == 2


def test_a_training_environment_adds_a_lock(rules):
    base = upper(rules)
    lock = rules / "digits" / "requirements.lock"
    lock.parent.mkdir()
    lock.write_text("# made\n" + LOCK.replace("numpy==1.23.5", "scipy==1.13.1"))
    extended = toolchains.with_environment(base, lock)
    assert extended.locks == (*base.locks, str(lock))
    assert extended.digest != base.digest
    assert extended.name == f"upper+digits.{extended.digest[:8]}"
    assert toolchains.with_environment(base, lock, "mine").name == "upper+mine"


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        (LOCK.replace("1.23.5", "1.26.4"), "MB306", 1),
        ("# made\nscipy>=1\n", "MB305", 2),
        ("scipy==1.13.1\n", "MB305", 1),
        ("https://example.org/scipy.whl\n", "MB305", 1),
    ],
)
def test_a_training_environment_that_does_not_fit_is_refused(rules, text, code, line):
    lock = rules / "requirements.lock"
    lock.write_text(text)
    with pytest.raises(MegbuildError) as caught:
        toolchains.with_environment(upper(rules), lock)
    (problem,) = caught.value.problems
    assert (problem.code, problem.where.line) == (code, line)


def test_a_missing_lock_is_said(rules):
    with pytest.raises(MegbuildError, match="MB303"):
        toolchains.with_environment(upper(rules), rules / "requirements.lock")


def test_the_installed_toolchains_are_sound():
    rules = Path(toolchains.__file__).parents[2] / "rules"
    described = toolchains.describe_all(toolchains.folders(rules))
    assert {"megengine", "mgeconvert", "rknn"} <= described.keys()
    for toolchain in described.values():
        for lock in map(Path, toolchain.locks):
            assert "http" not in lock.read_text(), "a lock names no index"
