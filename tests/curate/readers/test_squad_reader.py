"""SQuAD JSON and CMRC's own layout."""

from __future__ import annotations

import json

import polars as pl
import pytest

from curate.readers import cmrc, dialogue, squad, table
from curate.types import UserError


def tree(*questions, **paragraph):
    inner = {"context": "河水向东流。", "qas": list(questions), **paragraph}
    return {"version": "x", "data": [{"title": "河", "id": "D", "paragraphs": [inner]}]}


def ask(**fields):
    return {"question": "向哪流？", "id": "Q1", "answers": [{"text": "东", "answer_start": 3}], **fields}


def dump(value):
    return json.dumps(value, ensure_ascii=False)


GOOD = ("河", "河水向东流。", "向哪流？", ["东"], [3], "Q1")


@pytest.mark.parametrize(
    ("name", "rows", "answers", "unknown"),
    [
        ("cmrc2018/train.json", 10_142, 10_142, 0),
        ("cmrc2018/squad_dev.json", 3_219, 9_657, 193),
        ("drcd/DRCD_dev.json", 3_524, 7_048, 0),
    ],
)
def test_real_squad(corpora, read, head, name, rows, answers, unknown):
    found = read("squad", corpora / name)
    assert len(found.rows) == rows
    assert not found.rejects
    starts = found.frame["answer_starts"].explode()
    assert found.frame["answers"].list.len().sum() == answers
    assert (starts == -1).sum() == unknown
    assert squad.fits(head(corpora / name))
    assert not cmrc.fits(head(corpora / name))


def test_real_own_layout_has_the_same_records(corpora, read, head):
    own = read("cmrc", corpora / "cmrc2018/original_dev.json")
    other = read("squad", corpora / "cmrc2018/squad_dev.json")
    # Four questions have spaces at their end in the one file only.
    one, two = (
        found.frame.drop("answer_starts").with_columns(pl.col("question").str.strip_chars_end())
        for found in (own, other)
    )
    assert one.equals(two)
    assert set(own.frame["answer_starts"].explode()) == {-1}
    text = head(corpora / "cmrc2018/original_dev.json")
    assert cmrc.fits(text)
    assert not squad.fits(text)
    assert not dialogue.fits(text)
    assert not table.fits(text)


def test_one_question(read_as):
    found = read_as("squad", dump(tree(ask())))
    assert found.rows == [GOOD]
    assert found.counts == {}


@pytest.mark.parametrize(
    ("fields", "answers", "starts", "counts"),
    [
        (
            {"answers": [{"text": "FAKE_ANSWER_1", "answer_start": -1}]},
            [],
            [],
            {"placeholder_answers": 1, "unlabelled": 1},
        ),
        ({"answers": [{"text": "FAKE_X", "answer_start": -1}]}, [], [], {"placeholder_answers": 1, "unlabelled": 1}),
        ({"answers": [{"text": "FAKE_X", "answer_start": 0}]}, ["FAKE_X"], [0], {}),
        ({"answers": [{"text": 1963, "answer_start": 2}]}, ["1963"], [2], {"numeric_answers": 1}),
        ({"answers": [{"text": "东"}, {"text": "向东", "answer_start": -7}]}, ["东", "向东"], [-1, -1], {}),
        ({"answers": ["东", "向东"]}, ["东", "向东"], [-1, -1], {}),
        ({"answers": "东"}, ["东"], [-1], {}),
        ({"answers": {"text": "东", "answer_start": "3"}}, ["东"], [3], {}),
        ({"answers": []}, [], [], {"unlabelled": 1}),
        ({"answers": [{"text": "", "answer_start": 0}]}, [], [], {"empty_answers": 1, "unlabelled": 1}),
        ({"answers": None}, [], [], {"no_answers_key": 1, "unlabelled": 1}),
    ],
)
def test_answers(read_as, fields, answers, starts, counts):
    found = read_as("squad", dump(tree(ask(**fields))))
    assert found.rows == [(*GOOD[:3], answers, starts, "Q1")]
    assert found.counts == counts


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        ({"id": "Q2", "answers": []}, "no_question"),
        (ask(question=["?"]), "bad_question"),
        ("?", "bad_question"),
        (ask(answers=[{"text": None, "answer_start": 1}]), "bad_answer"),
        (ask(answers=[True]), "bad_answer"),
        (ask(answers=[["东"]]), "bad_answer"),
        (ask(answers=[{"text": "东", "answer_start": "?"}]), "bad_answer_start"),
    ],
)
def test_unreadable_questions(read_as, question, reason):
    for size in (1, 2, 10):
        found = read_as("squad", dump(tree(ask(), question, ask())), block_rows=size)
        assert found.rows == [GOOD, GOOD]
        assert found.reasons == [(1, reason, 0)]
        assert found.rejects[0].raw == dump(question)
        assert found.counts == {}


def test_other_shapes(read_as):
    paragraph = tree(ask())["data"][0]["paragraphs"][0]
    assert read_as("squad", dump(tree(ask())["data"])).rows == [GOOD]
    assert read_as("squad", dump([{"title": "河", **paragraph}])).rows == [GOOD]
    assert read_as("squad", dump(tree(ask(id=5)))).rows == [(*GOOD[:5], "5")]
    question = ask()
    del question["id"]
    assert read_as("squad", dump(tree(question))).rows == [(*GOOD[:5], "")]
    assert read_as("squad", '{"data": []}').rows == []
    found = read_as("squad", dump(["?", {"title": "x"}, {"paragraphs": 3}, {"paragraphs": [3, {"qas": [ask()]}]}]))
    reasons = ["not_an_article", "no_questions", "bad_paragraphs", "not_a_paragraph", "no_context"]
    assert [reason for _, reason, _ in found.reasons] == reasons
    assert read_as("squad", dump(tree(ask(), context=7))).reasons == [(0, "bad_context", 0)]


def test_half_an_emoji(read_as):
    found = read_as("squad", json.dumps(tree(ask(question="笑\ud83d？"), ask(question=["\ud83d"]))))
    assert found.frame["question"].to_list() == ["笑\ufffd？"]
    assert found.counts == {"lone_surrogates": 1}
    assert found.rejects[0].raw.encode()


@pytest.mark.parametrize("reader", ["squad", "cmrc"])
def test_broken_json(read_as, reader):
    text = json.dumps(tree(ask()), ensure_ascii=False, indent=1)
    for cut in range(1, len(text) - 1, 7):
        with pytest.raises(UserError, match=r"^file\d+\.txt:\d+:\d+: is not valid JSON"):
            read_as(reader, text[:cut])
    with pytest.raises(UserError, match="not a list of articles"):
        read_as(reader, '"x"')
    with pytest.raises(UserError, match="nested too deeply"):
        read_as(reader, "[" * 200_000)


def test_own_layout(read_as):
    questions = [
        {"query_text": "向哪流？", "query_id": "Q1", "answers": ["东", 7]},
        {"query_text": "谁？", "query_id": "Q2", "answers": "水"},
        {"query_id": "Q3"},
    ]
    own = [{"context_id": "C", "context_text": "河水向东流。", "title": "河", "qas": questions}]
    found = read_as("cmrc", dump(own))
    assert found.rows == [(*GOOD[:3], ["东", "7"], [-1, -1], "Q1"), (*GOOD[:2], "谁？", ["水"], [-1], "Q2")]
    assert found.reasons == [(2, "no_question", 0)]
    assert found.counts == {"numeric_answers": 1}
    assert read_as("cmrc", dump({"data": own})).rows == found.rows
