"""normalise: every text of a record by one rule."""

from __future__ import annotations

from rows import context, frame

from curate.steps.normalise import Options, run


def test_every_text_but_no_label_and_no_id() -> None:
    row = {
        "title": "Ａ", "context": "　Ｂ１在　此\u200b", "question": "Ｃ？", "answers": ["Ｂ１在", "　此"],
        "answer_starts": [1, 4], "source_id": "ＩＤ",
    }  # fmt: skip
    outcome = run(frame("mrc", row, {**row, "title": "", "answers": []}), Options(), context("mrc"))
    first, second = outcome.rows.to_dicts()
    assert (first["title"], first["context"], first["question"]) == ("A", "B1在 此", "C？")
    assert first["answers"] == ["B1在", "此"]
    assert all(answer in first["context"] for answer in first["answers"])
    assert first["source_id"] == "ＩＤ"
    assert second["answers"] == []
    assert outcome.counts == {"full_width": 9, "ideographic_space": 5, "zero_width": 2, "edge_space": 3}
    assert outcome.verdicts is None


def test_turns_keep_their_number() -> None:
    rows = frame("dialogue", {"turns": ["　你好", "\u200b", "好"]}, {"turns": []})
    assert run(rows, Options(), context("dialogue")).rows["turns"].to_list() == [["你好", "", "好"], []]


def test_a_text_that_is_missing_stays_missing() -> None:
    rows = frame("summarization", {"text": "Ａ", "summary": None}, {"text": "Ａ", "summary": "Ｂ"})
    assert run(rows, Options(), context("summarization")).rows["summary"].to_list() == [None, "B"]
