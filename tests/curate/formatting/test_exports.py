"""The shapes a run is exported in: every row is one that LLaMA-Factory takes, and says what the sample says.

`LlamaFactory` is that program's own rule for a file, written down from its documentation (data/README.md) and from
what its converters do with a row; nothing of curate is in it.
"""

from __future__ import annotations

import json
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from contract import check_run
from helpers import RECIPES, REPOSITORY, SPLITS, command, curate, differing, lines, samples, tree
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.formatting.exports import FORMATS, Chat, export
from curate.formatting.features import hf_features
from curate.types import UserError

Row = dict[str, Any]
SUFFIXES = {"sharegpt": "sharegpt.jsonl", "messages": "messages.jsonl", "parquet": "parquet"}


class LlamaFactory:
    """An entry of dataset_info.json as that program understands it."""

    def __init__(self, entry: Row) -> None:
        self.formatting = entry.get("formatting", "alpaca")
        assert self.formatting in ("alpaca", "sharegpt")
        columns = {"prompt": "instruction", "query": "input", "response": "output", "messages": "conversations"}
        tags = {
            "role_tag": "from", "content_tag": "value", "user_tag": "human", "assistant_tag": "gpt",
            "observation_tag": "observation", "function_tag": "function_call", "system_tag": "system",
        }  # fmt: skip
        # Where there is one column or one tag, the others have no default left.
        self.columns = entry.get("columns", columns)
        self.tags = entry.get("tags", tags)

    def read(self, row: Row) -> tuple[list[tuple[str, str]], str]:
        """The turns as (user's or assistant's, text), and the system prompt; an AssertionError for an invalid row."""
        turns, system = self._alpaca(row) if self.formatting == "alpaca" else self._sharegpt(row)
        assert len(turns) >= 2 and len(turns) % 2 == 0, "human and gpt come in pairs"
        for number, (role, text) in enumerate(turns):
            assert role == ("user", "assistant")[number % 2], "human at odd places, gpt at even ones"
            assert isinstance(text, str) and text, "every message says something"
        assert isinstance(system, str)
        return turns, system

    def _alpaca(self, row: Row) -> tuple[list[tuple[str, str]], str]:
        turns = []
        for pair in row[self.columns["history"]] if "history" in self.columns else []:
            assert len(pair) == 2
            turns += [("user", pair[0]), ("assistant", pair[1])]
        query = [row[self.columns[name]] for name in ("prompt", "query") if row[self.columns[name]]]
        turns += [("user", "\n".join(query)), ("assistant", row[self.columns["response"]])]
        return turns, row[self.columns["system"]] if "system" in self.columns else ""

    def _sharegpt(self, row: Row) -> tuple[list[tuple[str, str]], str]:
        messages = row[self.columns["messages"]]
        role, content = self.tags["role_tag"], self.tags["content_tag"]
        system = row[self.columns["system"]] if "system" in self.columns else ""
        if messages and messages[0][role] == self.tags.get("system_tag"):
            system, messages = messages[0][content], messages[1:]
            assert system, "a system message says something"
        names = {self.tags["user_tag"]: "user", self.tags["assistant_tag"]: "assistant"}
        return [(names[message[role]], message[content]) for message in messages], system


def said(sample: Row) -> tuple[list[tuple[str, str]], str]:
    """What a sample says, by the contract of the run folder."""
    turns = [turn for user, answer in sample.get("history", []) for turn in (("user", user), ("assistant", answer))]
    message = sample["instruction"]
    if sample["input"]:
        message = f"{message}\n{sample['input']}" if message else sample["input"]
    return [*turns, ("user", message), ("assistant", sample["output"])], sample.get("system", "")


def info(run: Path) -> dict[str, Row]:
    return json.loads((run / "dataset_info.json").read_text(encoding="utf-8"))


def exported(path: Path) -> list[Row]:
    return pl.read_parquet(path).to_dicts() if path.suffix == ".parquet" else lines(path)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("exports")
    return {name: curate(name, folder / name, formats=["sharegpt,messages", "parquet"]).path for name in RECIPES}


# ---- every sample in every shape


