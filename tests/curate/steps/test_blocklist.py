"""blocklist: the user's words, found by one search for all and by a plain look at each."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from helpers import command, curate, manifest, recipe_file, rejects, samples
from hypothesis import given
from hypothesis import strategies as st
from rows import context, frame, said

from curate.steps import Context
from curate.steps.blocklist import Options, places, read_words, run
from curate.tasks import TASKS
from curate.types import UserError


@pytest.fixture
def words(tmp_path: Path) -> str:
    path = tmp_path / "words.txt"
    path.write_text("\ufeff# 注释\n赌博\n赌博网站\n\n ass \nVPN\n赌博\n", encoding="utf-8")
    return str(path)


def test_the_list_is_read(words: str) -> None:
    assert read_words(words) == (
        ("VPN", "ass", "赌博", "赌博网站"),
        hashlib.sha256(Path(words).read_bytes()).hexdigest(),
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "none.txt: the blocklist can't be read (No such file or directory); name a file of words"),
        (b"# nothing\n\n", "none.txt: the blocklist holds no words; write one a line, or take the step out"),
        ("好\n赌博".encode("gb18030"), "none.txt:1: the blocklist is not UTF-8; save it as UTF-8"),
    ],
)
def test_a_list_that_is_none_is_one_line(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "none.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as error:
        read_words(str(path))
    assert [line.removeprefix(f"{tmp_path}/") for line in error.value.messages] == [message]


def test_reject_and_report(words: str) -> None:
    texts = ["远离赌博", "class", "kick ASS!", "用vpn上网", None, "好"]
    rows = frame("classification", *({"text": text} for text in texts))
    for action, said_ in (("reject", "reject"), ("report", "flag")):
        outcome = run(rows, Options(file=words, action=action), context("classification"))  # type: ignore[arg-type]
        assert said(outcome.verdicts) == [(rid, said_, "blocked_word", None) for rid in (0, 2, 3)]
        assert outcome.rows.equals(rows)


def test_mask_takes_the_longest_and_keeps_lengths(words: str) -> None:
    text = "赌博网站和赌博，Vpn也不行，glass可以"
    answers = ["赌博网站", "博网站和", "glass"]
    row = {"context": text, "question": "什么？", "answers": answers, "answer_starts": [0, 1, 17]}
    outcome = run(frame("mrc", row), Options(file=words, action="mask"), context("mrc"))
    masked = outcome.rows.row(0, named=True)
    assert masked["context"] == "****和**，***也不行，glass可以"
    assert len(masked["context"]) == len(text)
    assert masked["answers"][0] == "****"
    assert masked["answer_starts"] == [0, 1, 17]
    assert outcome.counts == {"words_masked": 4}
    assert outcome.verdicts is None


def test_masked_answers_read_as_in_their_context(words: str) -> None:
    text = "他说赌博网站不好"
    row = {"context": text, "question": "？", "answers": ["说赌", "网站不好"], "answer_starts": [1, 4]}
    masked = run(frame("mrc", row), Options(file=words, action="mask"), context("mrc")).rows.row(0, named=True)
    assert (masked["context"], masked["answers"]) == ("他说****不好", ["说*", "**不好"])


def test_slots_and_turns(words: str) -> None:
    task = TASKS["classification"].extended(["slots"])
    schema = {"rid": pl.UInt64, **task.schema()}
    slots = [[{"name": "site", "value": "赌博"}, {"name": "x", "value": None}], None]
    data: dict[str, Any] = {"rid": [0, 1], "text": ["去赌博", "好"], "label": ["0", "0"], "slots": slots}
    outcome = run(pl.DataFrame(data, schema=schema), Options(file=words, action="mask"), Context(task, {}, 0))
    assert outcome.rows["slots"].to_list() == [[{"name": "site", "value": "**"}, {"name": "x", "value": None}], None]
    assert outcome.rows["text"].to_list() == ["去**", "好"]
    rows = frame("dialogue", {"turns": ["你好", "别赌博"]}, {"turns": ["赌", "博"]})
    assert [rid for rid, *_ in said(run(rows, Options(file=words), context("dialogue")).verdicts)] == [0]


WORDS = st.sets(st.text(st.sampled_from("赌博aB1*"), min_size=1, max_size=3), min_size=1, max_size=5)
TEXT = st.text(st.sampled_from("赌博aAbB1 *，"), max_size=12)


def by_hand(text: str, words: set[str]) -> list[tuple[int, int]]:
    """From the left, at each place the longest word that stands there by itself."""

    def letter(char: str) -> bool:
        return char.isascii() and char.isalnum()

    found, at = [], 0
    while at < len(text):
        ends = [
            at + len(word)
            for word in words
            if text[at : at + len(word)].lower() == word.lower()
            and not (letter(word[0]) and at and letter(text[at - 1]))
            and not (letter(word[-1]) and letter(text[at + len(word) : at + len(word) + 1]))
        ]
        if ends:
            found.append((at, max(ends)))
        at = max(ends, default=at + 1)
    return found


@given(WORDS, st.lists(TEXT, max_size=5))
def test_one_search_for_all_words_finds_what_a_plain_look_does(words: set[str], texts: list[str]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "words.txt"
        path.write_text("\n".join(sorted(words)), encoding="utf-8")
        rows = frame("classification", *({"text": text} for text in texts))
        verdicts = run(rows, Options(file=str(path)), context("classification")).verdicts
        masked = run(rows, Options(file=str(path), action="mask"), context("classification"))
    expected = [by_hand(text, words) for text in texts]
    assert [places(text, words) for text in texts] == expected
    assert [rid for rid, *_ in said(verdicts)] == [rid for rid, found in enumerate(expected) if found]
    for text, new, found in zip(texts, masked.rows["text"].to_list(), expected, strict=True):
        hidden = {at for start, end in found for at in range(start, end)}
        assert new == "".join("*" if at in hidden else char for at, char in enumerate(text))
    assert masked.counts.get("words_masked", 0) == sum(map(len, expected))


def test_a_changed_list_is_another_run(tmp_path: Path, words: str) -> None:
    recipe = recipe_file(tmp_path / "recipe", "pair", ["normalise", {"blocklist": {"file": words}}, "exact_dedup"])
    source = tmp_path / "train.tsv"
    source.write_text("赌博吗\t好的\t1\n翻墙\t好\t0\n今天\t明天\t0\n", encoding="utf-8")
    first = curate(recipe, tmp_path / "run", source)
    assert [(row["id"], row["reason"]) for row in rejects(first.path)] == [("own/train/000000000", "blocked_word")]
    assert manifest(first.path)["versions"]["blocklist"] == read_words(words)[1]
    Path(words).write_text("翻墙\n", encoding="utf-8")
    second = curate(recipe, tmp_path / "run", source, force=True)
    assert second.status == "written"
    assert second.fingerprint != first.fingerprint
    assert [row["meta"]["id"][-1] for row in samples(second.path, "train")] == ["0", "2"]


def test_a_missing_list_leaves_nothing_behind(tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path / "recipe", "pair", [{"blocklist": {"file": "nowhere.txt"}}])
    (tmp_path / "train.tsv").write_text("a\tb\t1\n", encoding="utf-8")
    done = command("recipe", recipe, "--source", "train.tsv", "--out", "run", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.strip().endswith(
        "error: nowhere.txt: the blocklist can't be read (No such file or directory); name a file of words"
    )
    assert not (tmp_path / "run").exists()
