"""The command line: what it costs, what it says about wrong input, and with which code it ends."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tune.cli import main

ROOT = Path(__file__).resolve().parents[2]
VERBS = ["recipe", "train", "plan", "eval", "chat", "report", "compare", "sweep", "merge", "score", "methods"]
FLAGS = ["--model", "--method", "--out", "--config", "--set", "--seed", "--resume", "--memory", "--json", "--force"]


def errors(capfd: pytest.CaptureFixture[str], *args: object) -> list[str]:
    """The lines on stderr of a call that must end with code 2, say nothing but errors, and print no result."""
    assert main([str(arg) for arg in args]) == 2
    out, err = capfd.readouterr()
    lines = err.splitlines()
    assert out == "" and all(line.startswith("error: ") for line in lines)
    return [line.removeprefix("error: ") for line in lines]


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {verb} " in text for verb in VERBS)
    assert main([]) == 0
    assert capsys.readouterr().out == text


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"python -m tune {verb}" in text
    assert verb not in ("recipe", "train") or all(flag in text for flag in [*FLAGS, "--tensorboard"])


@pytest.mark.parametrize("args", [["--help"], ["train", "--help"], ["methods", "--nonsense"]])
def test_nothing_heavy_is_imported_before_work_starts(args: list[str]) -> None:
    code = (
        f"import sys; from tune.cli import main; main({args!r})\n"
        "print('HEAVY', [name for name in ('torch', 'transformers', 'peft', 'numpy', 'ruamel', 'rich')"
        " if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    assert done.stdout.splitlines()[-1] == "HEAVY []"


def test_tune_imports_nothing_of_curate() -> None:
    for file in (ROOT / "tune").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.partition(".")[0] for name in names} & {"curate", "polars", "jieba", "rjieba"}, file


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["trian", "RUN"], "no such command 'trian'"),
        (["train"], "missing argument 'RUN' (see 'python -m tune train --help')"),
        (["train", "RUN", "--modle", "x"], "no such option: --modle"),
        (["train", "RUN", "--seed", "x"], "invalid value for '--seed'"),
        (["train", "RUN", "--resume", "--force"], "--resume and --force: choose one"),
        (["recipe", "lcqmc", "--resume", "--force"], "--resume and --force: choose one"),
        (["train", "RUN"], "RUN: no such run folder"),
        (["plan", "RUN"], "RUN: no such run folder"),
        (["score", "RUN", "x.jsonl"], "RUN: no such run folder"),
        (["eval", "TUNING"], "TUNING: no such tuning"),
        (["report", "TUNING"], "TUNING: no such tuning"),
        (["merge", "TUNING"], "TUNING: no such tuning"),
        (["chat", "TUNING"], "TUNING: no such tuning"),
        (["compare", "A", "B"], "A: no such tuning"),
        (["compare", "A", "B", "--methods", "lora,full"], "--methods: tunes one run, not 2"),
        (
            ["compare", "A", "B", "--seed", "1", "--force"],
            "--seed, --force: for tuning by several methods; add --methods",
        ),
        (["compare", "RUN", "--methods", "lora,full"], "RUN: no such run folder"),
        (["sweep", "RUN", "--set", "lr=1,2"], "RUN: no such run folder"),
        (["methods", "RUN"], "RUN: no such run folder"),
    ],
)
def test_wrong_calls(
    args: list[str],
    said: str,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (message,) = errors(capfd, *args)
    assert message.startswith(said)
    assert not list(tmp_path.iterdir())


def test_wrong_settings(golden: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("batsh: 3\n", encoding="utf-8")
    found = errors(capfd, "train", golden / "pair", "--config", file, "--set", "lr=x", "--out", tmp_path / "t")
    assert found == [
        f"{file}:1:1: unknown key 'batsh'; did you mean 'batch'?",
        "--set lr=x: lr: should be a valid number (given: 'x')",
    ]
    assert errors(capfd, "plan", golden / "pair", "--memory", "much")[0].startswith("--memory much: write a size")
    assert not (tmp_path / "t").exists()


def test_a_folder_that_is_no_tuning_is_left_as_it_is(
    golden: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("x", encoding="utf-8")
    (message,) = errors(capfd, "train", golden / "pair", "--out", tmp_path, "--force")
    assert message.startswith(f"{tmp_path}: is not empty and not a tuning")
    (message,) = errors(capfd, "train", golden / "pair", "--out", tmp_path / "mine.txt" / "t")
    assert "mine.txt is a file; name another folder with --out" in message
    assert (tmp_path / "mine.txt").read_text(encoding="utf-8") == "x"


def test_a_model_that_is_not_there(golden: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = ["--out", tmp_path / "t"]
    assert "no config.json" in errors(capfd, "train", golden / "pair", "--model", golden / "pair", *out)[0]
    assert errors(capfd, "train", golden / "pair", "--model", "./gone", *out)[0].startswith("model ./gone")
    (message,) = errors(capfd, "train", golden / "pair", "--model", "jingtiao-tests/no-such-model", *out)
    assert message.startswith("model jingtiao-tests/no-such-model") and "--model FOLDER" in message
    assert not (tmp_path / "t").exists()


def test_methods(capsys: pytest.CaptureFixture[str]) -> None:
    from tune.methods import METHODS

    assert main(["methods", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["methods"]
    assert [row["name"] for row in rows] == list(METHODS)
    assert main(["methods", "--model", "tiny"]) == 0
    text = capsys.readouterr().out
    assert all(f"{row['name']} " in text and row["summary"] in text for row in rows)
    assert "tiny on " in text and "samples of 64, 12% of them learnt, assumed: name a RUN" in text


def test_a_run_is_not_a_tuning(golden: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (message,) = errors(capfd, "compare", golden / "pair")
    assert message.startswith(f"{golden / 'pair'}: is a run; compare RUN --methods lora,full tunes on it")


def test_ctrl_c(golden: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(path: Path) -> None:
        raise KeyboardInterrupt("stopped after step 3 of 9")

    monkeypatch.setattr("tune.tuning.open_run", interrupted)
    assert main(["train", str(golden / "pair")]) == 130
    assert capsys.readouterr().err == "error: interrupted: stopped after step 3 of 9\n"


def test_a_missing_library_is_named(
    golden: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(path: Path) -> None:
        raise ModuleNotFoundError("No module named 'peft'", name="peft.utils")

    monkeypatch.setattr("tune.tuning.open_run", missing)
    assert main(["train", str(golden / "pair")]) == 2
    assert "pip install 'jingtiao[tune]'" in capsys.readouterr().err


def test_a_full_disk_is_one_line_and_a_bug_is_none(
    golden: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "x.bin")

    monkeypatch.setattr("tune.tuning.open_run", full)
    assert main(["train", str(golden / "pair")]) == 2
    assert capsys.readouterr().err == "error: x.bin: no space left on device\n"

    def bug(path: Path) -> None:
        raise TypeError("ours")

    monkeypatch.setattr("tune.tuning.open_run", bug)
    with pytest.raises(TypeError, match="ours"):
        main(["train", str(golden / "pair")])
