"""Input made to do harm: a clear error or a correct result, in bounded memory, with nothing left half-written."""

from __future__ import annotations

import io
import json
import lzma
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from helpers import command, curate, manifest, rejects, samples, tree

from curate import archives, pipeline
from curate.readers import READERS, bounds, parallel, table
from curate.readers.options import ReadOptions
from curate.recipefile import load_recipe
from curate.sources import open_source
from curate.text import decode
from curate.text.decode import read_blocks, sniff
from curate.types import File, UserError
from curate.unchanged import Changed

PATTERNS = {"train": ["*train*"], "validation": ["*dev*"], "test": ["*test*"]}
ROWS = "你好\t好\t1\n在吗\t在\t0\n"


def rows_of(count: int) -> str:
    return "".join(f"第{n}个问题\t第{n}问\t{n % 2}\n" for n in range(count))


def refused(tmp_path: Path, *words: str | Path) -> str:
    """What the command says of input it refuses: lines of `error: …`, and nothing is left."""
    place, tmp = tmp_path / "place", tmp_path / "tmp"
    for folder in (place, tmp):
        folder.mkdir(exist_ok=True)
    env = {"TMPDIR": str(tmp)}
    done = command("recipe", *words, "--out", place / "run", cwd=tmp_path, env=env)
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr[-2000:])
    said = done.stderr.splitlines()
    assert said and all(line.startswith("error: ") and line.isprintable() for line in said), done.stderr[-2000:]
    assert tree(place) == {} and not [path for path in tmp.iterdir() if path.name.startswith("jingtiao")]
    return done.stderr


# ---- a file that changes while it is read


def shorter(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def longer(path: Path) -> None:
    with path.open("ab") as file:
        file.write(ROWS.encode())


def overwritten(path: Path) -> None:
    """As many other bytes in the same file, with the time of modification put back."""
    before = path.stat()
    with path.open("r+b") as file:
        file.write("我".encode())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replaced(path: Path) -> None:
    """Another file of the same size and times in its place."""
    before = path.stat()
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


CHANGES: list[Callable[[Path], None]] = [shorter, longer, overwritten, replaced, Path.unlink]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", ["table", "json", "parallel", "parquet"])
def test_changed_between_looking_and_reading(tmp_path: Path, change: Callable[[Path], None], kind: str) -> None:
    """What is read is what was hashed, or an error says that it is not, whichever file of a pair it is."""
    folder = tmp_path / "source"
    folder.mkdir()
    victim, recipe, overrides = folder / "train.tsv", "lcqmc", []
    if kind == "table":
        victim.write_text(rows_of(100), encoding="utf-8")
    elif kind == "json":
        victim, recipe = folder / "LCCC_train.json", "lccc"
        victim.write_text(json.dumps([["你好", f"第{n}句"] for n in range(100)]), encoding="utf-8")
    elif kind == "parallel":
        victim, recipe = folder / "summary.train.txt", "nlpcc-summary"
        for name in ("article.train.txt", victim.name):
            (folder / name).write_text("一行\n" * 100, encoding="utf-8")
    else:
        victim, overrides = folder / "train.parquet", ["source.reader=rows"]
        pl.DataFrame({"a": ["你好"] * 100, "b": ["好"] * 100, "label": ["1"] * 100}).write_parquet(victim)
    once = {"left": True}
    real = pipeline.open_recipe_source

    def open_then_change(*given: Any) -> Any:
        source = real(*given)
        assert victim in source.infos and once.pop("left")
        change(victim)
        return source

    out = tmp_path / "place" / "run"
    out.parent.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "open_recipe_source", open_then_change)
        with pytest.raises(UserError, match=rf"{victim.name}: changed while it was read"):
            curate(load_recipe(recipe, overrides), out, folder)
    assert tree(out.parent) == {}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_between_two_blocks(tmp_path: Path, change: Callable[[Path], None]) -> None:
    """No block read after a change is handed on; but what was read before is what was hashed."""
    path = tmp_path / "train.tsv"
    path.write_text(rows_of(1000), encoding="utf-8")
    whole = path.read_text(encoding="utf-8")
    info = sniff(path)
    assert "".join(read_blocks(path, info, 100)) == whole
    blocks = read_blocks(path, info, 100)
    first = next(blocks)
    change(path)
    with pytest.raises(Changed):
        next(blocks)
    assert whole.startswith(first)


