"""Rows of named values: the same rows in every format are the same records, and what can't be read is said."""

from __future__ import annotations

import json

import polars as pl
import pytest
from files_of_rows import FORMATS, as_lines, write, write_workbook
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.readers import rows as reader
from curate.types import UserError

SENTIMENT = {"0": "负面", "1": "正面"}


#: What no cell of a workbook keeps as it is (white space only, controls) is left out; see the tests of each format.
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp", "Cn"]), min_size=1)
TEXT = TEXT.filter(lambda text: not text.startswith(("[", "{")) and "_x" not in text)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(TEXT, st.sampled_from(["0", "1"])), min_size=1, max_size=8), st.integers(1, 5))
def test_texts_are_the_same_in_every_format(read, tmp_path_factory, pairs, block_rows):
    folder = tmp_path_factory.mktemp("rows")
    rows = [{"评论": text, "label": label} for text, label in pairs]
    for kind in FORMATS:
        path = write(folder / f"a.{kind}", kind, rows)
        found = read("rows", path, labels=SENTIMENT, columns={"text": "评论"}, block_rows=block_rows)
        assert found.rows == pairs, kind
        assert not found.rejects
        assert read("rows", path, labels=SENTIMENT, limit=2, columns={"text": "评论"}).rows == pairs[:2]


QUESTIONS = [
    {"文章": "长江长6300公里。", "问题": "多长？", "答案": ["6300公里", "6300"], "answer_start": [3, 3], "id": "甲-1"},
    {"文章": "长江长6300公里。", "问题": "谁？", "答案": ["长江"], "answer_start": [0], "id": "甲-2"},
]


@pytest.mark.parametrize("kind", FORMATS)
def test_reading_comprehension_in_every_format(read, tmp_path, kind):
    found = read("rows", write(tmp_path / f"a.{kind}", kind, QUESTIONS), task="mrc")
    assert found.rows == [
        ("", "长江长6300公里。", "多长？", ["6300公里", "6300"], [3, 3], "甲-1"),
        ("", "长江长6300公里。", "谁？", ["长江"], [0], "甲-2"),
    ]


@pytest.mark.parametrize("kind", FORMATS)
def test_the_other_tasks_in_every_format(read, tmp_path, kind):
    pairs = [
        {"sentence1": "几点关门", "sentence2": "几点打烊", "label": 1},
        {"sentence1": "甲", "sentence2": "乙", "label": 0},
    ]
    assert read("rows", write(tmp_path / f"p.{kind}", kind, pairs), task="pair").rows == [
        ("几点关门", "几点打烊", "1"), ("甲", "乙", "0"),
    ]  # fmt: skip
    news = [{"content": "今天下雨。", "title": "雨"}, {"content": "明天天晴。", "title": "晴"}]
    assert read("rows", write(tmp_path / f"s.{kind}", kind, news), task="summarization").rows == [
        ("今天下雨。", "雨", None), ("明天天晴。", "晴", None),
    ]  # fmt: skip
    turns = [{"messages": [{"role": "system", "content": "你是客服"}, {"role": "user", "content": "在吗"},
                           {"role": "assistant", "content": "在的"}]}]  # fmt: skip
    found = read("rows", write(tmp_path / f"d.{kind}", kind, turns), task="dialogue")
    assert found.rows == [(["在吗", "在的"],)]
    assert found.counts["system_messages"] == 1


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "gb18030"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_encodings_and_line_ends(read_as, encoding, end):
    rows = [{"text": "房间很大，服务也好", "label": "1"}, {"text": "差\u2028很差\x85", "label": "0"}] * 4
    for text in (as_lines(rows, end) + end, json.dumps(rows, ensure_ascii=False, indent=2).replace("\n", end)):
        found = read_as("rows", text.encode(encoding), labels=SENTIMENT)
        assert found.rows == [tuple(row.values()) for row in rows]
        assert not found.rejects


