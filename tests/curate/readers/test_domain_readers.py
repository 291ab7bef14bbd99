"""Utterances by domain: JSON with intent and slots, and lines whose label is in the file's name."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.readers import ReadOptions, file_label, nlu
from curate.recipefile import load_recipe
from curate.types import UserError

LABELS = {"app": "应用", "train": "火车", "chat": "闲聊"}
EXTRA = ("intent", "slots")


def test_smp2019(read: Callable[..., Any], corpora: Path) -> None:
    path = corpora / "ecdt/smp2019_nlu_train.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    found = read("nlu", path, labels=load_recipe("ecdt").labels, extra=EXTRA)
    assert found.rejects == []
    assert found.rows == [
        (
            item["text"], item["domain"], item["intent"],
            [{"name": name, "value": value} for name, value in item["slots"].items()],
        )
        for item in data
    ]  # fmt: skip
    assert sum(slots == [] for *_, slots in found.rows) == 163
    assert Counter(row[2] for row in found.rows)["QUERY"] == 1598


def test_smp2017(read: Callable[..., Any], head: Callable[[Path], str], corpora: Path) -> None:
    totals: Counter[str] = Counter()
    marks = 0
    for path in sorted((corpora / "ecdt/smp2017_task1").rglob("*.txt")):
        raw = path.read_bytes()
        marks += raw.startswith(b"\xef\xbb\xbf")
        found = read("file_label", path, labels=load_recipe("ecdt").labels)
        lines = raw.decode("utf-8-sig").split("\r\n")[:-1]
        assert found.rows == [(line, path.stem.partition("_")[2]) for line in lines]
        assert file_label.fits(head(path)) and not nlu.fits(head(path))
        totals[path.parent.name] += len(found.rows)
    assert totals == {"train": 2299, "develop": 770}
    assert marks == 3


@pytest.mark.parametrize(
    ("item", "row"),
    [
        ({"text": "好", "domain": "app", "intent": "OPEN", "slots": {"a": "一"}},
         ("好", "app", "OPEN", [{"name": "a", "value": "一"}])),
        ({"text": "好", "domain": "应用", "slots": {}}, ("好", "app", "", [])),
        ({"text": "好", "domain": "APP", "slots": {"a": ["一", 2], "b": None}},
         ("好", "app", "", [{"name": "a", "value": "一"}, {"name": "a", "value": "2"}, {"name": "b", "value": ""}])),
        ({"text": 10086, "domain": "chat", "intent": None, "slots": None}, ("10086", "chat", "", [])),
        ({"text": "", "domain": "chat"}, ("", "chat", "", [])),
        ({"text": "好"}, ("好", None, "", [])),
        ({"text": "好", "domain": " ", "intent": float("nan")}, ("好", None, "", [])),
    ],
)  # fmt: skip
def test_an_item(read_as: Callable[..., Any], item: Any, row: tuple[Any, ...]) -> None:
    found = read_as("nlu", json.dumps([item], ensure_ascii=False), labels=LABELS, extra=EXTRA)
    assert found.rows == [row]
    assert found.counts == ({} if row[1] else {"unlabelled": 1})
    # A recipe that names no fields gets none.
    assert read_as("nlu", json.dumps([item]), labels=LABELS).rows == [row[:2]]


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ("好", "not_an_utterance"),
        (["好", "app"], "not_an_utterance"),
        ({"text": ["好"], "domain": "app"}, "no_text"),
        ({"text": True, "domain": "app"}, "no_text"),
        ({"text": "好", "domain": ["app"]}, "bad_label"),
        ({"text": "好", "domain": "home"}, "label_outside_list"),
        ({"text": "好", "domain": "app", "slots": "一"}, "bad_slots"),
        ({"text": "好", "domain": "app", "slots": {"a": {"b": 1}}}, "bad_slots"),
    ],
)
def test_an_item_that_is_no_utterance(read_as: Callable[..., Any], item: Any, reason: str) -> None:
    found = read_as("nlu", json.dumps([{"text": "行", "domain": "app"}, item], ensure_ascii=False), labels=LABELS)
    assert found.reasons == [(1, reason, 0)]
    assert json.loads(found.rejects[0].raw) == item


slot_names, texts = st.text(min_size=1, max_size=3), st.text(max_size=5)
items = st.fixed_dictionaries(
    {
        "text": texts, "domain": st.sampled_from(["app", "chat", "", "home"]), "intent": texts,
        "slots": st.dictionaries(slot_names, texts | st.integers(), max_size=3),
    }
)  # fmt: skip


@given(rows=st.lists(items, max_size=8), size=st.integers(1, 4), escaped=st.booleans())
def test_every_item_is_read_or_refused(read_as: Callable[..., Any], rows: list[Any], size: int, escaped: bool) -> None:
    content = json.dumps(rows, ensure_ascii=escaped)
    found = read_as("nlu", content, labels=LABELS, extra=EXTRA, block_rows=size)
    good = [row for row in rows if row["domain"] != "home"]
    assert [(text, label or "", intent) for text, label, intent, _ in found.rows] == [
        (row["text"], row["domain"], row["intent"]) for row in good
    ]
    assert [{slot["name"]: slot["value"] for slot in slots} for *_, slots in found.rows] == [
        {name: str(value) for name, value in row["slots"].items()} for row in good
    ]
    assert [number for number, *_ in found.reasons] == [i for i, row in enumerate(rows) if row["domain"] == "home"]


@pytest.mark.parametrize("content", ['[{"text": "好", "domain": "app"}', '[{"text": "好"}] 余', '{"domain": "app"}'])
def test_broken_json_says_where(read_as: Callable[..., Any], content: str) -> None:
    with pytest.raises(UserError, match=r"file\d+\.txt:1:\d+: is not valid JSON"):
        read_as("nlu", content, labels=LABELS)


def test_whole_lines_are_texts(read_as: Callable[..., Any]) -> None:
    """A tab or a comma belongs to its text; blank lines are counted; with or without a BOM it is the same."""
    content = "一句\r\n\r\n嘿\t0\ue415\r\n  \r\n二,句"
    for mark in ("", "\ufeff"):
        found = read_as("file_label", mark + content, labels=LABELS, name="x/develop_app.txt", extra=EXTRA)
        assert found.rows == [(text, "app", "", []) for text in ("一句", "嘿\t0\ue415", "二,句")]
        assert found.counts == {"blank_lines": 2}


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("train_app.txt", "app"), ("train/train_train.txt", "train"), ("develop_chat.txt", "chat"),
        ("dev-app.txt", "app"), ("app.txt", "app"), ("test_闲聊.txt", "chat"), ("TRAIN_APP.TXT", "app"),
    ],
)  # fmt: skip
def test_the_label_in_the_name(name: str, label: str) -> None:
    assert file_label.label_of(name, ReadOptions("classification", LABELS)) == label


@pytest.mark.parametrize("name", ["train.txt", "develop.txt", "train_home.txt", "train_app_2.txt", "data.txt"])
def test_a_name_without_a_label(name: str) -> None:
    """`train.txt` is no file about trains: it says nothing of its label."""
    with pytest.raises(UserError, match=r"none of the recipe's labels \(app, train, chat\); name the file"):
        file_label.label_of(name, ReadOptions("classification", LABELS))


def test_other_layouts_are_not_theirs() -> None:
    assert not nlu.fits('[{"context_id": "1", "context_text": "文"}]')
    assert not nlu.fits('{"version": "1.1", "data": []}')
    assert not nlu.fits("打开地图\n")
    for text in ('[{"text": "好", "domain": "app"}]', "<doc id=0>", '{"data": 1}', "<question id=1>", ""):
        assert not file_label.fits(text)
