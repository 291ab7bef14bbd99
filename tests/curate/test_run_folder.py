"""Same in, same out: every byte of a run follows from its input; and what a run folder says of itself."""

from __future__ import annotations

import gzip
import json
import shutil
import tarfile
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from helpers import (
    RECIPES,
    SPLITS,
    broken_promises,
    card,
    command,
    curate,
    differing,
    manifest,
    recipe_file,
    rejects,
    samples,
    tree,
)

from curate.card.files import told
from curate.recipefile import load_recipe
from curate.resources import sample_path
from curate.run import check_run as check_hashes


def sample(name: str) -> Path:
    path = sample_path(name)
    assert path is not None
    return path


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One run of each sample, the one that all others are compared with."""
    folder = tmp_path_factory.mktemp("first")
    return {name: curate(name, folder / name).path for name in RECIPES}


# ---- what must not show


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("options", [{}, {"slice_rows": 7}, {"workers": 2}], ids=str)
def test_bytes_do_not_depend_on(options: dict[str, Any], name: str, first: dict[str, Path], tmp_path: Path) -> None:
    assert differing(first[name], curate(name, tmp_path / "run", **options).path) == []


def test_bytes_do_not_depend_on_slices_of_one_row(first: dict[str, Path], tmp_path: Path) -> None:
    assert differing(first["lcsts"], curate("lcsts", tmp_path / "run", slice_rows=1).path) == []


@pytest.mark.parametrize("name", RECIPES)
def test_bytes_do_not_depend_on_memory(
    name: str, first: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slices that wait on disk instead of in memory."""
    from curate import budget, store

    written = []
    write = store._write
    monkeypatch.setattr(store, "_write", lambda path, *what: written.append(path.parent.name) or write(path, *what))
    monkeypatch.setattr(budget, "MEMORY", 0)
    assert differing(first[name], curate(name, tmp_path / "run", slice_rows=10).path) == []
    assert {"slices", "keys"} <= set(written)


@pytest.mark.parametrize("name", RECIPES)
def test_bytes_do_not_depend_on_the_process(name: str, first: dict[str, Path], tmp_path: Path) -> None:
    """Another process, another hash seed, another time zone and locale, another place."""
    env = {"PYTHONHASHSEED": "1" if name == "lcqmc" else "4242", "TZ": "Asia/Shanghai", "LC_ALL": "C"}
    done = command("recipe", name, "--out", tmp_path / "run", cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert differing(first[name], tmp_path / "run") == []


@pytest.mark.parametrize("name", RECIPES)
def test_bytes_do_not_depend_on_the_order_of_sources(name: str, tmp_path: Path) -> None:
    files = sorted(sample(name).iterdir())
    one = curate(name, tmp_path / "one", *files).path
    other = curate(name, tmp_path / "other", *reversed(files)).path
    assert differing(one, other) == []


def several(folder: Path, name: str = "lcqmc") -> Path:
    """The sample's train file as two files of one split, beside the others."""
    folder.mkdir(parents=True)
    for path in sample(name).iterdir():
        shutil.copy(path, folder)
    head, *rows = (folder / "train.tsv").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "train.tsv").unlink()
    (folder / "train.one.tsv").write_text("".join([head, *rows[:200]]), encoding="utf-8")
    (folder / "train.two.tsv").write_text("".join([head, *rows[200:]]), encoding="utf-8")
    return folder


