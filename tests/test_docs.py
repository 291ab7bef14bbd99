"""The READMEs hold what they say: commands run, the output shown is real, the tables name what there is."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from curate.cli import app, main
from curate.recipe import load_recipe
from curate.resources import recipe_names, recipes_dir
from curate.steps import STEPS

ROOT = Path(__file__).resolve().parents[1]
READMES = ["README.md", "README.zh-CN.md"]
DOCS = [*READMES, "CONTRIBUTING.md", "CHANGELOG.md"]
CURATE = "python -m curate "


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """The code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def commands(text: str) -> list[str]:
    """The commands of the shell blocks, in order; `a && b` is two."""
    lines = "".join(blocks(text, "bash")).splitlines()
    return [command.strip() for line in lines for command in line.split("&&") if command.strip()]


def tables(text: str) -> list[list[list[str]]]:
    """The tables, each as its rows of cells, without the line under the header."""
    found = re.findall(r"(?:^\|.*\|$\n?)+", text, re.MULTILINE)
    return [
        [
            [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]
            for row in table.splitlines()
            if "---" not in row
        ]
        for table in found
    ]


def table_of(text: str, name: str) -> dict[str, list[str]]:
    """The table that has a row called `name`: its rows by their first cell, the header left out."""
    (found,) = [table for table in tables(text) if f"`{name}`" in [row[0] for row in table]]
    return {row[0].strip("`"): row for row in found[1:]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the corpora that the READMEs name: the samples stand in for the real ones."""
    folder = tmp_path_factory.mktemp("docs")
    samples = recipes_dir() / "samples"
    for name in ("lcqmc", "chnsenticorp"):
        shutil.copytree(samples / name, folder / "data" / name)
    shutil.make_archive(str(folder / "data" / "lcqmc"), "zip", samples / "lcqmc")
    train = (samples / "lcqmc" / "train.tsv").read_text(encoding="utf-8")
    (folder / "data" / "train.tsv").write_text(train, encoding="utf-8")
    (folder / "data" / "no_header.tsv").write_text(train.partition("\n")[2], encoding="utf-8")
    shutil.copy(samples / "lcqmc" / "dev.txt", folder / "data" / "test.txt")
    return folder


def run(command: str, folder: Path) -> str:
    """What a `python -m curate` command prints; fails unless it exits 0."""
    args = shlex.split(command.removeprefix("python "))
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, *args], cwd=folder, env=env, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_every_command_runs(folder: Path) -> None:
    for command in commands(read("README.md")):
        if command.startswith(CURATE):
            assert run(command, folder), command
        else:
            assert command.split()[0] in {"pip", "pytest"}, command


@pytest.mark.parametrize("name", READMES)
def test_the_output_shown_is_real(name: str, tmp_path: Path) -> None:
    text = read(name)
    printed, tree = blocks(text, "text")[:2]
    assert printed == run("python -m curate recipe lcqmc", tmp_path)
    written = tmp_path / tree.splitlines()[0].strip()
    listed = re.findall(r"[\w.]+\.jsonl?\b|README\.md", tree)
    assert sorted(listed) == sorted(path.name for path in written.iterdir())
    (shown,) = [json.loads(block) for block in blocks(text, "json")]
    rows = [json.loads(line) for line in (written / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    (row,) = [row for row in rows if row["meta"]["id"] == shown["meta"]["id"]]
    assert json.dumps(shown) == json.dumps(row)


def test_both_languages_have_the_same_commands_and_code() -> None:
    english, chinese = map(read, READMES)
    assert commands(english) == commands(chinese)
    assert blocks(english, "python") == blocks(chinese, "python")
    assert [line[:3].count("#") for line in english.splitlines() if line.startswith("#")] == [
        line[:3].count("#") for line in chinese.splitlines() if line.startswith("#")
    ]


def test_every_verb_is_documented_and_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    group = typer.main.get_command(app)
    verbs = getattr(group, "commands", {})
    assert verbs
    shown = {command.removeprefix(CURATE).split()[0] for command in commands(read("README.md")) if CURATE in command}
    assert shown == set(verbs)
    for name, verb in verbs.items():
        assert main([name, "--help"]) == 0
        assert verb.help and verb.help.splitlines()[0] in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("name", READMES)
def test_every_option_of_recipe_is_documented(name: str) -> None:
    verb = getattr(typer.main.get_command(app), "commands", {})["recipe"]
    options = {option for parameter in verb.params for option in parameter.opts if option.startswith("--")}
    missing = {option for option in options - {"--help"} if not re.search(rf"{option}\b", read(name))}
    assert not missing


@pytest.mark.parametrize("name", READMES)
def test_the_recipe_table_names_the_shipped_recipes(name: str) -> None:
    table = table_of(read(name), "lcqmc")
    assert list(table) == recipe_names()
    for recipe, row in table.items():
        shipped = load_recipe(recipe)
        assert [row[2], *row[4:]] == [shipped.task, shipped.license, ", ".join(shipped.metrics)]


@pytest.mark.parametrize("name", READMES)
def test_the_step_table_names_the_steps(name: str) -> None:
    table = table_of(read(name), "exact_dedup")
    assert list(table) == list(STEPS)
    for step, (_, options, _, reasons) in table.items():
        words = [field.alias or key for key, field in STEPS[step].options.model_fields.items()]
        outside_brackets = re.sub(r"[(（][^)）]*[)）]", "", options)
        assert re.findall(r"`(\w+)`", outside_brackets) == words
        assert tuple(re.findall(r"`(\w+)`", reasons)) == STEPS[step].reasons


@pytest.mark.parametrize("name", DOCS)
def test_links_lead_somewhere(name: str) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", read(name))
    missing = [target for target in targets if "://" not in target and not (ROOT / target).exists()]
    assert not missing


@pytest.mark.parametrize("name", DOCS)
def test_no_path_of_one_machine(name: str) -> None:
    found = re.findall(r"(?<![\w.:/])/(?:work|home|root|tmp|opt|usr|mnt|Users)\b\S*|\b[A-Z]:\\\S*", read(name))
    assert not found


def test_data_cards_name_no_path_of_one_machine() -> None:
    for path in sorted((ROOT / "data_cards").rglob("*")):
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"(?<![\w.:/])/(?:work|home|root|tmp|opt|mnt|Users)/", text), path


@pytest.mark.parametrize("name", READMES)
def test_ci_calls_the_test_command_of_the_readme(name: str) -> None:
    install, test = commands(read(name))[2:4]
    lines = read(".ci/run").splitlines()
    assert lines[-1] == test
    assert any(line.endswith(install.removeprefix("pip install ")) for line in lines)
    assert commands(read("CONTRIBUTING.md"))[:2] == [install, test]


def test_the_changelog_names_this_version() -> None:
    version = re.search(r'^version = "(.*)"$', read("pyproject.toml"), re.MULTILINE)
    assert version and f"## {version[1]} " in read("CHANGELOG.md")
