"""Rows, lines and blocks that are too large, and too many of one kind: bounded memory, correct results."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from helpers import command, curate, manifest, rejects, samples, tree
from hostile import ROWS, peak_of, refused, rows_of

from curate.readers import READERS, bounds, table
from curate.readers.options import ReadOptions
from curate.text.decode import sniff
from curate.types import File


def test_a_row_that_is_too_long_is_a_reject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "ROW_BYTES", 3000)
    source = tmp_path / "train.tsv"
    source.write_text(
        rows_of(50) + "长" * 1000 + "\t句\t1\n" + "长" * 990 + "\t句\t1\n" + rows_of(60), encoding="utf-8"
    )
    run = curate("lcqmc", tmp_path / "run", source, overrides=["segment.as=off"]).path
    long = [row for row in rejects(run) if row["reason"] == "too_long"]
    assert [(row["id"], row["step"]) for row in long] == [("lcqmc/train/000000050", "read")]
    assert long[0]["fields"]["raw"] == "长" * 1000
    counts = manifest(run)["splits"]["train"]
    assert counts["read"] == 112 == counts["written"] + counts["rejected"]
    assert "lcqmc/train/000000051" in {row["meta"]["id"] for row in samples(run, "train")}


@pytest.mark.parametrize("recipe", ["lcqmc", "cmrc2018", "lccc", "ecdt", "lcsts", "fudan"])
def test_where_a_block_is_cut_never_shows(recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes of a run are those of one whose blocks are a row each, unreadable rows in their places."""
    whole = tree(curate(recipe, tmp_path / "a").path)
    monkeypatch.setattr(bounds, "BLOCK_BYTES", 1)
    cut = tree(curate(recipe, tmp_path / "b").path)
    assert {name for name in whole if whole[name] != cut[name]} <= {"local.json"}


def test_blocks_keep_to_their_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "BLOCK_BYTES", 2000)
    path = tmp_path / "train.tsv"
    path.write_text(rows_of(500) + "坏行\n" + rows_of(500), encoding="utf-8")
    options = ReadOptions("pair", {"0": "不同", "1": "相同"})
    file = File(path, path.name, "train", 0)
    whole = list(table.read(file, sniff(path), options, 10_000))
    parts = list(READERS["table"].read(file, sniff(path), options, 10_000))
    assert len(parts) > 10
    assert pl.concat([part.frame for part in parts]).equals(pl.concat([block.frame for block in whole]))
    assert sum(part.rows for part in parts) == 1001
    assert [reject for part in parts for reject in part.rejects] == [r for block in whole for r in block.rejects]
    largest = max(sum(len(text.encode()) for text in (*part.frame["a"], *part.frame["b"])) for part in parts)
    assert largest <= 2000 + 100