def test_changed_while_it_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second pass of a file that isn't UTF-8 sees the bytes of the first, or says so; also among documents."""
    path = tmp_path / "train.txt"
    path.write_bytes("今天天气\n".encode("gb18030") * 60_000)
    real = decode._choose

    def change_then_choose(*given: Any) -> Any:
        longer(path)
        return real(*given)

    monkeypatch.setattr(decode, "_choose", change_then_choose)
    for file_rows in (False, True):  # where files are rows, one that is no text is a reject, but not this
        with pytest.raises(Changed, match=r"train\.txt"):
            open_source([(None, tmp_path / "train.txt")], PATTERNS, "demo", tmp_path / "w", file_rows=file_rows)


def test_partner_is_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("train_source.txt", "train_target.txt"):
        (tmp_path / name).write_text("一行字\n另一行\n", encoding="utf-8")
    source = open_source([(None, tmp_path)], PATTERNS, "demo", tmp_path / "w", parallel=True)
    monkeypatch.setattr(parallel, "sniff", None)
    file = source.files[0]
    options = ReadOptions("summarization")
    assert [len(block.frame) for block in parallel.read(file, source.infos[file.path], options, 10)] == [2]


# ---- rows and blocks that are too large


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


def peak_of(tmp_path: Path, *words: str | Path) -> tuple[int, str, int]:
    """(exit code, stderr, peak memory in bytes) of a command."""
    script = (
        "import resource, subprocess, sys\n"
        "done = subprocess.run([sys.executable, '-m', 'curate', *sys.argv[1:]])\n"
        "print(done.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, words), "--out", str(tmp_path / "run")],
        cwd=tmp_path, capture_output=True, encoding="utf-8", check=True, timeout=300,
    )  # fmt: skip
    code, peak = done.stdout.split("\n")[-2].split()
    return int(code), done.stderr, int(peak) << (0 if sys.platform == "darwin" else 10)


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


# ---- JSON that is hard to take

DEEP = {"lists": ("[", "]"), "objects": ('{"a":', "}"), "both": ('[{"a":', "}]")}
NESTED = {
    "a list of dialogues": ("lccc", "train.json", '[["你好","好"],%s]'),
    "SQuAD": ("cmrc2018", "train.json", '{"data":[{"paragraphs":[{"context":"天","qas":%s}]}]}'),
    "CMRC": ("cmrc2018", "train.json", '[{"context_text":%s}]'),
    "utterances": ("ecdt", "train.json", '[{"text":"我","domain":"app","slots":%s}]'),
}


@pytest.mark.parametrize("depth", [1_100, 100_000])
@pytest.mark.parametrize("what", NESTED)
def test_deep_json_is_one_line(what: str, depth: int, tmp_path: Path) -> None:
    """A tree of JSON that is nested too deeply is refused in words, whatever it is nested of."""
    recipe, name, text = NESTED[what]
    for opened, closed in DEEP.values():
        source = tmp_path / name
        source.write_text(text.replace("%s", opened * depth + "1" + closed * depth), encoding="utf-8")
        said = refused(tmp_path, recipe, "--source", f"train={source}")
        assert name in said and "Recursion" not in said
        assert "nested too deeply" in said


@pytest.mark.parametrize("recipe", ["lccc", "lcqmc"])
def test_a_deep_line_is_one_reject(recipe: str, tmp_path: Path) -> None:
    good = '["你好","%s"]' if recipe == "lccc" else '{"sentence1":"你好","sentence2":"%s","label":"1"}'
    for depth in (900, 990, 1000, 10_000_000):
        source = tmp_path / "train.jsonl"
        lines = [good % "好", "[" * depth + "]" * depth, good % "在", good % "对"]
        source.write_text("\n".join(lines), encoding="utf-8")
        overrides = ["source.reader=rows"] if recipe == "lcqmc" else []
        run = curate(recipe, tmp_path / f"run{depth}", source, overrides=overrides).path
        assert [(row["id"][-1], row["step"]) for row in rejects(run)] == [("1", "read")]