@pytest.mark.parametrize(
    ("value", "label"),
    [(1, "1"), (1.0, "1"), ("1.0", "1"), ("正面", "1"), (True, "1"), (False, "0"), (" 0 ", "0"), (None, None),
     ("", None), (float("nan"), None)],
)  # fmt: skip
def test_labels(read_as, value, label):
    assert read_as("rows", as_lines([{"text": "好", "label": value}]), labels=SENTIMENT).rows == [("好", label)]


@pytest.mark.parametrize("labels", [{"true": "是", "false": "否"}])
def test_truth_values_as_labels(read_as, labels):
    rows = [{"text": "好", "label": True}, {"text": "坏", "label": False}]
    assert [row[1] for row in read_as("rows", as_lines(rows), labels=labels).rows] == ["true", "false"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"),
        (10**40, str(10**40)),
        (-1.5, "-1.5"),
        (True, "true"),
        (None, ""),
        ("\ud83d", "\ufffd"),
        ("  x ", "  x "),
    ],
)
def test_what_text_is_made_of(read_as, value, text):
    lines = json.dumps({"text": value, "label": 1})
    assert read_as("rows", lines, labels=SENTIMENT).rows == [(text, "1")]


def test_rows_that_can_not_be_read(read_as):
    rows = ['{"text": "好", "label": 1}', "", '{"text": ["好"], "label": 1}', '{"text": "好", "label": 9}', "[1]",
            '{"text": "好"', '{"text": "好", "label": {"a": 1}}', '{"text": Infinity, "label": 1}',
            '{"text": 1' + "0" * 5000 + ', "label": 1}', "null"]  # fmt: skip
    found = read_as("rows", "\n".join(rows), labels=SENTIMENT, block_rows=2)
    assert found.rows == [("好", "1")]
    assert found.counts["blank_lines"] == 1
    assert found.reasons == [
        (1, "bad_text", 3), (2, "label_outside_list", 4), (3, "not_an_object", 5), (4, "bad_json", 6),
        (5, "bad_label", 7), (6, "bad_text", 8), (7, "bad_json", 9), (8, "not_an_object", 10),
    ]  # fmt: skip
    assert found.rejects[0].raw == rows[2]


@pytest.mark.parametrize(
    ("value", "answers", "starts"),
    [
        ("长江", ["长江"], [-1]),
        (3, ["3"], [-1]),
        (True, ["true"], [-1]),
        (["长江", None, "河"], ["长江", "河"], [-1, -1]),
        ({"text": ["长江"], "answer_start": [2]}, ["长江"], [2]),
        ({"text": [], "answer_start": []}, [], []),
        ([{"text": "长江", "answer_start": 2}, {"text": "河"}], ["长江", "河"], [2, -1]),
        (None, [], []),
        ("FAKE_ANSWER_1", [], []),
    ],
)
def test_answers(read_as, value, answers, starts):
    line = as_lines([{"context": "有长江", "question": "哪条？", "answers": value}])
    found = read_as("rows", line, task="mrc")
    assert found.rows == [("", "有长江", "哪条？", answers, starts, "")]
    assert found.counts.get("unlabelled", 0) == (not answers)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"text": ["长江"], "answer_start": [1, 2]}, "bad_answer_start"),
        ([["长江"]], "bad_answer"),
        ([{"answer_start": 1}], "bad_answer"),
        ([{"text": "长江", "answer_start": "x"}], "bad_answer_start"),
    ],
)
def test_answers_of_a_wrong_kind(read_as, value, reason):
    rows = [{"context": "有长江", "question": "哪条？", "answers": value}]
    assert read_as("rows", as_lines(rows), task="mrc").reasons == [(0, reason, 1)]


def said(*turns: str) -> list[dict[str, str]]:
    return [dict(zip(("from", "value"), turn.split(":"), strict=True)) for turn in turns]