def test_a_small_file_is_shared_out_in_a_few_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough for several cores, but not so many that their own cost shows; a large file comes in blocks anyway."""
    path = tmp_path / "train.tsv"
    path.write_text(rows_of(500) + "坏行\n" + rows_of(500), encoding="utf-8")
    options = ReadOptions("pair", {"0": "不同", "1": "相同"})
    file = File(path, path.name, "train", 0)
    (whole,) = READERS["table"].read(file, sniff(path), options, 10_000)
    monkeypatch.setattr(bounds, "PART_BYTES", 1000)
    parts = list(READERS["table"].read(file, sniff(path), options, 10_000))
    assert 1 < len(parts) <= bounds.PARTS
    assert pl.concat([part.frame for part in parts]).equals(whole.frame)
    assert [reject for part in parts for reject in part.rejects] == whole.rejects
    assert max(len(part.frame) for part in parts) < 2 * 1000 / bounds.PARTS
    monkeypatch.setattr(bounds, "SMALL_FILE", 1000)
    assert len(list(READERS["table"].read(file, sniff(path), options, 10_000))) == 1


HUGE = "字" * 66_000_000
LONG_LINES: dict[str, tuple[str, str, str, int]] = {
    "a cell of a TSV": ("lcqmc", "train.tsv", ROWS * 3 + "%s\t好\t1\n" + ROWS, 1),
    "a line of a TSV": ("lcqmc", "train.tsv", ROWS * 3 + "%s\n" + ROWS, 1),
    "a quote never closed": ("lcqmc", "train.csv", "text_a,text_b,label\n你,好,1\n在,吗,1\n\"%s\n天,气,1\n", 1),
    "a turn of a JSON list": ("lccc", "train.json", '[["你好","好"],["在吗","在"],["%s","好"]]', 1),
    "a turn of JSON Lines": ("lccc", "train.jsonl", '["你好","好"]\n["在吗","在"]\n["%s","好"]\n', 1),
    "a text between tags": (
        "lcsts", "PART_I.txt",
        "<doc id=0><summary>好</summary><short_text>天气好</short_text></doc>\n" * 2
        + "<doc id=0><summary>好</summary><short_text>%s</short_text></doc>\n", 1,
    ),
    "a string never closed": ("lccc", "train.json", '[["你好","好"],["%s', 0),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("what", LONG_LINES)
def test_a_line_of_200_megabytes(what: str, tmp_path: Path) -> None:
    """It costs at most twelve times its size in memory; its row is the only one that is rejected for its form."""
    recipe, name, text, long = LONG_LINES[what]
    source = tmp_path / name
    source.write_text(text.replace("%s", HUGE), encoding="utf-8")
    code, said, peak = peak_of(tmp_path, "recipe", recipe, "--source", f"train={source}", "--set", "segment.as=off")
    size = source.stat().st_size
    source.unlink()
    assert peak < 12 * size, f"{peak >> 20} MiB"
    if not long:
        assert code == 2 and "Unterminated string" in said and not (tmp_path / "run").exists()
        return
    assert code == 0, said
    assert [row["step"] for row in rejects(tmp_path / "run")].count("read") == 1
    counts = manifest(tmp_path / "run")["splits"]["train"]
    assert counts["read"] == counts["written"] + counts["rejected"]


@pytest.mark.slow
@pytest.mark.parametrize("mark", ["\t", ","], ids=["TSV", "CSV"])
@pytest.mark.parametrize("at", [20, 3000], ids=["in the head", "below it"])
def test_a_line_of_ten_million_columns(at: int, mark: str, tmp_path: Path) -> None:
    """It is one reject, and no columns are made of it; others are read as if it were not there."""
    source = tmp_path / "train.tsv"
    lines = rows_of(4000).replace("\t", mark).split("\n")
    lines.insert(at, f"{mark}字" * 10_000_000)
    source.write_text("\n".join(lines), encoding="utf-8")
    code, said, peak = peak_of(tmp_path, "recipe", "lcqmc", "--source", source, "--set", "segment.as=off")
    assert code == 0, said
    assert peak < 12 * source.stat().st_size, f"{peak >> 20} MiB"
    bad = [row for row in rejects(tmp_path / "run") if row["step"] == "read"]
    assert [(row["id"], row["reason"]) for row in bad] == [(f"lcqmc/train/{at:09}", "too_many_columns")]
    assert manifest(tmp_path / "run")["splits"]["train"]["read"] == 4001


def test_blank_lines_make_no_blocks(tmp_path: Path) -> None:
    """However many there are, they are counted, and nobody downstream is handed an empty block for them."""
    path = tmp_path / "train.tsv"
    path.write_text(rows_of(3) + "\n" * 1000 + " \n" * 500 + rows_of(3) + "\n" * 1000, encoding="utf-8")
    options = ReadOptions("pair", {"0": "不同", "1": "相同"})
    blocks = list(READERS["table"].read(File(path, path.name, "train", 0), sniff(path), options, 10))
    assert [block.rows for block in blocks if block.rows] == [3, 3]
    assert len(blocks) == 3  # what stands below the last row is counted too
    assert sum(block.counts.get("blank_lines", 0) for block in blocks) == 2500
    assert pl.concat([block.frame for block in blocks])["rid"].to_list() == list(range(6))


@pytest.mark.slow
def test_a_file_that_is_no_text_is_not_loaded(tmp_path: Path) -> None:
    """Where a file is a row, one of a gigabyte of zeros is a reject, and counts for the run's sources."""
    folder = tmp_path / "train"
    (folder / "C3-Art").mkdir(parents=True)
    (folder / "C3-Art" / "1.txt").write_text("市场今天又涨了一点。", encoding="utf-8")
    with (folder / "C3-Art" / "2.txt").open("wb") as file:
        file.truncate(1 << 30)
    code, said, peak = peak_of(tmp_path, "recipe", "fudan", "--source", f"train={folder}", "--set", "segment.as=off")
    assert code == 0, said
    assert peak < 600 << 20, f"{peak >> 20} MiB"
    assert [row["reason"] for row in rejects(tmp_path / "run")] == ["unreadable_file"]
    assert [entry["bytes"] for entry in manifest(tmp_path / "run")["sources"]] == [30, 1 << 30]


def test_where_no_line_is_known_none_is_told(tmp_path: Path) -> None:
    source = tmp_path / "train.json"
    source.write_text('[["你好", "好"], 1, 2, 3]', encoding="utf-8")
    assert "train.json: 3 of the 4 rows" in refused(tmp_path, "lccc", "--source", source)
    source.write_text('[["在吗", "在"], 1, ["你好", "好"]]', encoding="utf-8")
    shown = command("preview", "lccc", "--source", source, cwd=tmp_path).stdout
    assert "(train.json)" in shown and ":0" not in shown