def test_numbers_that_no_machine_holds(tmp_path: Path) -> None:
    """Numbers beyond all bounds are bad values of their rows, or one clear line where they stand in one tree."""
    lines = [f'{{"sentence1":"第{n}","sentence2":"好","label":1}}' for n in range(9)]
    bad = ["1e999", "NaN", "-Infinity", "9" * 5000]
    lines += [f'{{"sentence1":{number},"sentence2":"好","label":1}}' for number in bad]
    (tmp_path / "train.jsonl").write_text("\n".join(lines), encoding="utf-8")
    run = curate("lcqmc", tmp_path / "run", tmp_path / "train.jsonl", overrides=["source.reader=rows"]).path
    # NaN is how pandas writes no value.
    assert [(row["id"][-2:], row["step"]) for row in rejects(run)] == [
        ("09", "read"), ("10", "require"), ("11", "read"), ("12", "read"),
    ]  # fmt: skip
    source = tmp_path / "train.json"
    source.write_text(f'[["你好","好"],[{"9" * 5000}]]', encoding="utf-8")
    assert "more digits than can be read" in refused(tmp_path, "lccc", "--source", source)


def test_a_score_of_five_thousand_digits(tmp_path: Path) -> None:
    doc = "<doc><human_label>{}</human_label><summary>好{}</summary><short_text>天气很好{}</short_text></doc>\n"
    scores = ["9" * 5000, "9" * 30, "²", "5"]
    (tmp_path / "PART_I.txt").write_text("".join(doc.format(s, n, n) for n, s in enumerate(scores)), encoding="utf-8")
    run = curate("lcsts", tmp_path / "run", tmp_path / "PART_I.txt").path
    assert manifest(run)["splits"]["train"]["read"] == 4


# ---- archives


def sparse_tar(path: Path, size: int) -> Path:
    """A tar of one sparse member that says it holds `size` bytes, all of them holes."""
    info = tarfile.TarInfo("train.tsv")
    info.type = tarfile.GNUTYPE_SPARSE
    head = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    head[483:495] = b"%011o\0" % size
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    path.write_bytes(bytes(head) + bytes(1024))
    return path


def test_holes_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "UNPACKED_BYTES", 1 << 20)
    path = sparse_tar(tmp_path / "a.tar", 1 << 30)
    with pytest.raises(UserError, match="unpacks to more than 1 MiB"):
        open_source([(None, path)], PATTERNS, "demo", tmp_path / "work")
    assert sum(p.stat().st_size for p in (tmp_path / "work").rglob("*") if p.is_file()) <= 1 << 20


@pytest.mark.parametrize(
    "kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK]
)
def test_a_header_larger_than_memory(tmp_path: Path, kind: bytes) -> None:
    """A header that says it goes on for gigabytes is damage, and is not read to its end."""
    info = tarfile.TarInfo("h")
    info.type, info.size = kind, 4 << 30
    path = tmp_path / "a.tar"
    path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(10_240))
    with pytest.raises(UserError, match=r"a\.tar: .*a header of 4,294,967,296 bytes"):
        open_source([(None, path)], PATTERNS, "demo", tmp_path / "work")


def test_xz_says_how_much_memory_it_takes(tmp_path: Path) -> None:
    plain, greedy = tmp_path / "train.tsv.xz", tmp_path / "greedy.tsv.xz"
    noise = rows_of(50_000).encode()
    plain.write_bytes(lzma.compress(noise) + lzma.compress(ROWS.encode()) + bytes(8))  # two streams, and filling
    source = open_source([(None, plain)], PATTERNS, "demo", tmp_path / "a")
    assert source.files[0].path.read_bytes() == noise + ROWS.encode()
    greedy.write_bytes(lzma.compress(ROWS.encode(), filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30}]))
    with pytest.raises(UserError, match="needs more than 256 MiB of memory"):
        open_source([(None, greedy)], PATTERNS, "demo", tmp_path / "b")
    plain.write_bytes(plain.read_bytes()[:-100])
    with pytest.raises(UserError, match="damaged"):
        open_source([(None, plain)], PATTERNS, "demo", tmp_path / "c")


