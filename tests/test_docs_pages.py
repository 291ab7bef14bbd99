"""The page about a corpus of one's own: its commands, run in order on its own file, print what it shows."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import tune.cli

ROOT = Path(__file__).resolve().parents[1]
PAGES = ["your-own-corpus.md", "your-own-corpus.zh-CN.md"]
#: Figures that a machine's arithmetic may move: of these lines only the beginning is compared.
MEASURED = re.compile(r"(validation  \w+ +\d+).*")


def blocks(page: str) -> list[tuple[str, str]]:
    """The code blocks of a page, each with its language, in order."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def run(command: str, folder: Path) -> str:
    """What a `python -m …` command prints, on a CPU and without a network; fails unless it exits 0."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    env |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONIOENCODING": "utf-8"}
    args = shlex.split(command.removeprefix("python "))
    if args[:2] == ["-m", "tune"]:
        return called(args[2:], folder)
    done = subprocess.run([sys.executable, *args], cwd=folder, env=env, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def called(args: list[str], folder: Path) -> str:
    """What `python -m tune` prints, in this process: loading torch takes longer than most of its commands."""
    printed = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
        assert tune.cli.main(args) == 0, f"{args}\n{printed.getvalue()}"
    return printed.getvalue()


def assert_shown(shown: str, printed: str) -> None:
    """Every shown line was printed, in this order, and nothing stands between two but where the page has `…`."""
    lines, at, gap = [MEASURED.sub(r"\1", line.rstrip()) for line in printed.split("\n")], 0, False
    for line in shown.rstrip("\n").split("\n"):
        if line == "…":
            gap = True
            continue
        line = MEASURED.sub(r"\1", line)
        found = lines.index(line, at) if gap and line in lines[at:] else at
        assert lines[found] == line
        at, gap = found + 1, False
    assert gap or not "".join(lines[at:])


def changed(recipe: str, edits: str) -> str:
    """The recipe with the lines of `edits` in place of those that begin with the same key."""
    lines = recipe.split("\n")
    for edit in edits.rstrip("\n").split("\n"):
        (at,) = [n for n, line in enumerate(lines) if line.partition(":")[0] == edit.partition(":")[0]]
        lines[at] = edit
    return "\n".join(lines)


def follow(page: str, folder: Path, tool: str) -> int:
    """Do what the page says, up to the last command of `tool`; returns how many commands were run."""
    done, printed, recipe = 0, "", folder / "reviews.yaml"
    found = blocks(page)
    last = max(n for n, (kind, text) in enumerate(found) if kind == "bash" and f"-m {tool} " in text)
    for place, (kind, text) in enumerate(found):
        if kind == "csv":
            (folder / "reviews.csv").write_text(text, encoding="utf-8")
        elif kind == "yaml" and text.startswith("name:"):
            assert text == recipe.read_text(encoding="utf-8")
        elif kind == "yaml":
            recipe.write_text(changed(recipe.read_text(encoding="utf-8"), text), encoding="utf-8")
        elif kind == "bash":
            if place > last:
                break
            printed = "".join(run(command, folder) for command in text.split("\n") if command)
            done += 1
        elif text.startswith("## "):
            assert text in (folder / "runs/reviews/README.md").read_text(encoding="utf-8")
        else:
            assert_shown(text, printed)
    return done


@pytest.mark.parametrize("page", PAGES)
def test_from_a_file_to_a_run(page: str, tmp_path: Path) -> None:
    assert follow(page, tmp_path, "curate") == 4


@pytest.mark.slow
def test_from_a_file_to_a_tuned_model(tmp_path: Path) -> None:
    assert follow(PAGES[0], tmp_path, "tune") == 7
    assert (tmp_path / "tunings/reviews-tiny-full/model/model.safetensors").is_file()


def test_both_languages_show_the_same() -> None:
    english, chinese = map(blocks, PAGES)
    assert english == chinese


def test_what_is_shown_must_be_printed() -> None:
    assert_shown("a\n…\nd\n", "a\nb\nc\nd\n")
    for shown in ("a\nc\n", "a\n", "b\n…\na\n"):
        with pytest.raises(AssertionError):
            assert_shown(shown, "a\nb\n")