@pytest.mark.parametrize(
    ("value", "turns"),
    [
        (["在吗", "在"], ["在吗", "在"]),
        (said("human:在吗", "gpt:在"), ["在吗", "在"]),
        (said("甲:在吗", "乙:在", "甲:好"), ["在吗", "在", "好"]),
        ([{"human": "在吗", "assistant": "在"}, {"human": "好", "assistant": "嗯"}], ["在吗", "在", "好", "嗯"]),
        ([{"text": "在吗"}, {"text": "在"}], ["在吗", "在"]),
        (said("human:在吗", "human:有人吗"), "speakers_do_not_alternate"),
        (said("gpt:您好", "human:在吗"), "assistant_speaks_first"),
        (said("甲:在吗", "乙:在", "丙:好"), "more_than_two_speakers"),
        ([{"role": "user", "content": ["在吗"]}], "bad_turn"),
        ([{"role": "user", "content": "在吗"}, "在"], "bad_turn"),
        ("在吗", "not_a_dialogue"),
        ([], "empty_dialogue"),
        (None, "empty_dialogue"),
        ([" ", ""], "empty_dialogue"),
    ],
)
def test_turns(read_as, value, turns):
    found = read_as("rows", as_lines([{"turns": value}]), task="dialogue")
    if isinstance(turns, str):
        assert found.reasons == [(0, turns, 1)]
    else:
        assert found.rows == [(turns,)]


def test_a_space_between_all_characters_is_taken_out_of_dialogues(read_as):
    rows = [{"dialog": ["道 歉 ！ 再 有 时 间", "好 的 我 知 道 了"]}] * 3
    assert read_as("rows", as_lines(rows), task="dialogue").rows == [(["道歉！再有时间", "好的我知道了"],)] * 3


def test_the_label_column_is_known_by_its_values(read_as):
    rows = [{"text": str(n), "y": n % 2, "n": n} for n in range(8)]
    assert [row[1] for row in read_as("rows", as_lines(rows), labels=SENTIMENT).rows] == ["0", "1"] * 4
    with pytest.raises(UserError, match="columns y and z could both be the label"):
        read_as("rows", as_lines([{"text": "好", "y": 1, "z": 0}]), labels=SENTIMENT)


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        ('{"a": 1, "b": 2}', {}, "no column is known as text of task classification; its columns are a, b; say"),
        ('{"text": "好"}', {"columns": {"label": "情感"}}, "no column '情感', which source.columns names for label"),
        ('{"text": "好"}', {"columns": ("text",)}, "source.columns is a mapping"),
        ('{"instruction": "a", "output": "b"}', {"task": "dialogue"}, "instruction data already"),
        ('{"question": "a"}', {"task": "mrc"}, "no column is known as context of task mrc"),
        ('{\n "text": "好"}', {}, "one JSON object over several lines"),
        ('[{"text": "好"}, {"text": ', {}, ":1:26: is not valid JSON"),
        ('[{"text": "好"}] x', {}, "text after the end of the list"),
        ("1\n" * 1000, {}, "no column is known"),
        ("文本,文本\n好,坏\n", {}, "two columns called '文本'"),
    ],
)  # fmt: skip
def test_files_that_are_refused(read_as, text, options, says):
    with pytest.raises(UserError, match=says):
        read_as("rows", text, labels=SENTIMENT, **options)


def test_no_rows(read_as, read, tmp_path):
    assert read_as("rows", "[]").rows == []
    path = tmp_path / "a.parquet"
    pl.DataFrame({"text": [], "label": []}, schema={"text": pl.String, "label": pl.Int64}).write_parquet(path)
    assert read("rows", path).rows == []
    assert read("rows", write_workbook(tmp_path / "a.xlsx", {"空": []})).rows == []
    assert read_as("rows", "text,label\n").rows == []


