"""The command line: exit codes, `error:` lines, and that nothing heavy is imported before work starts."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import types
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from curate import resources
from curate.cli import main
from curate.tables import funnel
from curate.types import UserError

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ["torch", "transformers", "datasets", "pandas", "polars", "numpy", "jieba", "rjieba", "jinja2", "rich"]
VERBS = ["list", "show", "recipe", "preview", "validate", "card", "cards", "explain", "diff"]

MANIFEST: dict[str, Any] = {
    "splits": {
        "train": {"read": 1200, "written": 1080, "rejected": 20, "flagged": 0, "derived": -100},
        "validation": {"read": 0, "written": 100, "rejected": 0, "flagged": 3, "derived": 100},
    },
    "steps": [
        {"step": "read", "split": "train", "in": 1200, "out": 1195, "reasons": {"too_few_columns": 5}},
        {"step": "normalise", "split": "train", "in": 1195, "out": 1195, "reasons": {}},
        {"step": "exact_dedup", "split": "train", "in": 1195, "out": 1180, "reasons": {"same_text": 15}},
        {"step": "split", "split": "train", "in": 1180, "out": 1080, "reasons": {}},
        {"step": "split", "split": "validation", "in": 0, "out": 100, "reasons": {}},
    ],
    "outputs": [{"file": "train.jsonl", "rows": 1080, "bytes": 1, "sha256": "00"}],
}


def errors(capsys: pytest.CaptureFixture[str], *args: str, code: int = 2) -> list[str]:
    """Run a command that must fail: its error lines, after checking that there is nothing else."""
    assert main(list(args)) == code
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert lines and all(line.startswith("error: ") for line in lines), err
    assert out == ""
    return lines


def stub(monkeypatch: pytest.MonkeyPatch, module: str, **names: Any) -> None:
    """Put a module of our own in place of one that does the work."""
    fake = types.ModuleType(module)
    for name, value in names.items():
        setattr(fake, name, value)
    monkeypatch.setitem(sys.modules, module, fake)


def modules_after(*args: str) -> tuple[int, set[str]]:
    """The exit code of a command in a fresh process, and the modules it imported."""
    code = (
        "import sys; from curate.cli import main; code = main(sys.argv[1:]); "
        "print('MODULES', *sys.modules, file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code, *args], cwd=ROOT, capture_output=True, encoding="utf-8")
    last = done.stderr.splitlines()[-1]
    assert last.startswith("MODULES"), done.stderr
    return done.returncode, set(last.split())


def test_help_imports_nothing_heavy() -> None:
    code, modules = modules_after("--help")
    assert code == 0
    assert not modules & {*HEAVY, "pydantic", "ruamel.yaml"}


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_imports_nothing_heavy(verb: str) -> None:
    code, modules = modules_after(verb, "--help")
    assert code == 0
    assert not modules & set(HEAVY)


def test_recipe_error_imports_nothing_heavy(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("name: bad\ntask: pair\nsteps: [normalize, segment]\n", encoding="utf-8")
    for args in (["recipe", str(path)], ["recipe", "lcqcm"], ["recipe", "lcqmc", "--set", "segment.az=1"]):
        code, modules = modules_after(*args)
        assert code == 2
        assert not modules & set(HEAVY)


def test_module_is_runnable() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "curate", "--help"], cwd=ROOT, capture_output=True, encoding="utf-8", check=True
    )
    assert "python -m curate" in done.stdout
    assert all(verb in done.stdout for verb in VERBS)


def test_no_arguments_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "Usage: python -m curate" in capsys.readouterr().out


def test_usage_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert errors(capsys, "recip") == [
        "error: no such command 'recip'; did you mean 'recipe'? (see 'python -m curate --help')"
    ]
    assert "--source" in errors(capsys, "recipe", "lcqmc", "--sorce", "x")[0]
    assert "'python -m curate recipe --help'" in errors(capsys, "recipe")[0]
    assert "--limit" in errors(capsys, "recipe", "lcqmc", "--limit", "x")[0]
    assert "--lang" in errors(capsys, "recipe", "lcqmc", "--lang", "fr")[0]
    assert "-n" in errors(capsys, "preview", "lcqmc", "-n", "0")[0]
    assert errors(capsys, "recipe", "lcqmc", "--format", "parquet,sharegtp") == [
        "error: --format sharegtp: unknown; did you mean 'sharegpt'?"
    ]
    assert errors(capsys, "recipe", "lcqmc", "--format", "csv") == [
        "error: --format csv: unknown; known are sharegpt, messages, parquet"
    ]


def test_every_recipe_error_has_its_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("name: bad\ntask: pair\nsteps: [normalize, segmnt]\n", encoding="utf-8")
    lines = errors(capsys, "recipe", str(path))
    assert len(lines) > 3
    assert f"error: {path}:3:9: unknown step 'normalize'; did you mean 'normalise'?" in lines
    assert errors(capsys, "validate", str(path)) == lines


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    assert "LCQMC 中文问句匹配" in out and "CC BY-SA 4.0" in out
    assert main(["list", "--json"]) == 0
    said = {recipe["name"]: recipe["task"] for recipe in json.loads(capsys.readouterr().out)}
    assert (said["lccc"], said["drcd"]) == ("dialogue", "mrc")
    assert [name for name, task in said.items() if task == "mixture"] == resources.mixture_names()
    assert list(said) == resources.recipe_names() + resources.mixture_names()
    assert all(f"\n{name} " in out for name in said)


def test_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "lcqmc"]) == 0
    out = capsys.readouterr().out
    assert "  0: 不同" in out and '"by": "text"' in out
    assert main(["show", "--schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "jingtiao recipe"
    assert "needs the name of a recipe or a mixture" in errors(capsys, "show")[0]


def test_show_a_mixture(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["show", "all"]) == 0
    assert "\nparts:\n  bq: run=runs/bq cap=30000\n" in capsys.readouterr().out
    path = tmp_path / "own.yaml"
    parts = "{b: {run: x/b, weight: 2}, a: {weight: 0.5}}"
    path.write_text(f"name: own\nversion: 1.0.0\ntitle: t\nparts: {parts}\ntotal: 9\ntune: {{epochs: 2}}\n", "utf-8")
    assert main(["show", str(path), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["task"], said["total"], said["tune"]) == ("mixture", 9, "epochs=2")
    assert said["parts"] == ["a: run=runs/a weight=0.5", "b: run=x/b weight=2.0"]
    assert errors(capsys, "show", "al")[0].startswith("error: unknown recipe or mixture 'al'; did you mean 'all'? (")
    assert errors(capsys, "show", "lcqmcc")[0].startswith(
        "error: unknown recipe or mixture 'lcqmcc'; did you mean 'lcqmc'? ("
    )


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["mix", "lcqmc"], "lcqmc is a recipe, not a mixture: python -m curate recipe lcqmc"),
        (["recipe", "all"], "all is a mixture, not a recipe: python -m curate mix all"),
        (["preview", "all"], "all is a mixture, not a recipe: python -m curate mix all"),
        (["mix", "{recipe}"], "{recipe} is a recipe, not a mixture: python -m curate recipe {recipe}"),
        (["recipe", "{mixture}"], "{mixture} is a mixture, not a recipe: python -m curate mix {mixture}"),
    ],
)
def test_the_other_verb(capsys: pytest.CaptureFixture[str], args: list[str], said: str) -> None:
    """A recipe where a mixture belongs, or a mixture where a recipe does: which verb it is for."""
    paths = {"recipe": resources.recipe_path("bq"), "mixture": resources.mixture_path("all")}
    assert errors(capsys, *(arg.format(**paths) for arg in args)) == [f"error: {said.format(**paths)}"]


def test_validate(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert main(["validate", "lcqmc"]) == 0
    assert capsys.readouterr().out.startswith("lcqmc: ok (lcqmc 1.0.0, task pair, 7 steps)")
    seen: list[Path] = []
    stub(monkeypatch, "curate.run", check_run=seen.append)
    assert main(["validate", str(tmp_path)]) == 0
    assert seen == [tmp_path]
    assert capsys.readouterr().out == f"{tmp_path}: ok\n"
    stub(monkeypatch, "curate.run", check_run=lambda run: ["train.jsonl: is missing", "test.jsonl: is missing"])
    assert errors(capsys, "validate", str(tmp_path)) == [
        "error: train.jsonl: is missing",
        "error: test.jsonl: is missing",
    ]


def curate_with(monkeypatch: pytest.MonkeyPatch, folder: Path, calls: list[Any]) -> None:
    """A pipeline that only notes what it is asked and answers with MANIFEST."""

    def curate_recipe(recipe: Any, sources: list[str], **options: Any) -> Any:
        calls.append((recipe, sources, options))
        return SimpleNamespace(
            path=folder, status="written", fingerprint="f00", manifest=MANIFEST, notes=["left aside: dev_header.txt"]
        )

    stub(monkeypatch, "curate.pipeline", curate_recipe=curate_recipe)


def test_recipe_prints_the_funnel(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls: list[Any] = []
    curate_with(monkeypatch, tmp_path, calls)
    args = ["--source", "train=a.tsv", "--source", "test=b.txt", "--limit", "9", "--set", "segment.as=off", "--force"]
    args += ["--format", "parquet", "--format", "messages,sharegpt", "--memory", "2GB"]
    assert main(["recipe", "lcqmc", *args]) == 0
    recipe, sources, options = calls[0]
    assert sources == ["train=a.tsv", "test=b.txt"]
    assert recipe.overrides == {"segment.as": "off"}
    report = options.pop("report")
    report("anything")
    assert options.pop("workers") >= 1
    assert options.pop("formats") == ["parquet", "messages,sharegpt"]
    assert options == {"out": None, "limit": 9, "seed": 0, "memory": 2_000_000_000, "force": True, "lang": "zh"}
    assert capsys.readouterr().out.splitlines() == [
        "split        read  moved  unreadable  exact_dedup  written  flagged",
        "train       1,200   -100          -5          -15    1,080        0",
        "validation      0   +100           0            0      100        3",
        "note: left aside: dev_header.txt",
        f"run:  {tmp_path} (written)",
        f"card: {tmp_path / 'card.html'}",
    ]


def test_without_source_the_sample_is_named_first(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls: list[Any] = []
    curate_with(monkeypatch, tmp_path, calls)
    monkeypatch.setattr("curate.resources.sample_path", lambda name: tmp_path)
    assert main(["recipe", "lcqmc"]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert "sample" in first and "python -m curate recipe lcqmc --source PATH" in first
    assert main(["recipe", "lcqmc", "--json"]) == 0
    out, err = capsys.readouterr()
    answer = json.loads(out)
    assert answer["status"] == "written" and answer["splits"] == MANIFEST["splits"]
    assert "sample" in err
    monkeypatch.setattr("curate.resources.sample_path", lambda name: None)
    assert "no built-in sample" in errors(capsys, "recipe", "lcqmc")[0]
    assert len(calls) == 2


def test_funnel_rows_add_up() -> None:
    columns, rows = funnel(MANIFEST)
    for row in rows:
        numbers = dict(zip(columns[1:], (int(cell.replace(",", "")) for cell in row[1:]), strict=True))
        flagged, written = numbers.pop("flagged"), numbers.pop("written")
        assert flagged >= 0 and sum(numbers.values()) == written


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def curate_recipe(*_: Any, **__: Any) -> None:
        raise error

    stub(monkeypatch, "curate.pipeline", curate_recipe=curate_recipe)


def test_user_errors(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, UserError("a.tsv:3: first", "b.tsv: second\nline"))
    lines = errors(capsys, "recipe", "lcqmc", "--source", "x")
    assert lines == ["error: a.tsv:3: first", "error: b.tsv: second line"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_what_the_machine_refuses(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    failing(monkeypatch, OSError(number, os.strerror(number), "runs/x/train.jsonl"))
    (line,) = errors(capsys, "recipe", "lcqmc", "--source", "x")
    assert line == f"error: runs/x/train.jsonl: {os.strerror(number).lower()}"


def test_a_full_disk_behind_stdout() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-m", "curate", "list"], cwd=ROOT, stdout=full, stderr=subprocess.PIPE, encoding="utf-8"
        )
    assert done.returncode == 2
    assert done.stderr.startswith("error: writing: no space left on device\n")


def test_interrupted(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, KeyboardInterrupt())
    assert errors(capsys, "recipe", "lcqmc", "--source", "x", code=130) == ["error: interrupted"]


def test_a_bug_is_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, OSError(errno.EINVAL, "a bug"))
    with pytest.raises(OSError, match="a bug"):
        main(["recipe", "lcqmc", "--source", "x"])


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
def test_a_closed_pipe_is_quiet() -> None:
    command = f"'{sys.executable}' -m curate show --schema | head -n 1"
    done = subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    assert done.stdout == "{\n"
    assert done.stderr == ""


@pytest.mark.parametrize("found", [True, False])
def test_card_opens_the_page(
    found: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import webbrowser

    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or found)
    stub(monkeypatch, "curate.card", write_card=lambda run, lang: run / "card.html")
    assert main(["card", str(tmp_path), "--open"]) == 0
    assert opened == [(tmp_path / "card.html").as_uri()]
    assert ("no browser was found" in capsys.readouterr().out) is not found


def test_other_verbs_pass_on_what_they_are_given(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stub(monkeypatch, "curate.explain", explain=lambda run, row: f"{run.name} {row}")
    stub(
        monkeypatch, "curate.preview", preview=lambda recipe, sources, n, split: f"{recipe.name} {sources} {n} {split}"
    )
    stub(monkeypatch, "curate.card", write_card=lambda run, lang: run / "card.html")
    assert main(["explain", str(tmp_path / "r"), "x/train/0"]) == 0
    assert main(["preview", "lcqmc", "-n", "3", "--source", "p", "--split", "test"]) == 0
    assert main(["card", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "r x/train/0",
        "lcqmc ['p'] 3 test",
        f"card: {tmp_path / 'card.html'}",
    ]