def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    """Names in GBK, of a member of a tar and of a file in a folder, are read as such."""
    name = "训练train.tsv"
    with tarfile.open(tmp_path / "a.tar", "w", encoding="gbk", format=tarfile.GNU_FORMAT) as archive:
        info = tarfile.TarInfo(name)
        info.size = len(ROWS.encode())
        archive.addfile(info, io.BytesIO(ROWS.encode()))
    folder = tmp_path / "folder"
    folder.mkdir()
    try:
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name.encode("gbk"))).write_text(ROWS, encoding="utf-8")
    except OSError:
        pytest.skip("this file system takes no such names")
    for number, source in enumerate((tmp_path / "a.tar", folder)):
        run = curate("lcqmc", tmp_path / f"run{number}", source).path
        assert [entry["file"] for entry in manifest(run)["sources"]] == [name]


# ---- what a terminal would obey


def test_errors_show_no_escapes(tmp_path: Path) -> None:
    """Names and rows with escapes, line ends and marks of direction: shown as what they are, on one line."""
    evil = "\x1b[31m\x1b]0;owned\x07\u202e\x9b31m"
    folder = tmp_path / f"s{evil}\n"
    folder.mkdir()
    (folder / f"x{evil}\nerror: no.tsv").write_text(ROWS, encoding="utf-8")
    said = refused(tmp_path, "lcqmc", "--source", folder)
    assert r"\x1b[31m" in said and r"\u202e" in said and len(said.splitlines()) == 1
    bad = tmp_path / "train.tsv"
    bad.write_text(ROWS + f"只有一格{evil}\n" * 5, encoding="utf-8")
    assert len(refused(tmp_path, "lcqmc", "--source", bad).splitlines()) == 1
    bad.write_text(ROWS + f"你好{evil}\t好\t1\n", encoding="utf-8")
    shown = command("preview", "lcqmc", "--source", bad, cwd=tmp_path)
    assert shown.returncode == 0 and shown.stdout.replace("\n", "").isprintable()


def test_rows_that_look_like_templates(tmp_path: Path) -> None:
    """What a row says is text: no template, no markup."""
    said = ["{{ 7*7 }}{% raw %}", "</script><script>alert(1)</script>", "{# x #}", "${7*7} %s {0}"]
    source = tmp_path / "train.jsonl"
    lines = [json.dumps({"sentence1": text, "sentence2": "好", "label": "1"}) for text in said]
    source.write_text("\n".join(lines), encoding="utf-8")
    run = curate("lcqmc", tmp_path / "run", source, overrides=["source.reader=rows"]).path
    found = samples(run, "train")
    assert [row["meta"]["fields"]["a"] for row in found] == said
    assert all(text in row["instruction"] + row["input"] for text, row in zip(said, found, strict=True))


# ---- many of one kind


@pytest.mark.slow
def test_a_million_identical_rows(tmp_path: Path) -> None:
    """One is kept, the others name it, and ten times the rows take no more than ten times the memory."""
    peaks = []
    for count in (100_000, 1_000_000):
        source = tmp_path / "train.tsv"
        source.write_text("今天的天气怎么样呢\t天气好不好\t1\n" * count, encoding="utf-8")
        code, said, peak = peak_of(tmp_path, "recipe", "lcqmc", "--source", source, "--force")
        assert code == 0, said
        assert manifest(tmp_path / "run")["splits"]["train"] == {
            "read": count, "written": 1, "rejected": count - 1, "flagged": 0, "derived": 0,
        }  # fmt: skip
        assert [row["meta"]["id"] for row in samples(tmp_path / "run", "train")] == ["lcqmc/train/000000000"]
        assert {row["kept_id"] for row in rejects(tmp_path / "run")} == {"lcqmc/train/000000000"}
        peaks.append(peak)
    assert peaks[1] < 10 * peaks[0]