def test_a_table_without_a_header_takes_names_in_file_order(read_as):
    text = "长江长。,多长？,6300公里\n黄河,长吗,长\n"
    found = read_as("rows", text, task="mrc", columns=("context", "question", "answer"))
    assert [row[1:4] for row in found.rows] == [("长江长。", "多长？", ["6300公里"]), ("黄河", "长吗", ["长"])]
    headed = read_as("rows", "context,question,answer\n" + text, task="mrc", columns=("context", "question", "answer"))
    assert headed.rows == found.rows
    with pytest.raises(UserError, match="has 3 columns, but source"):
        read_as("rows", text, task="mrc", columns=("context", "question"))


@pytest.mark.parametrize("shared", [True, False])
def test_workbooks(read, tmp_path, shared):
    sheets = {
        "空": [],
        "也空": [[None, "  "]],
        "数据": [[], ["评论", "label", None], ["好\n 的", 1.0, "x"], [None, None, None], [13800138000, "0", None],
               [1.5, True, None], [None, 1, None], ["坏", 7, None]],
        "其他": [["text", "label"], ["不读", 1]],
    }  # fmt: skip
    found = read("rows", write_workbook(tmp_path / "a.xlsx", sheets, shared), labels=SENTIMENT)
    assert found.rows == [("好\n 的", "1"), ("13800138000", "0"), ("1.5", "1"), ("", "1")]
    assert found.reasons == [(4, "label_outside_list", 8)]
    assert found.counts["blank_rows"] == 1


def test_parquet_types(read, tmp_path):
    path = tmp_path / "a.parquet"
    frame = pl.DataFrame(
        {"text": ["好", None, "坏"], "label": [1.0, 0.0, None], "pixels": [b"\xff", None, b""]},
        schema={"text": pl.Categorical, "label": pl.Float64, "pixels": pl.Binary},
    )
    frame.write_parquet(path)
    assert read("rows", path, labels=SENTIMENT).rows == [("好", "1"), ("", "0"), ("坏", None)]
    pl.DataFrame({"text": [b"\xe5\xa5\xbd", b"\xff"], "label": [1, 1]}).write_parquet(path)
    found = read("rows", path, labels=SENTIMENT)
    assert found.rows == [("好", "1")]
    assert found.reasons == [(1, "bad_text", 2)]
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UserError, match=r"a\.parquet: can't be read as Parquet"):
        read("rows", path)


def test_a_large_parquet_file_is_read_in_order(read, tmp_path):
    path = tmp_path / "a.parquet"
    numbers = list(range(20_000))
    frame = pl.DataFrame({"text": [f"第{n}条" for n in numbers], "label": [n % 2 for n in numbers]})
    frame.write_parquet(path, row_group_size=7000)
    found = read("rows", path, labels=SENTIMENT, block_rows=3000)
    assert found.rows == [(f"第{n}条", str(n % 2)) for n in numbers]


@pytest.mark.parametrize("kind", ["jsonl", "json", "parquet", "xlsx", "csv"])
def test_a_real_table_in_every_format_gives_the_rows_of_the_table_reader(corpora, read, tmp_path, kind):
    original = read("table", corpora / "chnsenticorp/dev.tsv", task="classification", labels=SENTIMENT)
    rows = [{"label": int(label), "review": text} for text, label in original.rows]
    path = write(tmp_path / f"a.{kind}", kind, rows)
    found = read("rows", path, labels=SENTIMENT, block_rows=500)
    assert found.frame.equals(original.frame)


@pytest.mark.parametrize(
    ("name", "fits"),
    [("cmrc2018/squad_dev.json", False), ("drcd/DRCD_dev.json", False), ("ecdt/smp2019_nlu_train.json", True),
     ("lcsts/PART_III.txt", False), ("lccc/raw_dialogs.jsonl", False), ("lccc/LCCC-base_valid.json", False),
     ("nlpcc/nlpcc2017.kbqa.test", False), ("bq/dev.csv", True)],
)  # fmt: skip
def test_which_real_files_are_rows(corpora, head, name, fits):
    assert reader.fits(head(corpora / name)) is fits
