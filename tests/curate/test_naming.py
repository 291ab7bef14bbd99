"""Ids: short, one for each file, and the same wherever the corpus's folder begins."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.naming import row_prefixes, split_of

PARTS = st.sampled_from(["train", "Training", "dev", "test", "Art", "a", "b"])
NAMES = st.lists(
    st.builds(
        lambda folders, stem, suffix: "/".join([*folders, stem + suffix]),
        st.lists(PARTS, max_size=3),
        PARTS,
        st.sampled_from([".txt", ".tsv", ""]),
    ),
    unique=True,
    min_size=1,
    max_size=8,
)


@pytest.mark.parametrize(
    ("split", "names", "prefixes"),
    [
        ("train", ["train/Art/1.txt", "train/Law/1.txt"], ["Art/1", "Law/1"]),
        ("train", ["Art/1.txt", "Law/1.txt"], ["Art/1", "Law/1"]),
        ("train", ["TRAIN/1.txt", "more/2.txt"], ["1", "more/2"]),
        ("validation", ["dev/1.txt", "develop/2.txt", "Valid/3.txt"], ["1", "2", "3"]),
        # Another split's name says something of its own, and so does a folder further in.
        ("test", ["train/1.txt", "answer/test/2.txt"], ["train/1", "answer/test/2"]),
        ("train", ["train.tsv", "train.b.tsv"], ["train", "train.b"]),
        # What would be called alike keeps what tells it apart.
        ("train", ["train/Art/1.txt", "Art/1.txt"], ["train/Art/1", "Art/1"]),
        ("train", ["train/1.txt", "train/1.tsv"], ["1.txt", "1.tsv"]),
    ],
)
def test_examples(split: str, names: list[str], prefixes: list[str]) -> None:
    assert row_prefixes("fudan", split, names) == [f"fudan/{split}/{prefix}" for prefix in prefixes]


def test_a_single_file_is_its_split() -> None:
    assert row_prefixes("lcqmc", "train", ["train/train.tsv"]) == ["lcqmc/train"]


@given(NAMES, st.sampled_from(["train", "validation", "test"]))
def test_no_two_files_share_a_prefix(names: list[str], split: str) -> None:
    prefixes = row_prefixes("r", split, names)
    assert len(set(prefixes)) == len(names) == len(prefixes)


@given(NAMES, st.sampled_from(["train/", "training/", "Train/"]))
def test_the_folder_of_a_split_or_the_one_around_it(names: list[str], around: str) -> None:
    """Whether the source is corpus/train or corpus: a row has one id (as far as no inner folder is called so too)."""
    inner = [name for name in names if split_of(name.split("/")[0]) != "train"]
    assert row_prefixes("r", "train", inner) == row_prefixes("r", "train", [around + name for name in inner])


@pytest.mark.parametrize(
    ("word", "split"),
    [("Dev", "validation"), ("develop", "validation"), ("TEST", "test"), ("answer", None), ("", None)],
)
def test_words(word: str, split: str | None) -> None:
    assert split_of(word) == split