@pytest.mark.parametrize("name", RECIPES)
def test_every_row_is_valid_and_says_what_the_sample_says(name: str, runs: dict[str, Path]) -> None:
    run = runs[name]
    entries = info(run)
    for split in SPLITS:
        rows = samples(run, split)
        answered = [row for row in rows if row["meta"]["labelled"]]
        for which, suffix in SUFFIXES.items():
            entry = entries.get(f"{name}_{split}_{which}")
            wanted = rows if which == "parquet" else answered
            path = run / "formats" / f"{split}.{suffix}"
            assert (entry is not None) == path.is_file() == bool(wanted)
            if entry is None:
                continue
            assert entry["file_name"] == f"formats/{path.name}"
            found = exported(path)
            assert [row["meta"] for row in found] == [row["meta"] for row in wanted]
            if which == "parquet":
                assert found == rows
                found = [row for row in found if row["meta"]["labelled"]]
            else:
                assert [row["id"] for row in found] == [row["meta"]["id"] for row in answered]
            program = LlamaFactory(entry)
            assert [program.read(row) for row in found] == [said(row) for row in answered]


@pytest.mark.parametrize("name", RECIPES)
def test_all_rows_of_a_run_have_the_same_keys_and_types(name: str, runs: dict[str, Path]) -> None:
    for which in ("sharegpt", "messages"):
        found = [row for split in SPLITS for row in lines(runs[name] / "formats" / f"{split}.{SUFFIXES[which]}")]
        features = hf_features(found[0])
        assert all(hf_features(row) == features for row in found)
    tables = [pl.read_parquet_schema(path) for path in sorted((runs[name] / "formats").glob("*.parquet"))]
    assert len(tables) == len([split for split in SPLITS if samples(runs[name], split)])
    assert all(schema == tables[0] for schema in tables)


@pytest.mark.parametrize("name", RECIPES)
def test_the_run_keeps_its_contract(name: str, runs: dict[str, Path]) -> None:
    assert check_run(runs[name]) == []


@pytest.mark.parametrize("name", ["pair", "mrc", "dialogue"])
def test_a_run_that_was_written_by_hand(name: str, tmp_path: Path) -> None:
    """The golden folders: another spacing of the same JSON, read by the contract alone."""
    run = tmp_path / name
    shutil.copytree(REPOSITORY / "tests" / "golden" / name, run)
    export(run, FORMATS)
    assert check_run(run) == []
    for key, entry in info(run).items():
        split = Path(entry["file_name"]).name.partition(".")[0]
        found = [row for row in exported(run / entry["file_name"]) if row["meta"]["labelled"]]
        answered = [row for row in samples(run, split) if row["meta"]["labelled"]]
        assert [LlamaFactory(entry).read(row) for row in found] == [said(row) for row in answered], key
    assert len(info(run)) == 12


def test_a_system_message_stands_only_where_there_is_one(runs: dict[str, Path]) -> None:
    rows = lines(runs["lccc"] / "formats" / "train.messages.jsonl")
    first = [row["messages"][0]["role"] for row in rows]
    assert first == ["system" if row["system"] else "user" for row in samples(runs["lccc"], "train")]
    assert {*first} == {"system", "user"}
    entries = info(runs["lccc"])
    assert entries["lccc_train_sharegpt"]["columns"] == {"messages": "conversations", "system": "system"}
    assert "system" not in lines(runs["lcqmc"] / "formats" / "train.sharegpt.jsonl")[0]
    assert info(runs["lcqmc"])["lcqmc_train_sharegpt"]["columns"] == {"messages": "conversations"}


