"""Tables: every layout of the real files, and the ways a layout can be found out or not."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.readers import table
from curate.types import UserError

SENTIMENT = {"0": "负面", "1": "正面"}
PAIR = "天冷了要不要开暖气\t降温以后开暖气吗\t1\n猫能吃葡萄吗\t狗能吃葡萄吗\t0\n几点关门\t几点打烊\t1\n"


@pytest.mark.parametrize(
    ("name", "rows", "counts"),
    [
        ("lcqmc/train.tsv", {"0": 100_192, "1": 138_574}, {"header": 1}),
        ("lcqmc/dev.txt", {"0": 4_400, "1": 4_402}, {}),
        ("lcqmc/dev_header.txt", {"0": 4_400, "1": 4_402}, {"header": 1}),
        ("bq/dev.tsv", {"0": 5_000, "1": 5_000}, {}),
        ("bq/dev.csv", {"0": 5_000, "1": 5_000}, {"header": 1}),
    ],
)
def test_real_pairs(corpora, read, head, name, rows, counts):
    found = read("table", corpora / name, block_rows=30_000)
    assert Counter(found.frame["label"]) == rows
    assert found.counts == counts
    assert not found.rejects
    assert table.fits(head(corpora / name))


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("train.tsv", {"0": 4_801, "1": 4_799}),
        ("dev.tsv", {"0": 607, "1": 593}),
        ("ChnSentiCorp_htl_all.csv", {"0": 2_444, "1": 5_322}),
    ],
)
def test_real_texts(corpora, read, name, rows):
    found = read("table", corpora / "chnsenticorp" / name, task="classification", labels=SENTIMENT)
    assert Counter(found.frame["label"]) == rows
    assert not found.rejects


def test_real_header_or_none_is_the_same(corpora, read):
    one, other = (read("table", corpora / "lcqmc" / name) for name in ("dev.txt", "dev_header.txt"))
    assert one.frame.equals(other.frame)


def test_real_gbk_with_an_id_and_words_as_labels(corpora, read):
    labels = {"FAVOR": "支持", "AGAINST": "反对", "NONE": "中立"}
    found = read("table", corpora / "nlpcc/stance2016_TaskA_gold.txt", task="classification", labels=labels)
    assert len(found.frame) == 1000
    assert set(found.frame["label"]) == set(labels)
    told = read("table", corpora / "nlpcc/stance2016_TaskA_gold.txt", "classification", labels, extra=("target",))
    assert told.frame.drop("target").equals(found.frame)
    raw = (corpora / "nlpcc/stance2016_TaskA_gold.txt").read_bytes().decode("gbk").split("\r\n")[1:-1]
    assert told.frame.select("target", "text", "label").rows() == [tuple(line.split("\t")[1:]) for line in raw]


STANCES = {"label": {"FAVOR": "支持", "AGAINST": "反对"}, "row": ("养猫的人越来越多", "FAVOR", "养猫")}


@pytest.mark.parametrize(
    ("head", "row"),
    [
        ("ID\tTARGET\tTEXT\tSTANCE", "1\t养猫\t养猫的人越来越多\tFAVOR"),
        ("STANCE\tTEXT\tTARGET", "支持\t养猫的人越来越多\t养猫"),
        ("话题\t内容\t标签", "养猫\t养猫的人越来越多\tfavor"),
        ("topic\tcontent\tpolarity\ttime", "养猫\t养猫的人越来越多\tFAVOR\t昨天"),
    ],
)
def test_a_target_by_its_name(read_as, head, row):
    options = {"task": "classification", "labels": STANCES["label"], "extra": ("target",)}
    assert read_as("table", f"{head}\n{row}\n", **options).rows == [STANCES["row"]]


def test_a_target_is_never_guessed(read_as):
    """Without a header nothing tells the target from the text; named columns do."""
    options = {"task": "classification", "labels": STANCES["label"], "extra": ("target",)}
    content = "养猫\t养猫的人越来越多\tFAVOR\n养狗\t狗叫得心烦\tAGAINST\n"
    with pytest.raises(UserError, match=r"no header says which .* target, text; .*columns=target,text,label"):
        read_as("table", content, **options)
    named = read_as("table", content, columns=("target", "text", "label"), **options)
    assert named.rows[0] == STANCES["row"]
    with pytest.raises(UserError, match="a table has no column for slots: leave it out"):
        read_as("table", content, **{**options, "extra": ("slots",)})


def test_real_label_first_without_header(corpora, read):
    path = corpora / "nlpcc/headline2017_test.full.word"
    names = {line.split("\t")[0] for line in path.read_text(encoding="utf-8").split("\n") if line}
    found = read("table", path, task="classification", labels={name: name for name in names})
    assert len(found.frame) == 36_000
    assert found.frame["label"].n_unique() == 18


HAN = st.text(st.sampled_from("春夏秋冬雨雪风云，。 "), min_size=1, max_size=8).filter(str.strip)
ROWS = st.lists(st.tuples(HAN, HAN, st.sampled_from(["0", "1"])), min_size=3, max_size=12)


@settings(max_examples=150, deadline=None)
@given(
    rows=ROWS,
    order=st.permutations(["a", "b", "label", "qid"]),
    header=st.booleans(),
    quoted=st.booleans(),
    extra=st.booleans(),
)
def test_any_order_of_columns(read_as, rows, order, header, quoted, extra):
    names = {"a": "sentence1", "b": "Sentence_2", "label": "标签", "qid": "qid"}
    order = [field for field in order if extra or field != "qid"]
    if not header and order.index("a") > order.index("b"):
        order[order.index("a")], order[order.index("b")] = "b", "a"
    cells = [{"a": a, "b": b, "label": label, "qid": str(7 + i)} for i, (a, b, label) in enumerate(rows)]
    lines = ([[names[field] for field in order]] if header else []) + [
        [row[field] for field in order] for row in cells
    ]
    text = "\n".join((",".join(f'"{cell}"' for cell in line) if quoted else "\t".join(line)) for line in lines)
    assert read_as("table", text).rows == rows


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize("limit", [None, 0, 1, 4, 5])
@pytest.mark.parametrize("comma", [False, True])
def test_block_size_changes_nothing(read_as, size, limit, comma):
    text = "\n" + PAIR + "\n短\n" + "雨停了吗\t雪停了吗\t0\n问\t答\t7\n一\t二\t三\t1\n  \n" + PAIR * 8
    text = text.replace("\t", ",") if comma else text
    whole = read_as("table", text, block_rows=1000)
    found = read_as("table", text, block_rows=size, limit=limit)
    assert found.frame.equals(whole.frame.filter(whole.frame["rid"] % 2**40 < (99 if limit is None else limit)))
    assert found.reasons == [one for one in whole.reasons if limit is None or one[0] < limit]
    if limit is None:
        assert found.counts == whole.counts == {"blank_lines": 3}
    assert whole.reasons == [(3, "too_few_columns", 6), (5, "label_outside_list", 8), (6, "too_many_columns", 9)]
    assert [one.raw for one in whole.rejects][1] == ("问,答,7" if comma else "问\t答\t7")


@pytest.mark.parametrize(
    ("cell", "key"),
    [("1", "1"), ("1.0", "1"), (" 0 ", "0"), ("相同", "1"), ("不同", "0"), ("", None), ("0.00", "0")],
)
def test_ways_to_write_a_label(read_as, cell, key):
    found = read_as("table", f"text_a\ttext_b\tlabel\n{PAIR}早\t晚\t{cell}\n")
    assert found.rows[-1] == ("早", "晚", key)
    assert found.counts.get("unlabelled", 0) == (key is None)


def test_no_quoting_in_tsv(read_as):
    text = 'label\ttext_a\n1\t"好吃\n0\t难"吃"\n1\t他说"不错\n'
    found = read_as("table", text, task="classification", labels=SENTIMENT)
    assert found.rows == [('"好吃', "1"), ('难"吃"', "0"), ('他说"不错', "1")]


def test_spaces_are_kept(read_as):
    found = read_as("table", "text_a\ttext_b\tlabel\n 早 安\u3000\t晚安  \t1\n")
    assert found.rows == [(" 早 安\u3000", "晚安  ", "1")]


def test_quoting_in_csv(read_as):
    text = 'label,review\n1,"很好,""推荐""\n下次再来"\n0,一般\n9,糟\n'
    found = read_as("table", text, task="classification", labels=SENTIMENT)
    assert found.rows == [('很好,"推荐"\n下次再来', "1"), ("一般", "0")]
    assert found.reasons == [(2, "label_outside_list", 5)]  # the physical line


def test_a_stray_quote_costs_one_row(read_as):
    rows = "".join(f"{i % 2},第{i}条\n" for i in range(1500))
    found = read_as("table", f'label,review\n1,"没有结尾\n{rows}0,"也没有\n', task="classification", labels=SENTIMENT)
    assert len(found.rows) == 1500
    assert found.reasons == [(0, "unclosed_quote", 2), (1501, "unclosed_quote", 1503)]


def test_carriage_return_inside_a_csv_line(read_as):
    found = read_as("table", "label,review\n1,好\n0,坏\r了\n1,棒\n", task="classification", labels=SENTIMENT)
    assert found.rows == [("好", "1"), ("棒", "1")]
    assert found.reasons == [(1, "stray_carriage_return", 3)]


def test_unknown_header(read_as):
    found = read_as("table", "甲\t乙\t对不对\n" + PAIR)
    assert found.counts == {"header": 1}
    assert found.rows[0] == ("天冷了要不要开暖气", "降温以后开暖气吗", "1")


def test_a_bad_first_row_is_no_header(read_as):
    found = read_as("table", "东\t西\t5\n" + PAIR * 10)
    assert found.reasons == [(0, "label_outside_list", 1)]
    assert len(found.rows) == 30


def test_known_texts_beside_a_label_of_unknown_name(read_as):
    found = read_as("table", "id\ttext_b\ttext_a\tgold\n" + "".join(f"{i}\t乙\t甲\t{i % 2}\n" for i in range(4)))
    assert found.rows == [("甲", "乙", str(i % 2)) for i in range(4)]


@pytest.mark.parametrize("text", ["qid\ttext_a\ttext_b\n9\t甲\t乙\n", "甲\t乙\n", "1\t甲\t乙\n2\t丙\t丁\n3\t戊\t己\n"])
def test_no_label_column(read_as, text):
    found = read_as("table", text)
    assert found.rows[0] == ("甲", "乙", None)
    assert found.counts["unlabelled"] == len(found.rows)


def test_header_alone(read_as):
    assert read_as("table", "text_a\ttext_b\tlabel\n").counts == {"header": 1}


def test_a_column_of_texts_alone(read_as):
    found = read_as("table", "text\n好\n\n坏\n", task="classification", labels=SENTIMENT)
    assert found.rows == [("好", None), ("坏", None)]
    assert found.counts == {"header": 1, "unlabelled": 2, "blank_lines": 1}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("甲甲\t乙乙\t0\t1\n丙丙\t丁丁\t1\t0\n", "columns 3 and 4 could both be the label"),
        ("甲甲\t乙乙\t丙丙\n丁丁\t戊戊\t己己\n", "3 of its 3 columns could be text, 2 wanted, none is a label"),
        ("甲甲\t1\n乙乙\t0\n", "1 of its 2 columns could be text"),
        ("一句话\n又一句\n", "1 of its 1 columns could be text"),
    ],
)
def test_layout_that_cannot_be_found_out(read_as, text, what):
    with pytest.raises(UserError) as caught:
        read_as("table", text)
    message = str(caught.value)
    assert what in message
    assert "--set source.columns=text_a,text_b,label" in message
    assert text.split("\n")[0].replace("\t", " ⇥ ") in message
    assert ":1: " in message


@pytest.mark.parametrize(
    "header", ["", "text_b\ttext_a\tnote\tlabel\n", "乙\t甲\t注\t分\n", "q2\tsentence1\tnote\t标签\n"]
)
def test_named_columns(read_as, header):
    rows = "".join(f"乙{i}\t甲{i}\t{i % 2}\t{(i + 1) % 2}\n" for i in range(6))
    found = read_as("table", header + rows, columns=("q2", "Sentence1", "note", "label"))
    assert found.rows == [(f"甲{i}", f"乙{i}", str((i + 1) % 2)) for i in range(6)]
    assert found.counts.get("header", 0) == bool(header)


def test_named_columns_that_do_not_fit(read_as):
    with pytest.raises(UserError, match=r"has 3 columns, but source.columns names 2.*天冷了要不要开暖气 ⇥"):
        read_as("table", PAIR, columns=("text_a", "text_b"))
    with pytest.raises(UserError, match=r"names no column for b"):
        read_as("table", PAIR, columns=("text_a", "foo", "label"))


def test_encodings_and_line_ends(read_as):
    plain = read_as("table", "text_a\ttext_b\tlabel\n" + PAIR).rows
    text = "text_a\ttext_b\tlabel\n" + PAIR
    for data in (
        text.encode("gb18030"),
        text.encode("utf-8-sig"),
        text.replace("\n", "\r\n").encode(),
        text.strip().encode(),
    ):
        assert read_as("table", data).rows == plain


@pytest.mark.parametrize(
    "text", ['{"a": 1}\n', '[\n\t"甲",\n\t"乙"\n]', "<doc id=0>\n\t<summary>\n", "一行\n又一行\n", ""]
)
def test_fits_not(text):
    assert not table.fits(text)


@pytest.mark.parametrize("text", [PAIR, PAIR.replace("\t", ","), "[表情]好\t0\n坏\t1\n", "text\n好\n"])
def test_fits(text):
    assert table.fits(text)


@pytest.mark.parametrize("delimiter", ["\t", ","])
def test_columns_named_for_fields(read_as, delimiter):
    rows = [["编码", "评语", "情感值"], ["甲1", "房间很大", "1"], ["乙2", "服务差", "0"]]
    text = "\n".join(delimiter.join(row) for row in rows)
    options = {"task": "classification", "labels": SENTIMENT}
    found = read_as("table", text, columns={"text": "评语", "label": "情感值"}, **options)
    assert found.rows == [("房间很大", "1"), ("服务差", "0")]
    assert found.counts == {"header": 1}
    # The label is known by its values, as it is where the texts have known names.
    assert read_as("table", text, columns={"text": "评语"}, **options).rows == found.rows
    with pytest.raises(UserError, match=r"has no column '评论', .* for text; its columns are 编码, 评语, 情感值"):
        read_as("table", text, columns={"text": "评论"}, **options)
    with pytest.raises(UserError, match="names no column for text"):
        read_as("table", text, columns={"label": "情感值"}, **options)
