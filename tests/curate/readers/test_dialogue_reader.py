"""Dialogues in all their layouts, and the JSON stream below two of them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.readers import cmrc, dialogue, squad, table
from curate.readers.dialogue import split_members
from curate.readers.jsonstream import JsonStream
from curate.text.decode import sniff
from curate.types import UserError

TALK = [["在吗", "在的"], ["下雨了", "带伞了吗", "没带"], ["嗯", "好"]]
ROWS = [(turns,) for turns in TALK]


def dump(value, **options):
    return json.dumps(value, ensure_ascii=False, **options)


@pytest.mark.parametrize(
    ("name", "member", "rows", "turns", "joined"),
    [
        ("LCCC-base_valid.json", None, 20_000, 56_917, 56_916),
        ("toy_data.json", "train", 1_000, None, None),
        ("toy_data.json", "valid", 200, None, None),
        ("toy_data.json", "test", 200, 400, 400),
        ("toy_train.txt", None, 10_000, 20_000, 20_000),
        ("raw_dialogs.jsonl", None, 1_000, None, 0),
    ],
)
def test_real_layouts(corpora, read, head, name, member, rows, turns, joined):
    path = corpora / "lccc" / name
    found = read("dialogue", path, member=member, block_rows=7_000)
    assert len(found.rows) == rows
    assert not found.rejects
    lengths = found.frame["turns"].list.len()
    assert turns is None or lengths.sum() == turns
    assert joined is None or found.counts.get("spaced_joined", 0) == joined
    assert split_members(path, sniff(path)) == (["valid", "train", "test"] if member else [])
    text = head(path)
    assert dialogue.fits(text)
    assert not squad.fits(text)
    assert not cmrc.fits(text)
    assert table.fits(text) == (name == "toy_train.txt")


@pytest.mark.parametrize("size", [1, 2, 100])
@pytest.mark.parametrize(
    "text",
    [
        dump(TALK),
        dump(TALK, indent=1),
        "\n".join(map(dump, TALK)),
        "\n".join(map(dump, TALK)) + "\n",
        "\n".join("\t".join(turns) for turns in TALK),
        "在吗\t在的\t\n下雨了\t带伞了吗\t没带\n嗯\t好\t\n",
        *("\n".join(dump({"id": 1, key: turns}) for turns in TALK) for key in dialogue.TURN_KEYS),
        dump([{"dialog": turns} for turns in TALK]),
        dump({"name": "x", "data": TALK}),
        "\ufeff" + dump(TALK),
    ],
)
def test_layouts(read_as, text, size):
    found = read_as("dialogue", text, block_rows=size)
    assert found.rows == ROWS
    assert not found.counts
    assert dialogue.fits(text.lstrip("\ufeff"))


def test_object_of_splits(read_as, tmp_path):
    splits = {"meta": {"v": 1}, "valid": TALK[:1], "train": TALK, "test": []}
    for text in (dump(splits), dump(splits, indent=2)):
        assert read_as("dialogue", text, member="train").rows == ROWS
        assert read_as("dialogue", text, member="valid").rows == ROWS[:1]
        assert read_as("dialogue", text, member="test").rows == []
        with pytest.raises(UserError, match="has no list dev, only: valid, train, test"):
            read_as("dialogue", text, member="dev")
        with pytest.raises(UserError, match="several lists"):
            read_as("dialogue", text)
        path = tmp_path / "a.json"
        path.write_text(text, encoding="utf-8")
        assert split_members(path, sniff(path)) == ["valid", "train", "test"]
        path.write_text(text[:-3], encoding="utf-8")
        with pytest.raises(UserError, match=r"^a\.json:\d+:\d+: "):
            split_members(path, sniff(path))


def test_no_members(tmp_path):
    path = tmp_path / "a.json"
    for text in (dump({"dialog": ["a", "b"]}), dump({"data": TALK}), dump(TALK), "a\tb\n", "\n".join(map(dump, TALK))):
        path.write_text(text, encoding="utf-8")
        assert split_members(path, sniff(path)) == []


def test_items_that_are_no_dialogue(read_as):
    odd = [["在吗", 3], {"x": 1}, "喂", [], ["", " "], [["嗯"]], None]
    reasons = ["not_a_dialogue"] * 3 + ["empty_dialogue"] * 2 + ["not_a_dialogue"] * 2
    listed = read_as("dialogue", dump([*TALK[:2], *odd, TALK[2]]), block_rows=2)
    assert listed.rows == ROWS
    assert listed.reasons == [(2 + i, reason, 0) for i, reason in enumerate(reasons)]
    lines = read_as("dialogue", "\n".join([dump(TALK[0]), "", *map(dump, odd), '["断', *map(dump, TALK[1:])]))
    assert lines.rows == ROWS
    assert lines.reasons == [(1 + i, reason, 3 + i) for i, reason in enumerate([*reasons, "bad_json"])]
    assert lines.counts == {"blank_lines": 1}
    tsv = read_as("dialogue", "在吗\t在的\n\n\t\n嗯\t好\n")
    assert tsv.reasons == [(1, "empty_dialogue", 3)]
    assert tsv.counts == {"blank_lines": 1}


def test_broken_first_line_of_json_lines(read_as):
    found = read_as("dialogue", '["在吗", "在\n' + "\n".join(map(dump, TALK)))
    assert found.reasons == [(0, "bad_json", 1)]
    assert found.rows == ROWS


def test_cut_short(read_as):
    text = dump(TALK, indent=1)
    for cut in range(1, len(text)):
        with pytest.raises(UserError, match=r"^file\d+\.txt:\d+:\d+: is not valid JSON"):
            read_as("dialogue", text[:cut])
    with pytest.raises(UserError, match="text after the end"):
        read_as("dialogue", text + "\n[]")
    with pytest.raises(UserError, match=r":2:5: is not valid JSON: "):
        read_as("dialogue", '[\n["a"}, ["b"]]\n')


def test_spaced_text_is_joined(read_as):
    spaced = [[" ".join(turn) for turn in turns] for turns in TALK] + [["ok ok", "T . T"]]
    found = read_as("dialogue", dump(spaced))
    assert found.rows == [*ROWS, (["ok ok", "T.T"],)]
    assert found.counts == {"spaced_joined": 6}


def test_half_an_emoji(read_as):
    found = read_as("dialogue", json.dumps([["笑\ud83d", "😀"]]))
    assert found.rows == [(["笑\ufffd", "😀"],)]
    assert found.counts == {"lone_surrogates": 1}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(items=st.lists(VALUES, max_size=6), size=st.integers(1, 40), indent=st.sampled_from([None, 1]))
def test_stream_reads_what_json_reads(items, size, indent):
    text = json.dumps(items, ensure_ascii=False, indent=indent)
    blocks = (text[i : i + size] for i in range(0, len(text), size))
    assert list(JsonStream("x", blocks).items()) == items


@given(size=st.integers(1, 60), cut=st.integers(0, 40))
def test_stream_position_does_not_depend_on_blocks(size, cut):
    text = dump(TALK, indent=1)[: -1 - cut]

    def message(size):
        blocks = (text[i : i + size] for i in range(0, len(text), size))
        with pytest.raises(UserError) as caught:
            list(JsonStream("x", blocks).items())
        return str(caught.value)

    assert message(size) == message(1000)


def test_stream_does_not_read_ahead():
    taken = []

    def blocks():
        for block in ['[["a"], ["b"],', '["c"],', '["d"]]']:
            taken.append(block)
            yield block

    items = JsonStream("x", blocks()).items()
    assert next(items) == ["a"]
    assert len(taken) == 1
