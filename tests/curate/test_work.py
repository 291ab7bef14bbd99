"""Killed at any moment and started again: the bytes of an undisturbed run, and nothing left anywhere."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from helpers import command, curate, differing, recipe_file, tree

from curate.recipefile import load_recipe
from curate.types import UserError
from curate.work import work_folder

#: A run in a child that ends by SIGKILL when the `at`th call of a function comes ("": by itself or from outside).
SCRIPT = """
import importlib, json, os, signal, sys
from pathlib import Path
recipe, source, out, where, at, options = sys.argv[1:]
options = json.loads(options)
import curate.budget
if options.pop("spill", False):  # nothing is held in memory that can wait on disk
    curate.budget.MEMORY = 0
calls = 0
if where:
    module, _, name = where.rpartition(".")
    owner, _, kind = module.partition(":")
    owner = importlib.import_module(owner)
    owner = getattr(owner, kind) if kind else owner
    function = getattr(owner, name)
    def dying(*arguments, **named):
        global calls
        calls += 1
        if calls == int(at):
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **named)
    setattr(owner, name, dying)
from curate.pipeline import curate_recipe
from curate.progress import Progress
from curate.recipefile import load_recipe
report = Progress()
def told(text):
    report(text)
    print(text, flush=True)
curate_recipe(load_recipe(recipe), [source], out=Path(out), report=told, workers=2, **options)
"""
#: Phase -> the function in which the process dies, and at which call of it.
PHASES = {
    "reading": ("curate.store:Store.append", 5),
    "judging": ("curate.pipeline.judge", 1),
    "writing": ("curate.writing:_Keeper.keep", 4),
    "ending": ("curate.pipeline.finish", 1),
    "moving in": ("curate.work:Work.move_in", 1),
    "clearing up": ("curate.work:Work.clear", 1),
}
CHARS = "春眠不觉晓处闻啼鸟夜来风雨声花落知多少床前明月光疑是地上霜举头望低思故乡白日依山尽黄河入海流"


def texts(rows: int, seed: int) -> list[str]:
    """Made-up texts of 16 to 30 characters, some of them again or nearly so."""
    draw = random.Random(seed)
    made: list[str] = []
    for _ in range(rows):
        luck = draw.random()
        text = draw.choice(made) if made and luck < 0.2 else "".join(draw.choices(CHARS, k=draw.randint(16, 30)))
        made.append(text[:-1] + "，好" if luck < 0.1 else text)
    return made


def corpus(task: str, rows: int) -> tuple[str, str]:
    """The name and the text of a file in the layout that `recipe_file` gives each family."""
    one, other = texts(rows, 1), texts(rows, 2)
    pairs = list(zip(one, other, strict=True))
    if task == "pair":
        body = "".join(f"{a}\t{b}\t{n % 2}\n" for n, (a, b) in enumerate(pairs))
        return "train.tsv", "text_a\ttext_b\tlabel\n" + body + "缺一列\n"
    if task == "classification":
        return "train.tsv", "label\ttext_a\n" + "".join(f"{n % 2}\t{a}\n" for n, a in enumerate(one))
    if task == "dialogue":
        return "train.json", json.dumps([[a, b, a[:5]] for a, b in pairs], ensure_ascii=False)
    if task == "summarization":
        docs = (f"<doc id={n}>\n<summary>{a}</summary>\n<short_text>{b}</short_text>\n</doc>\n" for n, (a, b) in
                enumerate(pairs))  # fmt: skip
        return "train.txt", "".join(docs)
    qas = [
        {"context": a, "qas": [{"question": b, "id": str(n), "answers": [{"text": a[2:5], "answer_start": 2}]}]}
        for n, (a, b) in enumerate(pairs)
    ]
    return "train.json", json.dumps({"data": [{"title": "", "paragraphs": qas}]}, ensure_ascii=False)


@dataclass
class Bench:
    """A corpus with its recipe, a place for the runs, a folder for temporary files, and the undisturbed run."""

    folder: Path
    recipe: Path
    source: Path

    @property
    def place(self) -> Path:
        return self.folder / "place"

    @property
    def run(self) -> Path:
        return self.place / "run"

    def start(self, phase: str = "", **options: Any) -> subprocess.Popen[str]:
        where, at = PHASES.get(phase, ("", 0))
        words = [self.recipe, self.source, self.run, where, at, json.dumps({"slice_rows": 100} | options)]
        env = {**os.environ, "TMPDIR": str(self.folder / "tmp"), "PYTHONIOENCODING": "utf-8"}
        return subprocess.Popen(
            [sys.executable, "-c", SCRIPT, *map(str, words)], cwd=self.folder, env=env,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
        )  # fmt: skip

    def ends(self, child: subprocess.Popen[str], code: int) -> tuple[list[str], str]:
        """What the child said; waiting for it, one waits for the processes that it started too: they share its pipes.

        A process that outlives it would still be told by its environment.
        """
        out, said = child.communicate(timeout=120)
        assert child.returncode == code, said[-3000:]
        assert self.processes() == [] and list((self.folder / "tmp").iterdir()) == []
        return out.splitlines(), said

    def processes(self) -> list[str]:
        """Processes of this bench that are alive."""
        found = []
        for entry in Path("/proc").glob("[0-9]*/environ"):
            try:
                if f"TMPDIR={self.folder / 'tmp'}\0".encode() in entry.read_bytes():
                    found.append(entry.parent.name)
            except OSError:
                continue
        return found

    def left(self) -> set[str]:
        return {path.name for path in self.place.iterdir()}


def bench_of(folder: Path, task: str, rows: int = 1500) -> Bench:
    for name in ("place", "tmp", "source"):
        (folder / name).mkdir(parents=True)
    steps = ["normalise", "require", {"exact_dedup": {"by": "key"}}, "near_dedup", "leak_check"]
    recipe = recipe_file(folder / "recipe", task, [*steps, {"segment": {"as": "meta"}}])
    name, text = corpus(task, rows)
    (folder / "source" / name).write_text(text, encoding="utf-8")
    bench = Bench(folder, recipe, folder / "source" / name)
    curate(recipe, folder / "undisturbed", f"train={bench.source}")
    return bench


def differences(bench: Bench) -> list[str]:
    return differing(bench.folder / "undisturbed", bench.run)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return bench_of(tmp_path_factory.mktemp("shared"), "classification")


@pytest.fixture
def bench(shared: Bench) -> Bench:
    for name in ("place", "tmp"):
        shutil.rmtree(shared.folder / name)
        (shared.folder / name).mkdir()
    return shared


# ---- killed


@pytest.mark.parametrize("phase", PHASES)
def test_killed_in(phase: str, bench: Bench) -> None:
    """In every phase: no run in the place; the same command goes on from the slices there are, and says so."""
    bench.ends(bench.start(phase, spill=True), -signal.SIGKILL)
    assert bench.left() == ({"run", ".run.work"} if phase == "clearing up" else {".run.work"})
    slices = len(list((bench.place / ".run.work" / "slices").glob("*.slice")))
    out, said = bench.ends(bench.start(spill=True), 0)
    if phase == "clearing up":
        assert not said
    else:
        assert slices >= 4 and said == f"going on: {slices} slices were done before\n"
        # Once all slices are there, no file is read again.
        assert any(line.startswith("reading train") for line in out) == (phase == "reading")
    assert differences(bench) == [] and bench.left() == {"run"}


@pytest.mark.parametrize("phase", [*PHASES, "between"])
def test_killed_while_it_replaces(phase: str, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The older run is whole until the new one stands in its place: killed at worst, it is put back."""
    monkeypatch.setitem(PHASES, "between", ("pathlib:Path.rename", 2))  # of the two that move the new run in
    curate(bench.recipe, bench.run, f"train={bench.source}", seed=7)
    older = tree(bench.run)
    bench.ends(bench.start(phase, force=True), -signal.SIGKILL)
    with work_folder(bench.run):  # what the next process does first, whatever it is there for
        now = tree(bench.run)
    assert now == (tree(bench.folder / "undisturbed") if phase == "clearing up" else older)
    bench.ends(bench.start(force=True), 0)
    assert differences(bench) == [] and bench.left() == {"run"}


