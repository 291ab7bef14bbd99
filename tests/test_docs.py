"""The READMEs hold what they say: commands run, the output shown is real, the tables name what there is."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args, get_origin

import pytest
import typer
from ruamel.yaml import YAML

import curate
import curate.cli
import tune.cli
from curate.mixture.file import load_mixture
from curate.recipefile import load_recipe
from curate.resources import recipe_names, recipes_dir
from curate.steps import STEPS

ROOT = Path(__file__).resolve().parents[1]
READMES = ["README.md", "README.zh-CN.md"]
DOCS = [*READMES, "CONTRIBUTING.md", "CHANGELOG.md"]
CURATE = "python -m curate "
TUNE = "python -m tune "
CLIS = [(CURATE, curate.cli), (TUNE, tune.cli)]
#: The lines of the one shot that depend on the machine: only their form is compared.
MEASURED = re.compile(r"memory |validation .*\[")


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


def block_from(text: str, start: str) -> str:
    """The one text block that begins with `start`."""
    (found,) = [block for block in blocks(text, "text") if block.startswith(start)]
    return found


def verbs_of(cli: ModuleType) -> dict[str, Any]:
    return getattr(typer.main.get_command(cli.app), "commands", {})


def options_of(verb: Any) -> set[str]:
    names = {option for parameter in verb.params for option in parameter.opts if option.startswith("--")}
    return names - {"--help"}


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
    page = read("docs/your-own-corpus.md")
    (reviews,) = blocks(page, "csv")
    (folder / "data" / "reviews.csv").write_text(reviews, encoding="utf-8")
    return folder


def run(command: str, folder: Path, typed: str = "") -> str:
    """What a `python -m …` command prints, on a CPU and without a network; fails unless it exits 0."""
    args = shlex.split(command.removeprefix("python "))
    env = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    env |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}  # tests run side by side
    done = subprocess.run(
        [sys.executable, *args], cwd=folder, env=env, input=typed, capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_every_command_runs(folder: Path) -> None:
    for command in commands(read("README.md")):
        if command.startswith(CURATE):
            assert run(command, folder), command
        else:
            assert command.startswith(TUNE) or command.split()[0] in {"pip", "pytest"}, command


@pytest.mark.parametrize("name", READMES)
def test_the_output_shown_is_real(name: str, tmp_path: Path) -> None:
    text = read(name)
    printed, tree = block_from(text, "No --source"), block_from(text, "runs/")
    assert printed == run("python -m curate recipe lcqmc", tmp_path)
    written = tmp_path / tree.splitlines()[0].strip()
    listed = re.findall(r"[\w.]+\.(?:jsonl?|parquet|html)\b|README\.md|(?<=  )figures\b", tree)
    assert sorted(listed) == sorted(path.name for path in written.iterdir())
    (shown,) = [json.loads(block) for block in blocks(text, "json")]
    rows = [json.loads(line) for line in (written / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    (row,) = [row for row in rows if row["meta"]["id"] == shown["meta"]["id"]]
    assert json.dumps(shown) == json.dumps(row)


@pytest.mark.parametrize("name", READMES)
def test_the_export_shown_is_real(name: str, tmp_path: Path) -> None:
    run("python -m curate recipe lcqmc --format messages", tmp_path)
    exported = tmp_path / "runs" / "lcqmc-sample" / "formats" / "train.messages.jsonl"
    row = json.loads(exported.read_text(encoding="utf-8").split("\n")[0])
    shown = block_from(read(name), '{"id"').replace("{…}", json.dumps(row["meta"]))
    assert json.dumps(json.loads(shown)) == json.dumps(row)


def test_the_python_shown_runs(folder: Path) -> None:
    run("python -m curate recipe lcqmc", folder)
    for code in blocks(read("README.md"), "python"):
        env = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hf")}
        done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=env, capture_output=True, encoding="utf-8")
        assert done.returncode == 0, done.stderr
    shown = re.search(r"run\.rows +# (.+)", read("README.md"))
    assert shown and repr(curate.read_run(folder / "runs" / "from-python").rows) == shown[1]


@pytest.mark.parametrize("name", READMES)
def test_the_mixture_shown_is_one(name: str, tmp_path: Path) -> None:
    (shown,) = blocks(read(name), "yaml")
    (tmp_path / "own.yaml").write_text(shown, encoding="utf-8")
    assert load_mixture(str(tmp_path / "own.yaml")).fields.total == 100_000


def test_both_languages_have_the_same_commands_and_code() -> None:
    english, chinese = map(read, READMES)
    assert commands(english) == commands(chinese)
    uncommented = [[re.sub(" +#.*", "", code) for code in blocks(text, "python")] for text in (english, chinese)]
    assert uncommented[0] == uncommented[1]
    assert block_from(english, "run:") == block_from(chinese, "run:")
    assert [line[:3].count("#") for line in english.splitlines() if line.startswith("#")] == [
        line[:3].count("#") for line in chinese.splitlines() if line.startswith("#")
    ]


@pytest.mark.parametrize(("called", "cli"), CLIS)
def test_every_verb_is_documented_and_has_help(
    called: str, cli: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    verbs = verbs_of(cli)
    assert verbs
    shown = {command.removeprefix(called).split()[0] for command in commands(read("README.md")) if called in command}
    assert shown == set(verbs)
    for name, verb in verbs.items():
        assert cli.main([name, "--help"]) == 0
        assert verb.help and verb.help.splitlines()[0] in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("name", READMES)
def test_every_option_is_documented(name: str) -> None:
    options = options_of(verbs_of(curate.cli)["recipe"]).union(*map(options_of, verbs_of(tune.cli).values()))
    missing = {option for option in options if not re.search(rf"(?<!-){option}\b", read(name))}
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
    install, test = (command for command in commands(read(name)) if "[dev]" in command or "pytest" in command)
    lines = read(".ci/run").splitlines()
    assert lines[-1] == test
    assert any(line.endswith(install.removeprefix("pip install ")) for line in lines)
    assert commands(read("CONTRIBUTING.md"))[:2] == [install, test]


def test_the_changelog_names_this_version() -> None:
    version = re.search(r'^version = "(.*)"$', read("pyproject.toml"), re.MULTILINE)
    assert version and f"## {version[1]} " in read("CHANGELOG.md")


# --- tuning


def read_command(command: str) -> dict[str, Any]:
    """The arguments of a `python -m tune` command as its verb would get them; fails where it would refuse them."""
    verb, *args = shlex.split(command.removeprefix(TUNE))
    return verbs_of(tune.cli)[verb].make_context(verb, args).params


def test_every_tune_command_can_be_read() -> None:
    from tune.config import resolve
    from tune.grid import read_grid

    found = [command for command in commands(read("README.md")) if command.startswith(TUNE)]
    assert found
    for command in found:
        given, notes = read_command(command), list[str]()
        asked = {key: given.get(key) for key in ("model", "method", "seed")}
        sets = given.get("sets") or []
        several = [sets]
        if command.startswith(f"{TUNE}sweep"):
            grid = read_grid(sets, None)
            several = [grid.sets(point) for point in grid.points()]
        for one in several:
            resolve(None, sets=one, notes=notes, **asked)
        assert not [note for note in notes if "doesn't read" in note], command


def stands_in(shown: str, printed: str) -> bool:
    """Whether the lines shown stand in what was printed, in this order and without gaps but where … stands."""
    lines, at = [comparable(line) for line in printed.splitlines()], 0
    for part in re.split(r"^…\n", shown, flags=re.MULTILINE):
        wanted = [comparable(line) for line in part.splitlines()]
        places = range(at, len(lines) - len(wanted) + 1)
        found = next((place for place in places if lines[place : place + len(wanted)] == wanted), None)
        if found is None:
            return False
        at = found + len(wanted)
    return True


def comparable(line: str) -> str:
    """A line as it is; one with measured figures without these, their units and widths."""
    if not MEASURED.match(line):
        return line
    return " ".join(re.sub(r"\d[\d,]*(\.\d+)?( [KMGT]iB)?", "#", line).split())


def test_lines_are_compared() -> None:
    printed = "a\nb 1\nc\nmemory   about 1.5 GiB of 2 GiB\nvalidation  f1  68  1.0 [0.5, 1.0]\n"
    assert stands_in("a\n…\nc\nmemory about 633 MiB of 18.9 GiB\n", printed)
    assert stands_in("…\nvalidation  f1  68  50.0 [45.5, 61.0]\n", printed)
    assert not stands_in("a\nc\n", printed)
    assert not stands_in("b 2\n", printed)
    assert not stands_in("c\n…\na\n", printed)
    assert not stands_in("validation  auc  68  50.0 [45.5, 61.0]\n", printed)


@pytest.mark.slow
def test_the_one_shot_and_what_follows_run_and_print_what_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = read("README.md")
    found = [command for command in commands(text) if command.startswith(TUNE)]
    one_shot, *others = [command for command in found if "--model" not in command]
    printed = run(one_shot, tmp_path)
    assert stands_in(block_from(text, "run:"), printed), printed
    for name in READMES:
        place, *lines = block_from(read(name), "tunings/").splitlines()
        listed = [file for line in lines for file in re.split(r" {3,}", line.strip())[0].split()]
        assert sorted(listed) == sorted(path.name for path in (tmp_path / place).iterdir())
    monkeypatch.chdir(tmp_path)
    for command in others:  # in this process: loading torch takes longer than most of them
        monkeypatch.setattr(sys, "stdin", io.StringIO("你好\n"))
        code = tune.cli.main(shlex.split(command.removeprefix(TUNE)))
        printed = capsys.readouterr()
        assert code == 0 and printed.out, f"{command}\n{printed.out}{printed.err}"


@pytest.mark.parametrize("name", READMES)
def test_the_method_table_names_the_methods(name: str) -> None:
    from tune.methods import METHODS

    table = table_of(read(name), "lora")
    assert list(table) == list(METHODS)
    above = ""
    for method, (_, _, settings, lr, weight_decay, saved) in table.items():
        expected = METHODS[method]
        above = above if settings in {"as above", "同上"} else settings
        assert tuple(re.findall(r"`(\w+)`", above)) == expected.keys
        assert (float(lr), float(weight_decay)) == (expected.lr, expected.weight_decay)
        assert saved.startswith(f"`{expected.folder}/`")


@pytest.mark.parametrize("name", READMES)
def test_the_settings_table_has_every_setting_with_its_default(name: str) -> None:
    from tune.config import Config

    table = table_of(read(name), "max_length")
    assert list(table) == list(Config.model_fields)
    for key, (_, default, what) in table.items():
        field, literal = Config.model_fields[key], re.fullmatch(r"`([^`]*)`", default)
        if field.default is None:  # a choice left to something else, in words
            assert default and not literal, key
        else:
            assert literal, key
            given = YAML(typ="safe", pure=True).load(literal[1])
            assert getattr(Config.model_validate({key: given}), key) == field.default, key
        if get_origin(field.annotation) is Literal:
            choices = ["true" if choice is True else choice for choice in get_args(field.annotation)]
            assert not [choice for choice in choices if f"`{choice}`" not in what], key


@pytest.mark.parametrize("name", READMES)
def test_the_figures_of_an_evaluation_are_documented(name: str) -> None:
    from tune.metrics import METRICS
    from tune.model_card import MEANINGS

    text = read(name)
    assert set(METRICS) <= set(MEANINGS), "the model card has no words for a metric"
    assert not [figure for figure in MEANINGS if f"`{figure}`" not in text]


@pytest.mark.parametrize("name", READMES)
def test_the_figures_are_of_the_benchmarks(name: str) -> None:
    text = read(name)
    assert not [path for path in re.findall(r"benchmarks/\w+\.py", text) if not (ROOT / path).is_file()]
    (table,) = [table for table in tables(text) if table[1][0] == "0.6B `lora`"]
    rows = ["-".join([*re.findall(r"[\w.]+", row[0]), row[1].replace(",", "")]) for row in table[1:]]
    settings = re.search(r"^SETTINGS = (\[.*\])$", read("benchmarks/tune_speed.py"), re.MULTILINE)
    assert settings and rows == json.loads(settings[1])


def test_the_torch_of_the_readme_is_the_one_of_the_extra() -> None:
    (wanted,) = re.findall(r'"(torch[><=].*)"', read("pyproject.toml"))
    for name in READMES:
        assert f'pip install "{wanted}" --index-url ' in "\n".join(commands(read(name)))
