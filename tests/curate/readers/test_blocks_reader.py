"""Blocks of question, triple and answer lines."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.readers import blocks, cmrc, lcsts, squad

RULE = "=" * 50


def test_real_blocks(corpora, read, head):
    """Every question, answer and id, in the file's order, against the lines of the file alone."""
    path = corpora / "nlpcc/nlpcc2017.kbqa.test"
    lines = path.read_bytes().decode("utf-8").split("\r\n")
    published = {
        kind: [re.fullmatch(f"<{kind} id=([0-9]+)>\t(.*)", line) for line in lines if line.startswith(f"<{kind}")]
        for kind in ("question", "answer")
    }
    found = read("blocks", path)
    assert len(found.rows) == 7631
    assert found.counts == {}
    assert not found.rejects
    assert found.frame["source_id"].to_list() == [line[1] for line in published["question"]]
    assert found.frame["question"].to_list() == [line[2] for line in published["question"]]
    assert found.frame["answers"].to_list() == [[line[2]] for line in published["answer"]]
    assert set(found.frame["context"]) == {""}
    text = head(path)
    assert blocks.fits(text)
    assert not any(reader.fits(text) for reader in (squad, cmrc, lcsts))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("rule", [f"{RULE}\n", ""])
def test_blocks(read_as, end, rule):
    """With triples or without, answers apart or in one line, rules or none between the blocks."""
    text = (
        f"<question id=8>\t谁写的？\n<triple id=8>\t书 ||| 作者 ||| 甲\n<answer id=8>\t甲\n{rule}"
        f"<question id=12>\t哪些人\n<answer id=12>\t甲 ||| 乙\n<answer id=12>\t丙\n{rule}"
        f"<question id=13>\t什么意思\n<answer id=13>\t甲；乙|丙\n{rule}"
    )
    found = read_as("blocks", text.replace("\n", end))
    assert found.rows == [
        ("", "", "谁写的？", ["甲"], [-1], "8"),
        ("", "", "哪些人", ["甲", "乙", "丙"], [-1, -1, -1], "12"),
        ("", "", "什么意思", ["甲；乙|丙"], [-1], "13"),
    ]
    assert found.counts == {"triples": 1}


@pytest.mark.parametrize("size", [1, 2, 50])
def test_what_is_missing_or_does_not_fit(read_as, size):
    text = (
        f"题头\n<question id=1>\t没有答案\n{RULE}\n<question id=2>\t空答案\n<answer id=2>\t \n{RULE}\n\n"
        f"<answer id=3>\t没有问题\n{RULE}\n<question id=4>\t编号\n<answer id=5>\t不同\n{RULE}\n"
        "<question id=6>\t问题\n写了两行\n<answer id=6>\t答案"
    )
    found = read_as("blocks", text, block_rows=size)
    assert found.rows == [
        ("", "", "没有答案", [], [], "1"),
        ("", "", "空答案", [], [], "2"),
        ("", "", "问题\n写了两行", ["答案"], [-1], "6"),
    ]
    assert found.numbers == [0, 1, 4]
    assert found.reasons == [(2, "no_question", 8), (3, "ids_differ", 10)]
    assert found.rejects[1].raw == "<question id=4>\t编号\n<answer id=5>\t不同"
    assert found.counts == {"stray_lines": 1, "unlabelled": 2, "blank_lines": 1}


TEXT = st.text("问答 |=<>a", min_size=1, max_size=6).filter(lambda text: text.strip() and "|||" not in text)


@given(st.lists(st.tuples(st.integers(0, 10**6), TEXT, st.lists(TEXT, max_size=3)), min_size=1))
def test_what_is_written_is_read(read_as, rows):
    text = "".join(
        f"<question id={n}>\t{question}\n<answer id={n}>\t{' ||| '.join(answers)}\n{RULE}\n"
        for n, question, answers in rows
    )
    found = read_as("blocks", text)
    assert [(row[2], row[3], row[5]) for row in found.rows] == [
        (question.strip(), [answer.strip() for answer in answers], str(n)) for n, question, answers in rows
    ]


def test_fits():
    assert blocks.fits("\n<question id=1>\t谁")
    assert not blocks.fits("<doc id=1>")
    assert not blocks.fits("问题\t答案")