@pytest.mark.slow
@pytest.mark.parametrize("task", ["pair", "mrc", "summarization", "dialogue"])
def test_killed_and_going_on_by_family(task: str, tmp_path: Path) -> None:
    """Records of every shape come back from disk, with near-duplicates and words."""
    bench = bench_of(tmp_path, task)
    for phase in ("reading", "writing"):
        bench.ends(bench.start(phase, spill=True), -signal.SIGKILL)
    _, said = bench.ends(bench.start(spill=True), 0)
    assert "going on" in said
    assert differences(bench) == [] and bench.left() == {"run"}


@pytest.mark.slow
def test_killed_at_random_moments(bench: Bench) -> None:
    """Ten kills of one run at moments that a clock decides, each after the last one's slices; then it ends."""
    started = time.monotonic()
    bench.ends(bench.start(spill=True), 0)
    whole = time.monotonic() - started
    shutil.rmtree(bench.run)
    draw = random.Random(0)
    for _ in range(10):
        child = bench.start(spill=True)
        time.sleep(draw.random() * whole)
        child.kill()
        child.communicate(timeout=120)
        assert bench.processes() == [] and list((bench.folder / "tmp").iterdir()) == []
        assert bench.left() <= {"run", ".run.work"}
        if bench.run.exists():
            assert differences(bench) == []
            shutil.rmtree(bench.run)
    bench.ends(bench.start(spill=True), 0)
    assert differences(bench) == [] and bench.left() == {"run"}