def test_several_files_of_a_split(tmp_path: Path) -> None:
    """Files of one split in any order: the same bytes, and ids that say which file a row stood in."""
    source = several(tmp_path / "source")
    files = [
        f"train={source / 'train.one.tsv'}",
        f"train={source / 'train.two.tsv'}",
        f"validation={source / 'dev.txt'}",
    ]
    one = curate("lcqmc", tmp_path / "one", *files).path
    other = curate("lcqmc", tmp_path / "other", *reversed(files)).path
    whole = curate("lcqmc", tmp_path / "whole", source).path
    assert differing(one, other) == []
    assert broken_promises(whole, load_recipe("lcqmc")) == []
    prefixes = {row["meta"]["id"].rpartition("/")[0] for row in samples(whole, "train")}
    assert prefixes == {"lcqmc/train/train.one", "lcqmc/train/train.two"}
    counts = [manifest(run)["splits"]["train"] for run in (whole, curate("lcqmc", tmp_path / "joined").path)]
    assert counts[0] == counts[1]


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
@pytest.mark.parametrize("name", RECIPES)
def test_an_archive_is_its_folder(name: str, kind: str, tmp_path: Path) -> None:
    """The samples and rejects from an archive are those from the files in it."""
    folder = tmp_path / "source"  # where a split has several files, their folder stands in the ids
    shutil.copytree(sample(name), folder / "corpus")
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    archive = tmp_path / f"corpus.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as target:
            for path in files:
                target.write(path, path.relative_to(folder))
    else:
        with tarfile.open(archive, "w:gz") as target:
            for path in files:
                target.add(path, path.relative_to(folder))
    one, other = curate(name, tmp_path / "one", folder).path, curate(name, tmp_path / "other", archive).path
    assert {n: d for n, d in tree(one).items() if n.startswith(SPLITS)} == {
        n: d for n, d in tree(other).items() if n.startswith(SPLITS)
    }
    assert [{**row, "fields": None} for row in rejects(one)] == [{**row, "fields": None} for row in rejects(other)]


def test_a_compressed_file(tmp_path: Path) -> None:
    (tmp_path / "dev.txt.gz").write_bytes(gzip.compress((sample("lcqmc") / "dev.txt").read_bytes()))
    run = curate("lcqmc", tmp_path / "run", tmp_path / "dev.txt.gz").path
    assert manifest(run)["splits"]["validation"]["read"] == 68


def test_the_place_does_not_show(first: dict[str, Path], tmp_path: Path) -> None:
    """No path of this machine in any file but local.json, wherever source and run stand."""
    source = tmp_path / "a place of its own"
    shutil.copytree(sample("lcqmc"), source)
    run = curate("lcqmc", tmp_path / "run", source).path
    elsewhere = curate("lcqmc", tmp_path / "deeper" / "still" / "run", sample("lcqmc")).path
    assert differing(run, elsewhere) == []
    for name, data in tree(run).items():
        assert str(tmp_path).encode() not in data and b"a place of its own" not in data, name
    assert str(source) in json.dumps(json.loads((run / "local.json").read_text(encoding="utf-8")))


# ---- what may show, and how far


def by_id(run: Path) -> dict[str, Any]:
    """Each row of a run without what other rows decide (its flags; why it was rejected)."""
    rows = {}
    for split in SPLITS:
        for row in samples(run, split):
            rows[row["meta"]["id"]] = {**row, "meta": {**row["meta"], "flags": ""}}
    return rows


APPENDED = {
    "lcqmc": ("train.tsv", "新加的句子一\t新加的句子二\t1\n今天几号\t今天星期几\t0\n"),
    "chnsenticorp": ("train.tsv", "1\t新加的评论，非常满意。\n0\t新加的评论，很不满意。\n"),
}


@pytest.mark.parametrize("name", APPENDED)
def test_rows_at_the_end_change_no_other(name: str, first: dict[str, Path], tmp_path: Path) -> None:
    file, more = APPENDED[name]
    shutil.copytree(sample(name), tmp_path / "source")
    with (tmp_path / "source" / file).open("a", encoding="utf-8") as target:
        target.write(more)
    before, after = by_id(first[name]), by_id(curate(name, tmp_path / "run", tmp_path / "source").path)
    assert {key: row for key, row in after.items() if key in before} == before
    assert len(after) > len(before)


