"""Releases of the toy workspace: what is in a bundle, and what refuses one."""

from __future__ import annotations

import json
import subprocess

import pytest

from .conftest import Shop, Unpack, git


def test_a_bundle_holds_all_that_its_receiver_wants(shop: Shop, unpack: Unpack) -> None:
    folder = unpack(shop.release("edge"))
    assert folder.name == "edge-1.2.0"
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files >= {
        "artifacts/x86/net/x86/net.mge",
        "artifacts/onnx/net/onnx/net.onnx",
        "artifacts/chip/net/chip/net.npu",
        "golden/net/inputs/data.npy",
        "golden/net/results/prob.npy",
        "provenance/net/chip.json",
        "licences/LICENSE",
        "NOTES.md",
        "README.md",
        "SHA256SUMS",
        "bom.cdx.json",
        "manifest.json",
        "verify.py",
    }
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=folder, check=True)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["commit"] == git(shop.root, "rev-parse", "HEAD").strip()
    chip = next(one for one in manifest["artifacts"] if one["hardware"] == "chip")
    assert chip["verdict"]["state"] == "pass" and chip["verdict"]["metrics"]["cosine"] == 1.0
    assert chip["thresholds"]["cosine"] == 0.999
    assert [model["inputs"][0]["shape"] for model in manifest["models"]] == [[1, 3]]
    assert "What is new: `NOTES.md`." in (folder / "README.md").read_text()
    assert "| chip | `artifacts/chip/net/chip/net.npu` |" in (folder / "README.md").read_text()


def test_sources_that_are_no_commit_are_refused_with_the_list(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    (shop.root / "net.py").write_text("def build(weights): return 2\n")
    (shop.root / "samples" / "1.npy").write_text("one")
    assert shop.run("edge") == 1
    said = capsys.readouterr().err
    assert "not those of a commit: net.py, samples/1.npy [MB703]" in said and "--allow-dirty" in said
    assert not (shop.root / "dist").exists()


def test_a_file_that_git_ignores_but_the_build_reads_is_not_of_the_commit(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    (shop.root / ".gitignore").write_text("out/\n.megbuild/\ndist/\nsamples/9.npy\n")
    shop.commit()
    (shop.root / "samples" / "9.npy").write_text("nine")
    assert shop.run("edge") == 1
    assert "samples/9.npy [MB703]" in capsys.readouterr().err


def test_no_repository_is_no_commit(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    import shutil

    shutil.rmtree(shop.root / ".git")
    assert shop.run("edge") == 1
    assert "in no git repository" in capsys.readouterr().err


def test_what_is_allowed_is_said_in_the_manifest(shop: Shop, unpack: Unpack) -> None:
    (shop.root / "net.py").write_text("def build(weights): return 2\n")
    folder = unpack(shop.release("edge", allow_dirty=True))
    allowed = json.loads((folder / "manifest.json").read_text())["allowed"]
    assert allowed == [{"what": "the sources are not those of a commit", "why": ["net.py"]}]
    assert "**Released although:**" in (folder / "README.md").read_text()


def test_a_failed_verdict_is_refused_or_left_out(
    shop: Shop, unpack: Unpack, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.toy.measured["//:net#npu-b+measured"] = shop.toy.bad(cosine=0.5)
    assert shop.run("edge") == 1
    assert "//:net@chip: cosine of prob is 0.5" in capsys.readouterr().err
    folder = unpack(shop.release("edge", allow_failed=True))
    manifest = json.loads((folder / "manifest.json").read_text())
    assert [one["label"] for one in manifest["artifacts"]] == ["//:net@onnx", "//:net@x86"]
    assert manifest["allowed"][0]["why"][0].startswith("//:net@chip: cosine of prob is 0.5")


def test_what_was_not_run_is_refused_unless_declared(
    shop: Shop, unpack: Unpack, capsys: pytest.CaptureFixture[str]
) -> None:
    models = shop.root / "MODELS.toml"
    models.write_text(models.read_text().replace("[models.net.outputs.chip]", "[models.net.outputs.arm64]"))
    shop.commit()
    assert shop.run("edge") == 1
    assert "//:net@arm64: arm64 cannot run on the build machine [MB705]" in capsys.readouterr().err
    manifest = json.loads((unpack(shop.release("edge", allow_not_run=True)) / "manifest.json").read_text())
    assert manifest["allowed"][0]["what"] == "outputs were not run"
    models.write_text(models.read_text() + '\nallow_not_run = ["//...@arm64"]\n')
    shop.commit()
    manifest = json.loads((unpack(shop.release("edge")) / "manifest.json").read_text())
    assert manifest["allowed"][0]["what"] == "outputs were not run, as declared"


def test_versions(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    assert shop.release("edge", version="2.0").name == "edge-2.0.tar.zst"
    assert shop.release("//...", version="tag:v", name="all", allow_dirty=True) if _tag(shop, "v3.1") else False
    assert (shop.root / "dist" / "all-3.1.tar.zst").is_file()
    assert shop.run("//...") == 2
    assert "the release models has no version [MB706]" in capsys.readouterr().err
    assert shop.run("edge", version="../x") == 2
    assert "'../x' cannot be a version [MB706]" in capsys.readouterr().err
    assert shop.run("egde") == 2
    assert "no release is named egde [MB709]\n  hint: did you mean" in capsys.readouterr().err


def _tag(shop: Shop, name: str) -> bool:
    git(shop.root, "tag", name)
    return True


def test_what_the_store_lost_is_made_again(shop: Shop) -> None:
    import shutil

    first = shop.release("edge").read_bytes()
    shutil.rmtree(shop.toy.cache / "store")
    assert shop.release("edge").read_bytes() == first


@pytest.mark.parametrize("broken", ['labels = ["x y"]', "version = 3", 'notes = "none.md"', 'labels = "//..."\nx = 1'])
def test_mistakes_in_the_table(shop: Shop, broken: str, capsys: pytest.CaptureFixture[str]) -> None:
    models = shop.root / "MODELS.toml"
    models.write_text(models.read_text().split("[releases.edge]")[0] + f"[releases.edge]\n{broken}\n")
    assert shop.run("edge") == 2
    assert capsys.readouterr().err.startswith("MODELS.toml:")


def test_equal_names_are_refused(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.toy.write({"sub/MODELS.toml": '[releases.edge]\nlabels = "//..."\n'})
    assert shop.run("edge") == 2
    assert "// has a release edge already [MB128]" in capsys.readouterr().err