def test_entries_are_those_that_are_documented(runs: dict[str, Path]) -> None:
    entry = info(runs["lcqmc"])["lcqmc_train_messages"]
    assert entry == {
        "file_name": "formats/train.messages.jsonl",
        "formatting": "sharegpt",
        "columns": {"messages": "messages"},
        "tags": {
            "role_tag": "role",
            "content_tag": "content",
            "user_tag": "user",
            "assistant_tag": "assistant",
            "system_tag": "system",
        },
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_datasets_loads_every_export(
    name: str, runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As LLaMA-Factory loads them: by the builder of the file's ending, nothing else said of their types."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    run, cache = runs[name], str(tmp_path)
    for key, entry in info(run).items():
        path = run / entry["file_name"]
        builder = "parquet" if path.suffix == ".parquet" else "json"
        loaded = datasets.load_dataset(builder, data_files=[str(path)], split="train", cache_dir=cache)
        assert loaded.to_list() == exported(path), key
    whole = datasets.load_dataset(str(run), cache_dir=cache)
    assert {split: part.to_list() for split, part in whole.items()} == {
        split: rows for split in SPLITS if (rows := samples(run, split))
    }


# ---- any sample

TEXT = st.text(st.characters(codec="utf-8"), max_size=6) | st.sampled_from(
    ["<image>", "\u2028换行", '引"号\\', "\r\n", "\x00", "😀"]
)
SAID = TEXT.filter(bool)


@st.composite
def drawn(draw: st.DrawFn) -> list[Row]:
    dialogue = draw(st.booleans())
    rows = []
    for number in range(draw(st.integers(1, 5))):
        row = {"instruction": draw(SAID), "input": draw(TEXT), "output": draw(TEXT)}
        if dialogue:
            history = draw(st.lists(st.tuples(SAID, SAID).map(list), max_size=3))
            row |= {"history": history, "system": draw(TEXT)}
        references = draw(st.lists(TEXT, max_size=2))
        slots = [{"name": value, "value": value} for value in draw(st.lists(TEXT, max_size=2))]
        meta = {"id": f"t/{number}{draw(TEXT)}", "labelled": bool(row["output"]), "score": draw(st.floats(0, 1))}
        rows.append({**row, "meta": {**meta, "n": number, "references": references, "slots": slots}})
    return rows


@settings(max_examples=60, deadline=None)
@given(drawn())
def test_any_sample_keeps_its_content(rows: list[Row]) -> None:
    features = hf_features(rows[0])
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "train.jsonl"), Path(folder, "out")
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        source.write_text(text, encoding="utf-8", newline="\n")
        answered = [row for row in rows if row["output"]]
        keys = {key: key for key in ("history", "system") if key in rows[0]}
        columns = {"prompt": "instruction", "query": "input", "response": "output", **keys}
        for which, (_, shape) in FORMATS.items():
            wanted = answered if isinstance(shape, Chat) else rows
            assert shape.write(source, target, features) == (len(wanted), len(rows) - len(wanted))
            found = lines(target) if isinstance(shape, Chat) else pl.read_parquet(target).to_dicts()
            assert [row["meta"] for row in found] == [row["meta"] for row in wanted], which
            program = LlamaFactory(shape.entry({"file_name": "x", "formatting": "alpaca", "columns": columns}))
            read = [program.read(row) for row in found if isinstance(shape, Chat) or row["output"]]
            assert read == [said(row) for row in answered], which


# ---- the same bytes, whole files


def test_formats_asked_for_later_and_in_another_order(runs: dict[str, Path], tmp_path: Path) -> None:
    run = curate("lccc", tmp_path / "run").path
    for which in ("parquet", "messages", "sharegpt"):
        done = curate("lccc", run, formats=[which])
        assert done.status == "up to date"
        assert done.notes == [f"{which}: train 56, validation 14, test 13 rows"]
    assert differing(runs["lccc"], run) == []
    before = tree(run)
    assert curate("lccc", run, formats=["messages"]).notes == ["messages: already in formats/"]
    assert curate("lccc", run).notes == []
    assert tree(run) == before


@pytest.mark.parametrize("threads", ["1", "3"])
def test_bytes_do_not_depend_on_the_process(threads: str, runs: dict[str, Path], tmp_path: Path) -> None:
    words = ["recipe", "nlpcc-kbqa", "--out", tmp_path / "run", "--format", "parquet,messages", "--format", "sharegpt"]
    env = {"POLARS_MAX_THREADS": threads, "PYTHONHASHSEED": threads, "LC_ALL": "C"}
    done = command(*words, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert differing(runs["nlpcc-kbqa"], tmp_path / "run") == []
    assert "note: sharegpt: train 52, validation 10, test 13 rows; left out, having no answer: test 1\n" in done.stdout


def test_blocks_do_not_show(runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.formatting.exports._BLOCK", 100)
    run = curate("ecdt", tmp_path / "run", formats=["parquet"]).path
    for path in (run / "formats").iterdir():
        assert path.read_bytes() == (runs["ecdt"] / "formats" / path.name).read_bytes()


def test_a_lost_file_is_made_again(runs: dict[str, Path], tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(runs["lcsts"], run)
    (run / "formats" / "validation.parquet").unlink()
    export(run, ["parquet"])
    assert differing(runs["lcsts"], run) == []


def test_a_split_without_answers_has_no_conversations(tmp_path: Path) -> None:
    source = tmp_path / "test.txt"
    source.write_text("今天天气好吗\t天气怎么样\n几点开门\t什么时候营业\n", encoding="utf-8")
    words = ["recipe", "lcqmc", "--source", f"test={source}", "--set", "source.columns=a,b"]
    done = command(*words, "--out", "run", "--format", "messages,parquet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "note: messages: no rows; left out, having no answer: test 2\n" in done.stdout
    assert "note: parquet: test 2 rows\n" in done.stdout
    assert [path.name for path in (tmp_path / "run" / "formats").iterdir()] == ["test.parquet"]
    assert list(info(tmp_path / "run")) == ["lcqmc_test", "lcqmc_test_parquet"]


def limited(size: int) -> Callable[[], None]:
    """For the child: no file may grow beyond `size` bytes; writing more fails as on a full disk."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return limit


@pytest.mark.parametrize("which", FORMATS)
def test_a_full_disk_leaves_the_run_as_it_was(which: str, tmp_path: Path) -> None:
    run = curate("chnsenticorp", tmp_path / "run").path
    before = tree(run)
    words = ["recipe", "chnsenticorp", "--out", "run", "--format", which]
    done = command(*words, cwd=tmp_path, preexec_fn=limited(3000))
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    assert tree(run) == before
    assert not (run / "formats").exists()


def test_what_a_killed_process_left_is_removed(runs: dict[str, Path], tmp_path: Path) -> None:
    run = curate("lcqmc", tmp_path / "run").path
    (run / "formats").mkdir()
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    pid = int(gone.stdout)
    for name in (f"formats/.train.parquet.partial-{pid}", f".dataset_info.json.partial-{pid}"):
        (run / name).write_text("half", encoding="utf-8")
    export(run, ["sharegpt", "messages", "parquet"])
    assert differing(runs["lcqmc"], run) == []


# ---- wrong input


def test_an_unknown_format_is_said_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^--format mesages: unknown; did you mean 'messages'\?$"):
        curate("lcqmc", tmp_path / "run", formats=["parquet, mesages"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"lcqmc_train": {}}', '{"x": {"file_name": "train.jsonl"}}'])
def test_a_damaged_dataset_info_is_one_line(text: str, tmp_path: Path) -> None:
    run = curate("lcqmc", tmp_path / "run").path
    (run / "dataset_info.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"dataset_info\.json: does not name the files of the run; remove .* again$"):
        export(run, ["parquet"])
    assert not (run / "formats").exists()


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a run folder"):
        export(tmp_path, ["parquet"])


# ---- memory


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="needs /proc")
def test_memory_does_not_grow_with_the_run(tmp_path: Path) -> None:
    """A split of 200 MB in all three formats, in less memory than the split and an interpreter with polars take."""
    run = curate("lccc", tmp_path / "run").path
    text = (run / "train.jsonl").read_bytes()
    copies = 200_000_000 // len(text)
    with (run / "train.jsonl").open("wb") as out:
        for _ in range(copies):
            out.write(text)
    # Not ru_maxrss, which a child takes over from the process that started it.
    script = (
        "import sys; from pathlib import Path; from curate.formatting.exports import export\n"
        "print(*export(Path(sys.argv[1]), ['sharegpt', 'messages', 'parquet']))\n"
        "print(Path('/proc/self/status').read_text(encoding='utf-8').split('VmHWM:')[1].split()[0])"
    )
    done = subprocess.run([sys.executable, "-c", script, run], capture_output=True, encoding="utf-8", check=True)
    remark, peak_kb = done.stdout.split("\n")[:2]
    assert remark.count(f"train {56 * copies:,}") == 3
    assert int(peak_kb) < 400_000