def test_a_damaged_slice_is_made_again(bench: Bench) -> None:
    bench.ends(bench.start("judging", spill=True), -signal.SIGKILL)
    slices = sorted((bench.place / ".run.work" / "slices").glob("*.slice"))
    slices[1].write_bytes(slices[1].read_bytes()[:-100])
    data = bytearray(slices[3].read_bytes())
    data[len(data) // 2] ^= 1
    slices[3].write_bytes(data)
    slices[4].unlink()
    bench.ends(bench.start(spill=True), 0)
    assert differences(bench) == [] and bench.left() == {"run"}


def test_slices_of_another_run_are_thrown_away(bench: Bench) -> None:
    bench.ends(bench.start("judging", spill=True), -signal.SIGKILL)
    _, said = bench.ends(bench.start(spill=True, seed=3), 0)
    assert not said and bench.left() == {"run"}
    assert differing(bench.run, curate(bench.recipe, bench.folder / "seed", bench.source, seed=3).path) == []
    shutil.rmtree(bench.folder / "seed")


def test_a_mistake_in_between_costs_nothing(bench: Bench) -> None:
    """A wrong path typed after a kill: an error, and the slices are still there for the right command."""
    bench.ends(bench.start("judging", spill=True), -signal.SIGKILL)
    with pytest.raises(UserError, match="no such file"):
        curate(bench.recipe, bench.run, bench.folder / "none.tsv")
    _, said = bench.ends(bench.start(spill=True), 0)
    assert "going on" in said and differences(bench) == []


def test_small_runs_leave_no_slices(bench: Bench) -> None:
    """What fits in memory is not worth going on from."""
    bench.ends(bench.start("writing"), -signal.SIGKILL)
    assert [path.name for path in (bench.place / ".run.work" / "slices").iterdir()] == ["fingerprint"]
    _, said = bench.ends(bench.start(), 0)
    assert not said and differences(bench) == [] and bench.left() == {"run"}


# ---- interrupted


def test_interrupted_with_slices(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C after long work: the finished slices stay, nothing else does, and one line says where they are."""
    from curate import budget, pipeline

    def interrupt(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "judge", interrupt)
        patch.setattr(budget, "MEMORY", 0)
        with pytest.raises(
            KeyboardInterrupt, match=r"^interrupted; 15 finished slices stay in .*\.run\.work, and the"
        ):
            curate(bench.recipe, bench.run, f"train={bench.source}", slice_rows=100)
        left = {path.name for path in (bench.place / ".run.work").iterdir()}
        assert left == {"lock", "slices"} and bench.left() == {".run.work"}
        (bench.place / ".run.work" / "slices" / "fingerprint").write_text("", encoding="utf-8")
        patch.setattr(budget, "MEMORY", 1 << 20)
        with pytest.raises(KeyboardInterrupt, match=r"^$"):
            curate(bench.recipe, bench.run, f"train={bench.source}")
    assert bench.left() == set()


# ---- rows that are only shown


def test_showing_rows_leaves_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """No folder is made where nothing is unpacked, so none is left by a kill; another is for its owner alone."""
    from curate import preview

    packed = shutil.make_archive(str(bench.place / "packed"), "gztar", bench.source.parent)
    seen: list[list[int]] = []

    def look(*arguments: Any) -> list[preview.Row]:
        folders = [path for path in (bench.folder / "tmp").rglob("*") if path.is_dir() and not [*path.glob("*/")]]
        seen.append([path.stat().st_mode & 0o777 for path in folders])
        return [preview.Row("a", "a")]

    monkeypatch.setattr("tempfile.tempdir", str(bench.folder / "tmp"))
    monkeypatch.setattr(preview, "preview_block", look)
    for source in (bench.source, packed):
        assert "a" in preview.preview(load_recipe(str(bench.recipe)), [str(source)], 1)
        assert list((bench.folder / "tmp").iterdir()) == []
    assert seen == [[], [0o700]]


# ---- two at once


def test_two_at_once(bench: Bench) -> None:
    """The second one is told in one line, touches nothing, and may run when the first has ended."""
    words = ["recipe", bench.recipe, "--source", bench.source, "--out", bench.run]
    with work_folder(bench.run) as work:
        (work.folder / "mine").touch()
        done = command(*words, cwd=bench.folder)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert done.stderr.endswith(
            "run: another process is writing this run; wait until it has ended, or name another folder with --out\n"
        )
        assert (work.folder / "mine").exists()
        (work.folder / "mine").unlink()
    assert bench.left() == set()
    assert command(*words, cwd=bench.folder).returncode == 0


def test_a_run_that_cannot_be_written_to(bench: Bench) -> None:
    """Where nothing may be written, a run that is up to date is up to date; another one is refused."""
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    curate(bench.recipe, bench.run, f"train={bench.source}")
    bench.place.chmod(0o555)
    try:
        assert curate(bench.recipe, bench.run, f"train={bench.source}").status == "up to date"
        with pytest.raises(PermissionError):
            curate(bench.recipe, bench.run, f"train={bench.source}", seed=5, force=True)
    finally:
        bench.place.chmod(0o755)


def test_a_full_disk_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    """What the system says of a write names no file; one that it does name is told."""
    place = tmp_path / "runs" / "x"
    for named, told in ((None, place.parent), (str(tmp_path / "some.slice"), tmp_path / "some.slice")):
        with pytest.raises(UserError) as full, work_folder(place) as work:
            work.run.mkdir()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), named)
        (line,) = full.value.messages
        assert line.startswith(f"{told}: no space left on device; make room there")
        assert list(tmp_path.iterdir()) == []