def test_dialogues_at_the_end_change_no_other(first: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(sample("lccc"), tmp_path / "source")
    path = tmp_path / "source" / "LCCC_train.json"
    dialogues = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(
        json.dumps([*dialogues, ["新 加 的 一 句 话", "新 加 的 回 答"]], ensure_ascii=False), encoding="utf-8"
    )
    before, after = by_id(first["lccc"]), by_id(curate("lccc", tmp_path / "run", tmp_path / "source").path)
    assert {key: row for key, row in after.items() if key in before} == before
    assert len(after) == len(before) + 1


def test_a_file_more_changes_no_other(first: dict[str, Path], tmp_path: Path) -> None:
    """Without the test file, rows of the others keep id, template and text (some are no longer leaks)."""
    run = curate("lcqmc", tmp_path / "run", sample("lcqmc") / "train.tsv", sample("lcqmc") / "dev.txt").path
    before, after = by_id(run), by_id(first["lcqmc"])
    assert {key: row for key, row in before.items() if key in after} == {
        key: row for key, row in after.items() if key in before
    }
    assert {key for key in after if "/test/" not in key} <= set(before)


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("limit", [1, 10])
def test_limit(limit: int, name: str, tmp_path: Path) -> None:
    """The first rows of each split, with the ids, texts and templates that they have in the whole run."""
    run = curate(name, tmp_path / "run", limit=limit, slice_rows=4).path
    assert all(counts["read"] == limit for counts in manifest(run)["splits"].values())
    assert manifest(run)["limit"] == limit
    assert broken_promises(run, load_recipe(name)) == []
    whole = by_id(curate(name, tmp_path / "whole").path)
    shared = {key: row for key, row in by_id(run).items() if key in whole}
    # An mrc file may name its rows only after the limit: source_id is then no key of the limited run.
    assert all({**whole[key], "meta": None} == {**row, "meta": None} for key, row in shared.items())
    assert all(int(key.rpartition("/")[2]) < limit for key in by_id(run))


@pytest.mark.parametrize("name", RECIPES)
def test_another_seed_changes_templates_only(name: str, first: dict[str, Path], tmp_path: Path) -> None:
    run = curate(name, tmp_path / "run", seed=1).path
    assert manifest(run)["seed"] == 1
    assert manifest(run)["fingerprint"] != manifest(first[name])["fingerprint"]
    one, other = by_id(first[name]), by_id(run)
    assert list(one) == list(other)
    changed = sum(one[key]["meta"]["template"] != other[key]["meta"]["template"] for key in one)
    assert changed > len(one) / 2
    assert manifest(run)["splits"] == manifest(first[name])["splits"]
    assert (run / "rejected.jsonl").read_bytes() == (first[name] / "rejected.jsonl").read_bytes()


def test_templates_are_used_evenly(first: dict[str, Path]) -> None:
    used = manifest(first["lcqmc"])["templates"]["used"]
    rows = sum(used.values())
    assert all(0.4 < count * len(used) / rows < 2 for count in used.values()), used


def test_evaluation_takes_no_inverted_template(tmp_path: Path) -> None:
    templates = [
        {"id": "t/01", "instruction": "分类", "input": "{{ text }}", "output": "{{ answer }}"},
        {"id": "t/02", "instruction": "写一条{{ answer }}的评论", "output": "{{ text }}", "inverted": True},
    ]
    recipe = recipe_file(tmp_path / "recipe", "classification", ["normalise"], templates=templates)
    (tmp_path / "source").mkdir()
    rows = "".join(f"{n % 2}\t第{n}条\n" for n in range(60))
    for split in SPLITS:
        (tmp_path / "source" / f"{split}.tsv").write_text(f"label\ttext_a\n{rows}", encoding="utf-8")
    run = curate(recipe, tmp_path / "run", tmp_path / "source").path
    seen = {split: {row["meta"]["template"] for row in samples(run, split)} for split in SPLITS}
    assert seen == {"train": {"t/01", "t/02"}, "validation": {"t/01"}, "test": {"t/01"}}


def test_a_template_that_fails_on_a_row(tmp_path: Path) -> None:
    """A row that can't be rendered is a reject of step format, in every split, and the funnel still adds up."""
    templates = [{"id": "t/01", "instruction": "答", "input": "{{ text[2] }}{{ text }}", "output": "{{ answer }}"}]
    recipe = recipe_file(
        tmp_path / "recipe", "classification", ["normalise", "exact_dedup", "leak_check"], templates=templates
    )
    (tmp_path / "source").mkdir()
    train = "".join(f"1\t{text}\n" for text in ("一二三四", "一", "一", "二三四", "五"))
    (tmp_path / "source" / "train.tsv").write_text(f"label\ttext_a\n{train}", encoding="utf-8")
    (tmp_path / "source" / "test.tsv").write_text("label\ttext_a\n1\t五\n1\t五六七八\n", encoding="utf-8")
    run = curate(recipe, tmp_path / "run", tmp_path / "source").path
    assert [row["input"] for row in samples(run, "train")] == ["三一二三四", "四二三四"]
    assert {(row["id"][4:], row["step"], row["reason"], row["kept_id"]) for row in rejects(run)} == {
        ("train/000000001", "format", "template_error", None),
        ("train/000000002", "exact_dedup", "same_text", None),
        ("train/000000004", "leak_check", "in_test", None),
        ("test/000000000", "format", "template_error", None),
    }
    from contract import check_run

    assert [line for line in check_run(run) if not line.startswith("README.md")] == []


# ---- the folder


@pytest.mark.parametrize("name", RECIPES)
def test_figures_agree(name: str, first: dict[str, Path]) -> None:
    """The hashes hold, and the card's figures are the manifest's."""
    assert check_hashes(first[name]) == []
    said, drawn = manifest(first[name]), card(first[name])
    assert drawn["sources"] == told(said["sources"])
    for key in ("splits", "steps", "fingerprint", "versions", "seed", "metrics"):
        assert drawn[key] == said[key]
    for split in SPLITS:
        labels = [row["meta"]["label"] for row in samples(first[name], split) if row["meta"].get("label")]
        if labels:
            assert {key: n for key, n in drawn["labels"][split].items() if n and key} == Counter(labels)


def test_a_finished_run_is_left_alone(tmp_path: Path) -> None:
    run = curate("lcqmc", tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in run.path.iterdir()}
    again = curate("lcqmc", tmp_path / "run")
    assert (run.status, again.status) == ("written", "up to date")
    assert again.fingerprint == run.fingerprint and again.manifest == run.manifest
    assert {path: path.stat().st_mtime_ns for path in run.path.iterdir()} == before
    assert list(tmp_path.iterdir()) == [run.path]


def test_force_replaces_a_run(tmp_path: Path) -> None:
    curate("lcqmc", tmp_path / "run")
    run = curate("lcqmc", tmp_path / "run", seed=3, force=True)
    assert run.status == "written" and manifest(run.path)["seed"] == 3
    assert list(tmp_path.iterdir()) == [run.path]


def test_a_damaged_run_is_written_again(tmp_path: Path) -> None:
    """An output that is missing or cut: the same command must not call that up to date."""
    run = curate("lcqmc", tmp_path / "run").path
    whole = tree(run)
    (run / "train.jsonl").write_bytes(whole["train.jsonl"][:1000])
    done = command("recipe", "lcqmc", "--out", "run", "--force", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert tree(run) == whole


QUOTED = '他说"好"，路径 C:\\新\\n，\u2028行'


def squad(context: str, answer: str) -> str:
    answers = [{"text": answer, "answer_start": context.find(answer)}]
    paragraph = {"context": context, "qas": [{"question": f"问{QUOTED}？", "id": '"1', "answers": answers}]}
    return json.dumps({"data": [{"title": QUOTED, "paragraphs": [paragraph]}]}, ensure_ascii=False)


#: task → (a file of one row whose texts hold what JSON must escape, its name, an output it must come to)
ESCAPED = {
    "pair": (f"text_a\ttext_b\tlabel\n{QUOTED}\t{QUOTED}乙\t1\n", "train.tsv", "相同"),
    "classification": (f"label\ttext_a\n1\t{QUOTED}\n", "train.tsv", "相同"),
    "mrc": (squad(f"甲{QUOTED}乙", QUOTED), "train.json", QUOTED),
    "summarization": (
        f"<doc id=0>\n  <summary>\n    {QUOTED}\n  </summary>\n"
        f"  <short_text>\n    甲{QUOTED}\n  </short_text>\n</doc>\n",
        "train.txt",
        QUOTED,
    ),
    "dialogue": (json.dumps([["甲" + QUOTED, "乙" + QUOTED, "丙", QUOTED]]), "train.json", QUOTED),
}


@pytest.mark.parametrize("words", ["meta", "off"])
@pytest.mark.parametrize("task", ESCAPED)
def test_what_json_must_escape(task: str, words: str, tmp_path: Path) -> None:
    """Quotes, backslashes and line separators come back from the JSON as they stood in the corpus."""
    text, name, output = ESCAPED[task]
    (tmp_path / name).write_text(text, encoding="utf-8")
    recipe = recipe_file(tmp_path / "recipe", task, [{"segment": {"as": words}}])
    run = curate(recipe, tmp_path / "run", f"train={tmp_path / name}").path
    (row,) = samples(run, "train")
    assert row["output"] == output
    assert QUOTED in "".join([row["instruction"], row["input"], *(t for pair in row.get("history", []) for t in pair)])
    if task in ("mrc", "summarization", "dialogue"):
        assert row["meta"]["references"] == [output]
