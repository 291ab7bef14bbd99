"""Wrong input, and a machine that refuses: `error: …` lines, exit 2, no traceback, and nothing half-written."""

from __future__ import annotations

import json
import os
import resource
import signal
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import command, curate, recipe_file, tree

from curate.resources import recipe_path, sample_path

PAIR_STEPS: list[Any] = ["normalise", "require", "exact_dedup", "leak_check"]


class Bench:
    """A place to fail in: `home` to start in, `place` where the run would go, `tmp` for temporary files."""

    def __init__(self, folder: Path) -> None:
        self.home, self.place, self.tmp = folder / "home", folder / "place", folder / "tmp"
        for path in (self.home, self.place, self.tmp):
            path.mkdir()

    def file(self, name: str, data: str | bytes) -> Path:
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode("utf-8") if isinstance(data, str) else data)
        return path

    def run(self, *words: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        return command(*words, cwd=self.home, env={"TMPDIR": str(self.tmp)}, **options)

    def refuse(self, *words: str | Path, code: int = 2, **options: Any) -> str:
        """Run `recipe WORDS`, which must fail as it should; returns stderr."""
        before = tree(self.home)
        done = self.run("recipe", *words, "--out", self.place / "deep" / "run", **options)
        self.check(done, code)
        assert tree(self.home) == before, "files appeared in the folder that the command was started in"
        return done.stderr

    def check(self, done: subprocess.CompletedProcess[str], code: int = 2) -> None:
        assert done.returncode == code, (done.returncode, done.stdout[-500:], done.stderr[-3000:])
        said = done.stderr.splitlines()
        assert said and all(line.startswith("error: ") for line in said), done.stderr[-3000:]
        assert "Traceback" not in done.stdout + done.stderr
        assert "written" not in done.stdout
        self.is_clean()

    def is_clean(self) -> None:
        assert sorted(self.place.rglob("*")) == [], "something was left where the run would have gone"
        assert [path.name for path in self.tmp.iterdir() if path.name.startswith("jingtiao")] == []


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def pairs(rows: int, label: str = "1") -> str:
    return "text_a\ttext_b\tlabel\n" + "".join(f"第{n}个问题\t第{n}问\t{label}\n" for n in range(rows))


# ---- sources


def png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pixels = zlib.compress(b"".join(b"\0" + bytes(range(90)) for _ in range(30)))
    head = struct.pack(">IIBBBBB", 30, 30, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def bomb(path: Path) -> Path:
    """A zip of a few hundred kilobytes that unpacks to 300 MiB."""
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as target,
        target.open("train.tsv", "w", force_zip64=True) as member,
    ):
        for _ in range(300):
            member.write(b"\0" * (1 << 20))
    return path


def damaged_zip(bench: Bench) -> Path:
    path = bench.home / "damaged.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("train.tsv", pairs(2000))
    data = bytearray(path.read_bytes())
    data[200:260] = bytes(60)
    path.write_bytes(data)
    return path


def truncated_sample(recipe: str, name: str) -> bytes:
    folder = sample_path(recipe)
    assert folder is not None
    data = (folder / name).read_bytes()
    return data[: len(data) // 2]


#: what → (recipe, the source it makes, a piece of the message)
SOURCES: dict[str, tuple[str, Callable[[Bench], Path], str]] = {
    "missing file": ("lcqmc", lambda b: b.home / "nowhere.tsv", "nowhere.tsv"),
    "empty file": ("lcqmc", lambda b: b.file("train.tsv", ""), "train.tsv"),
    "white space only": ("lcqmc", lambda b: b.file("train.tsv", "\n \n\n"), "train.tsv"),
    "header only": ("lcqmc", lambda b: b.file("train.tsv", "text_a\ttext_b\tlabel\n"), "no rows"),
    "empty folder": ("lcqmc", lambda b: b.file("empty/.keep", "").parent, "empty"),
    "folder of other files": ("lcqmc", lambda b: b.file("other/notes.md", "# 笔记\n").parent, "notes.md"),
    "picture named .tsv": ("lcqmc", lambda b: b.file("train.tsv", png()), "PNG"),
    "random bytes": ("lcqmc", lambda b: b.file("train.tsv", bytes(range(256)) * 40), "train.tsv"),
    "prose": ("lcqmc", lambda b: b.file("train.txt", "这不是句对。\n只是几行文字。\n一共三行。\n"), "train.txt"),
    "JSON where TSV was meant": ("lcqmc", lambda b: b.file("train.tsv", '[{"a": 1}]\n'), "train.tsv"),
    "TSV where JSON was meant": ("cmrc2018", lambda b: b.file("train.json", pairs(9)), "train.json"),
    "JSON of another corpus": ("cmrc2018", lambda b: b.file("train.json", '{"rows": [1, 2]}'), "train.json"),
    "one text a line for lcsts": ("lcsts", lambda b: b.file("PART_I.txt", "一段文字\n又一段\n"), "PART_I.txt"),
    "truncated squad": (
        "cmrc2018", lambda b: b.file("train.json", truncated_sample("cmrc2018", "cmrc2018_train.json")), "train.json",
    ),
    "truncated list": (
        "lccc", lambda b: b.file("LCCC_train.json", truncated_sample("lccc", "LCCC_train.json")), "LCCC_train.json",
    ),
    "labels outside the list": ("lcqmc", lambda b: b.file("train.tsv", pairs(20, label="很像")), "label_outside_list"),
    "too few columns": (
        "lcqmc", lambda b: b.file("train.tsv", pairs(20) + "没有表格\n" * 21), "too_few_columns",
    ),
    "damaged zip": ("lcqmc", damaged_zip, "damaged.zip"),
    "half a zip": (
        "lcqmc", lambda b: b.file("half.zip", damaged_zip(b).read_bytes()[:1500]), "half.zip",
    ),
    "zip bomb": ("lcqmc", lambda b: bomb(b.home / "bomb.zip"), "bomb.zip"),
    "zip without a corpus": (
        "lcqmc", lambda b: zipped(b, {"notes.md": "# 笔记"}), "notes.md",
    ),
    "rar": ("lcqmc", lambda b: b.file("corpus.rar", b"Rar!\x1a\x07\x01\x00" + bytes(200)), "corpus.rar"),
}  # fmt: skip


def zipped(bench: Bench, members: dict[str, str]) -> Path:
    path = bench.home / "corpus.zip"
    with zipfile.ZipFile(path, "w") as target:
        for name, text in members.items():
            target.writestr(name, text)
    return path


@pytest.mark.parametrize("what", SOURCES)
def test_wrong_source(what: str, bench: Bench) -> None:
    recipe, make, piece = SOURCES[what]
    assert piece in bench.refuse(recipe, "--source", make(bench))


def test_archive_members_choose_no_path(bench: Bench) -> None:
    """Names that climb out of the archive: the file is read, and nothing is written where the name says."""
    path = zipped(bench, {"../../../place/evil/train.tsv": pairs(5), "/tmp/evil-train.tsv": "x"})
    done = bench.run("recipe", "lcqmc", "--source", path, "--out", bench.home / "run")
    assert sorted(bench.place.rglob("*")) == []
    assert not Path("/tmp/evil-train.tsv").exists()
    assert done.returncode in (0, 2), done.stderr


def test_unreadable_file(bench: Bench) -> None:
    path = bench.file("train.tsv", pairs(5))
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    assert "train.tsv" in bench.refuse("lcqmc", "--source", path)


def test_a_failure_late_in_a_file(bench: Bench) -> None:
    """JSON that breaks off after 5,000 dialogues, when slices have been read already."""
    text = json.dumps([["你好", f"第{n}句"] for n in range(5000)], ensure_ascii=False)
    assert "train.json" in bench.refuse("lccc", "--source", bench.file("train.json", text[:-40]))


# ---- recipes and options

WRONG_WORDS: dict[str, tuple[list[str], str]] = {
    "unknown recipe": (["lcqcm"], "lcqmc"),
    "missing recipe file": (["./none.yaml"], "none.yaml"),
    "unknown step": (["lcqmc", "--set", "exactdedup.by=key"], "exact_dedup"),
    "unknown option": (["lcqmc", "--set", "exact_dedup.bye=key"], "by"),
    "wrong value": (["lcqmc", "--set", "exact_dedup.by=nothing"], "by"),
    "not a setting": (["lcqmc", "--set", "exact_dedup"], "exact_dedup"),
    "unknown flag": (["lcqmc", "--sorce", "x"], "--sorce"),
    "limit 0": (["lcqmc", "--limit", "0"], "limit"),
    "workers 0": (["lcqmc", "--workers", "0"], "workers"),
    "seed in words": (["lcqmc", "--seed", "eins"], "seed"),
    "source without a path": (["lcqmc", "--source", "train="], "train="),
    "columns that aren't there": (["lcqmc", "--set", "source.columns=a,b"], "column"),
    "two mistakes at once": (["lcqmc", "--set", "exact_dedup.bye=1", "--set", "leak_check.bye=1"], "leak_check"),
}


@pytest.mark.parametrize("what", WRONG_WORDS)
def test_wrong_words(what: str, bench: Bench) -> None:
    words, piece = WRONG_WORDS[what]
    assert piece in bench.refuse(*words)


LCQMC = recipe_path("lcqmc").read_text(encoding="utf-8")

#: what → (the recipe file's text, a piece of the message)
WRONG_RECIPES: dict[str, tuple[str, str]] = {
    "YAML syntax": (LCQMC.replace("steps:", "steps: ["), "own.yaml:"),
    "tab": (LCQMC.replace("  - normalise", "\t- normalise"), "own.yaml:"),
    "unknown step": (LCQMC.replace("- normalise", "- normalize"), "normalise"),
    "unknown option": (LCQMC.replace("{by: text}", "{buy: text}"), "own.yaml:"),
    "a judgement after a local step": (
        LCQMC.replace("  - segment: {as: meta}", "  - segment\n  - cap: {per: label, max: 5}"), "segment",
    ),
    "text changed after the answer was located": (
        recipe_path("cmrc2018").read_text(encoding="utf-8").replace("  - locate_answer\n", "")
        .replace("  - normalise\n", "  - locate_answer\n  - normalise\n"), "locate_answer",
    ),
    "a step of another task": (LCQMC.replace("  - require", "  - locate_answer"), "mrc"),
    "no labels": (LCQMC.replace('labels: {"0": 不同, "1": 相同}\n', ""), "labels"),
    "unknown reader": (LCQMC.replace("reader: table", "reader: tabel"), "table"),
    "unknown templates": (LCQMC.replace("templates: pair", "templates: pairs"), "pair"),
    "templates of another task": (LCQMC.replace("templates: pair", "templates: mrc"), "mrc"),
    "not a mapping": ("- 1\n- 2\n", "own.yaml"),
    "empty": ("", "own.yaml"),
    "not UTF-8": ("", "own.yaml"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG_RECIPES)
def test_wrong_recipe(what: str, bench: Bench) -> None:
    text, piece = WRONG_RECIPES[what]
    path = bench.file("own.yaml", LCQMC.encode("gb18030") if what == "not UTF-8" else text)
    said = bench.refuse(path, "--source", bench.file("train.tsv", pairs(5)))
    assert piece in said
    if what == "templates of another task":
        assert len(said.splitlines()) == 1
    else:
        assert path.name in said


TEMPLATES: dict[str, tuple[str, str]] = {
    "attributes of Python": ("{{ a.__class__ }}{{ b }}", "2"),
    "a way to the system": ("{{ ''.__class__.__mro__[1].__subclasses__() }}{{ a }}", "2"),
    "globals of a filter": ("{{ a.upper.__globals__ }}", "2"),
    "unknown variable": ("{{ aa }}{{ b }}", "unknown variable"),
    "an endless loop": ("{% for i in range(10**9) %}x{% endfor %}{{ a }}", "2"),
    "syntax": ("{{ a }", "template"),
    "include": ("{% include '/etc/passwd' %}{{ a }}", "2"),
}


@pytest.mark.parametrize("what", TEMPLATES)
def test_templates_reach_nothing(what: str, bench: Bench) -> None:
    """A template that asks for more than a row's fields is an error, or fails on every row: it never gets it."""
    text, piece = TEMPLATES[what]
    templates = [{"id": "t/01", "instruction": "答", "input": text, "output": "{{ answer }}"}]
    recipe = recipe_file(bench.home / "recipe", "pair", PAIR_STEPS, templates=templates)
    source = bench.file("train.tsv", pairs(5))
    done = bench.run("recipe", recipe, "--source", source, "--out", bench.place / "run")
    if done.returncode == 2:
        bench.check(done)
        assert piece == "2" or piece in done.stderr
        return
    assert done.returncode == 0 and piece == "2", done.stderr
    assert not (bench.place / "run" / "train.jsonl").exists()
    said = (bench.place / "run" / "rejected.jsonl").read_text(encoding="utf-8")
    assert said.count('"template_error"') == 5
    assert "class" not in said and "root:" not in said


# ---- the out folder


def test_out_is_something_else(bench: Bench) -> None:
    """A folder that is no run is never touched, not even with --force."""
    (bench.home / "thesis").mkdir()
    (bench.home / "thesis" / "chapter.txt").write_text("第一章", encoding="utf-8")
    before = tree(bench.home)
    for words in ([], ["--force"]):
        bench.check(bench.run("recipe", "lcqmc", "--out", "thesis", *words))
        assert tree(bench.home) == before


def test_out_is_a_file(bench: Bench) -> None:
    bench.file("taken", "x")
    for out in ("taken", "taken/run"):
        bench.check(bench.run("recipe", "lcqmc", "--out", out))
    assert tree(bench.home) == {"taken": b"x"}


def test_out_holds_another_run(bench: Bench) -> None:
    run = curate("lcqmc", bench.home / "run").path
    before = tree(run)
    done = bench.run("recipe", "lcqmc", "--out", "run", "--seed", "7")
    bench.check(done)
    assert "--force" in done.stderr
    assert tree(run) == before
    # A forced run that fails leaves the older one as it was.
    bench.check(bench.run("recipe", "lcqmc", "--out", "run", "--force", "--source", bench.file("train.tsv", png())))
    assert tree(run) == before
    assert sorted(path.name for path in bench.home.iterdir()) == ["run", "train.tsv"]


def test_out_may_not_be_written(bench: Bench) -> None:
    bench.place.chmod(0o555)
    try:
        if os.access(bench.place, os.W_OK):
            pytest.skip("this user may write everywhere")
        bench.refuse("lcqmc")
    finally:
        bench.place.chmod(0o755)


def test_out_where_nobody_may_write(bench: Bench) -> None:
    """/proc takes no folders, from root neither."""
    if not Path("/proc/self").is_dir():
        pytest.skip("no /proc here")
    bench.check(bench.run("recipe", "lcqmc", "--out", "/proc/jingtiao/run"))


def limited(size: int) -> Callable[[], None]:
    """For the child: no file may grow beyond `size` bytes; writing more fails as on a full disk."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return limit


@pytest.mark.parametrize("size", [0, 1000, 60_000])
def test_disk_full(size: int, bench: Bench) -> None:
    """No room for the first byte, in the middle of a file, or only for the small files."""
    source = bench.file("train.tsv", pairs(2000))
    bench.refuse("lcqmc", "--source", source, "--set", "segment.as=off", preexec_fn=limited(size))


def test_disk_full_while_unpacking(bench: Bench) -> None:
    path = zipped(bench, {"train.tsv": pairs(20_000)})
    bench.refuse("lcqmc", "--source", path, preexec_fn=limited(100_000))


def test_disk_full_while_spilling(bench: Bench) -> None:
    """Slices that wait on disk find no room: the same one line."""
    script = (
        "import sys, curate.budget\n"
        "curate.budget.MEMORY = 0\n"
        "from curate.cli import main\n"
        "sys.exit(main())\n"
    )  # fmt: skip
    words = ["recipe", "lcqmc", "--source", str(bench.file("train.tsv", pairs(20_000))), "--set", "segment.as=off"]
    done = subprocess.run(
        [sys.executable, "-c", script, *words, "--out", str(bench.place / "run")],
        cwd=bench.home, env={**os.environ, "TMPDIR": str(bench.tmp)}, capture_output=True, encoding="utf-8",
        timeout=120, check=False, preexec_fn=limited(100_000),
    )  # fmt: skip
    bench.check(done)


# ---- interrupted, killed


def started(bench: Bench, source: Path, *words: str) -> subprocess.Popen[str]:
    """A run that has begun to write, in a process group of its own (as a terminal would have it)."""
    child = subprocess.Popen(
        [sys.executable, "-m", "curate", "recipe", "lcqmc", "--source", str(source), "--out", str(bench.place / "run"),
         *words],
        cwd=bench.home, env={**os.environ, "TMPDIR": str(bench.tmp)}, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip
    for _ in range(3000):
        if any(bench.place.iterdir()):
            return child
        time.sleep(0.01)
    raise AssertionError("the run never began")


@pytest.mark.parametrize("after", [0.0, 0.4, 1.0])
def test_interrupted(after: float, bench: Bench) -> None:
    """Ctrl-C at any time, segmenting processes included: 130, one line, nothing left."""
    child = started(bench, bench.file("train.tsv", pairs(400_000)), "--workers", "2")
    time.sleep(after)
    os.killpg(child.pid, signal.SIGINT)
    out, said = child.communicate(timeout=60)
    assert child.returncode == 130, (child.returncode, out, said[-3000:])
    assert [line for line in said.splitlines() if not line.startswith("error: ")] == []
    bench.is_clean()


@pytest.mark.parametrize("after", [0.0, 0.5])
def test_killed(after: float, bench: Bench) -> None:
    """kill -9 leaves nothing that looks like a run; the next one clears up and succeeds."""
    source = bench.file("train.tsv", pairs(400_000))
    child = started(bench, source, "--workers", "2")
    time.sleep(after)
    os.kill(child.pid, signal.SIGKILL)
    child.communicate(timeout=60)  # ends only when the segmenting processes have closed their ends too
    assert not (bench.place / "run").exists()
    assert [path.name for path in bench.place.iterdir()] == [".run.work"] and not any(bench.tmp.iterdir())
    again = bench.run("recipe", "lcqmc", "--source", source, "--limit", "100", "--out", bench.place / "run")
    assert again.returncode == 0, again.stderr
    assert [path.name for path in bench.place.iterdir()] == ["run"]
