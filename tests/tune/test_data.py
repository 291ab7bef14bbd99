"""Tokens against a recount by transformers' own templates, what is left out and counted, and the cache."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers_by_hand import FAMILIES, QWEN25, family

import tune.data
from tune.config import Config
from tune.data import LEFT_OUT, Tokens, dump, tokenise
from tune.errors import UserError
from tune.prompt import Prompter, make_prompter, user_text
from tune.runs import Run, open_run
from tune.tiny import tiny_tokenizer


def row(number: int, user: str = "绿萝叶子发黄是怎么回事", answer: str = "相同", **rest: Any) -> dict[str, Any]:
    meta = {"id": f"x/train/{number:09}", "labelled": rest.pop("labelled", True)}
    return {"instruction": user, "input": "", "output": answer, **rest, "meta": meta}


def write_run(folder: Path, **splits: list[dict[str, Any]]) -> Run:
    folder.mkdir(parents=True, exist_ok=True)
    for split, rows in splits.items():
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    counts = {split: len(rows) for split, rows in splits.items()}
    return Run(folder, "x", "pair", {}, (), {}, "", {}, counts)


def equal(a: Tokens, b: Tokens) -> bool:
    names = ("ids_L", "learn_L", "offsets", "prompts", "rows")
    return a.counts == b.counts and all(np.array_equal(getattr(a, name), getattr(b, name)) for name in names)


def add_up(tokens: Tokens) -> None:
    """What must hold of any tokens."""
    counts = tokens.counts
    assert counts["read"] == counts["kept"] + sum(counts[reason] for reason in LEFT_OUT)
    assert len(tokens) == counts["kept"] == len(tokens.rows) == len(tokens.offsets) - 1
    assert tokens.ids_L.dtype == tokens.prompts.dtype == tokens.rows.dtype == tokens.lengths.dtype == np.int32
    assert tokens.learn_L.dtype == np.uint8 and tokens.offsets.dtype == np.int64
    assert counts["tokens"] == len(tokens.ids_L) == len(tokens.learn_L) == tokens.offsets[-1]
    assert counts["answer_tokens"] == tokens.learn_L.sum() and counts["longest"] == tokens.lengths.max(initial=0)
    assert (np.diff(tokens.rows) > 0).all()
    for i in range(len(tokens)):
        _, learn = tokens.sample(i)
        assert learn[0] == 0 and learn[tokens.prompts[i] :].all() and len(learn) > tokens.prompts[i] > 0


@pytest.mark.parametrize("name", ["pair", "mrc", "dialogue"])
@pytest.mark.parametrize("model", [*FAMILIES, "plain", "tiny"])
def test_tokens_are_those_of_the_template(golden: Path, tmp_path: Path, name: str, model: str) -> None:
    run = open_run(golden / name)
    tokenizer = tiny_tokenizer(run) if model == "tiny" else family("old" if model == "plain" else model)
    tokenizer.chat_template = None if model == "plain" else tokenizer.chat_template
    prompter = make_prompter(tokenizer)
    for split in ["train"] if model == "tiny" else run.splits:  # other splits have characters that tiny doesn't know
        tokens = tokenise(run, split, prompter, Config(), tmp_path)
        add_up(tokens)
        rows = list(run.rows(split))
        assert tokens.counts["read"] == len(rows) == run.splits[split]
        assert tokens.rows.tolist() == [i for i, sample in enumerate(rows) if sample["meta"]["labelled"]]
        for i, number in enumerate(tokens.rows):
            ids, learn = tokens.sample(i)
            talk = prompter.messages(rows[number])
            prompt = tokenizer.apply_chat_template(
                talk, add_generation_prompt=True, return_dict=False, enable_thinking=False
            )
            answer = {"role": "assistant", "content": rows[number]["output"]}
            whole = tokenizer.apply_chat_template([*talk, answer], return_dict=False, enable_thinking=False)
            assert ids.tolist() == [*whole, prompter.end_id][: len(ids)]
            assert ids[: tokens.prompts[i]].tolist() == prompt
            assert prompter.decode(ids[tokens.prompts[i] :]) == rows[number]["output"]
            said = [assistant for _, assistant in rows[number].get("history", [])] + [rows[number]["output"]]
            edges = np.flatnonzero(np.diff(np.concatenate([[0], learn, [0]]).astype(int)))
            assert [prompter.decode(ids[a:b]) for a, b in edges.reshape(-1, 2)] == said


def test_the_files_are_mapped_and_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, prompter = write_run(tmp_path / "run", train=[row(i) for i in range(5)]), make_prompter(family("qwen3"))
    first = tokenise(run, "train", prompter, Config(), tmp_path / "cache")
    assert isinstance(first.ids_L, np.memmap) and isinstance(first.learn_L, np.memmap)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [first.key]
    monkeypatch.setattr(Prompter, "encode", None)
    assert equal(tokenise(run, "train", prompter, Config(), tmp_path / "cache"), first)


def test_the_key_is_made_of_all_that_decides_the_tokens(tmp_path: Path) -> None:
    rows = [row(i) for i in range(4)]
    run, prompter = write_run(tmp_path / "run", train=rows), make_prompter(family("qwen2.5"))
    other = write_run(tmp_path / "other", train=[*rows[:3], row(3, answer="不同")])
    same = write_run(tmp_path / "same", train=rows)

    def key(run: Run = run, prompter: Prompter = prompter, **settings: Any) -> str:
        return tokenise(run, "train", prompter, Config(**settings), tmp_path / "cache").key

    keys = [
        key(),
        key(run=other),
        key(prompter=make_prompter(family("qwen2.5"), system="你是诗人。")),
        key(prompter=make_prompter(family("qwen2.5", template=QWEN25.replace("乐于", "善于")))),
        key(prompter=make_prompter(family("qwen2.5", kind="pieces"))),
        key(max_length=512),
        key(too_long="error"),
        key(loss="all"),
    ]
    assert len(set(keys)) == len(keys)
    assert key(run=same) == key(lr=0.5, batch=3) == keys[0]


@pytest.mark.parametrize("damage", ["cut", "gone", "no counts", "broken counts"])
def test_a_broken_folder_of_the_cache_is_made_again(tmp_path: Path, damage: str) -> None:
    run, prompter = write_run(tmp_path / "run", train=[row(i) for i in range(5)]), make_prompter(family("qwen3"))
    before = tokenise(run, "train", prompter, Config(), tmp_path)
    folder = tmp_path / before.key
    if damage == "cut":
        whole = (folder / "ids.bin").read_bytes()
        (folder / "ids.bin").unlink()
        (folder / "ids.bin").write_bytes(whole[:-8])
    elif damage == "gone":
        (folder / "rows.npy").unlink()
    elif damage == "no counts":
        (folder / "counts.json").unlink()
    else:
        (folder / "counts.json").write_text("{", encoding="utf-8")
    after = tokenise(run, "train", prompter, Config(), tmp_path)
    assert after.sample(4)[0].tolist() == prompter.encode([row(4)])[0].ids
    add_up(after)


def test_a_run_that_stops_half_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tune.data, "CHUNK", 2)
    run = write_run(tmp_path / "run", train=[*(row(i) for i in range(5)), row(5, answer="\n相同")])
    with pytest.raises(UserError, match="x/train/000000005"):
        tokenise(run, "train", make_prompter(family("qwen2.5")), Config(), tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_broken_line_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tune.data, "CHUNK", 2)
    run = write_run(tmp_path / "run", train=[row(i) for i in range(5)])
    with (run.path / "train.jsonl").open("a", encoding="utf-8") as stream:
        stream.write('{"instruction": \n')
    with pytest.raises(UserError, match=r"train\.jsonl:6"):
        tokenise(run, "train", make_prompter(family("qwen2.5")), Config(), tmp_path / "cache")


MIXED = [
    row(0),
    row(1, answer="", labelled=False),
    row(2, answer=""),
    row(3, answer="相<|im_end|>同"),
    row(4, answer="想</think>相同"),
    row(5, user="长" * 300),
    row(6, history=[["在吗", "在"]]),
    row(7, user=" 空 ", system="你是诗人。"),
]


@pytest.mark.parametrize("chunk", [1, 3, 4096])
def test_what_is_left_out_is_counted_whatever_the_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(tune.data, "CHUNK", chunk)
    told = []
    run, prompter = write_run(tmp_path / "run", train=MIXED), make_prompter(family("qwen3"))
    tokens = tokenise(run, "train", prompter, Config(max_length=200), tmp_path / "cache", lambda *n: told.append(n))
    add_up(tokens)
    assert tokens.rows.tolist() == [0, 6, 7]
    assert {key: tokens.counts[key] for key in ("read", "kept", *LEFT_OUT)} == {
        **{"read": 8, "kept": 3, "unlabelled": 1, "dropped": 1},
        **{"empty": 1, "special": 1, "rewritten": 1},
    }
    assert told[-1] == (8, 8) and [done for done, _ in told] == sorted(
        {min(n, 8) for n in range(chunk, 8 + chunk, chunk)}
    )
    for i, number in enumerate(tokens.rows):
        made = prompter.encode([MIXED[number]])[0]
        assert tokens.sample(i)[0].tolist() == made.ids and tokens.prompts[i] == made.prompt
        assert np.flatnonzero(tokens.sample(i)[1]).tolist() == [t for a, b in made.learn for t in range(a, b)]


def test_loss_on_all_tokens_learns_all_but_the_first(tmp_path: Path) -> None:
    run, prompter = write_run(tmp_path / "run", train=MIXED), make_prompter(family("qwen3"))
    tokens = tokenise(run, "train", prompter, Config(loss="all"), tmp_path / "cache")
    add_up(tokens)
    assert tokens.counts["answer_tokens"] == tokens.counts["tokens"] - len(tokens)
    assert np.flatnonzero(tokens.learn_L == 0).tolist() == tokens.offsets[:-1].tolist()


def test_too_long_as_an_error_says_how_many_and_how_long(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", train=[row(0), row(1, user="长" * 200), row(2, user="长" * 300), row(3)])
    prompter = make_prompter(family("qwen3"))
    longest = len(prompter.encode([row(2, user="长" * 300)])[0].ids)
    with pytest.raises(UserError) as error:
        tokenise(run, "train", prompter, Config(max_length=150, too_long="error"), tmp_path / "cache")
    for part in ("2 of 4 samples of train", "max_length=150", "x/train/000000002", f"--set max_length={longest}"):
        assert part in str(error.value)
    assert list((tmp_path / "cache").iterdir()) == []
    tokens = tokenise(run, "train", prompter, Config(max_length=longest, too_long="error"), tmp_path / "cache")
    assert len(tokens) == 4 and tokens.counts["longest"] == longest


LONG = st.lists(st.sampled_from(["绿萝", "叶子发黄", "😀", "\n", " ", "quick ", "。", "龘靐"]), max_size=40).map(
    "".join
)


@pytest.mark.parametrize("name", ["qwen3", "gemma3", "old"])
@settings(max_examples=25)
@given(texts=st.lists(st.tuples(LONG, st.booleans()), min_size=1, max_size=6), spare=st.integers(0, 60))
def test_truncating_loses_no_answer_end_or_header(
    tmp_path_factory: pytest.TempPathFactory, name: str, texts: list[tuple[str, bool]], spare: int
) -> None:
    prompter = make_prompter(family(name))
    rows = [
        row(i, "问" + text + "？", history=[["在吗", "在"]] if talk else []) for i, (text, talk) in enumerate(texts)
    ]
    rows.append(row(len(rows), ""))
    bare = [len(prompter.encode([sample | {"instruction": ""}])[0].ids) for sample in rows]
    limit = max(min(bare) + spare, 8)
    folder = tmp_path_factory.mktemp("truncate")
    run = write_run(folder / "run", train=rows)
    tokens = tokenise(run, "train", prompter, Config(max_length=limit, too_long="truncate_prompt"), folder)
    add_up(tokens)
    assert tokens.counts["longest"] <= limit
    assert tokens.counts["truncated"] == sum(len(prompter.encode([rows[n]])[0].ids) > limit for n in tokens.rows)
    for i, number in enumerate(tokens.rows.tolist()):
        full, cut = prompter.encode([rows[number]])[0], tokens.sample(i)[0].tolist()
        assert cut[tokens.prompts[i] :] == full.ids[full.prompt :]
        if len(full.ids) <= limit:
            assert cut == full.ids
            continue
        # The user's text lost a piece of its middle, and the rest of the prompt is as it was.
        text, prompt = user_text(rows[number]), prompter.prompt_text(rows[number])
        before, _, after = prompt.rpartition(text.strip())
        shorter = prompter.tokenizer.decode(cut[: tokens.prompts[i]])
        assert shorter.startswith(before) and shorter.endswith(after)
    for number in set(range(len(rows))) - set(tokens.rows.tolist()):
        assert bare[number] > limit - 8


def test_a_train_split_with_nothing_to_learn_is_an_error_and_another_is_empty(tmp_path: Path) -> None:
    rows = [row(0, answer="", labelled=False), row(1, answer="")]
    run, prompter = write_run(tmp_path / "run", train=rows, test=rows), make_prompter(family("qwen3"))
    with pytest.raises(UserError, match=r"none of the 2 samples of train can be learnt \(1 unlabelled, 1 empty\)"):
        tokenise(run, "train", prompter, Config(), tmp_path / "cache")
    for _ in range(2):  # made, and found
        tokens = tokenise(run, "test", prompter, Config(), tmp_path / "cache")
        add_up(tokens)
        assert len(tokens) == 0 and tokens.counts["read"] == 2


def test_ids_the_model_does_not_know_are_an_error(tmp_path: Path) -> None:
    from types import SimpleNamespace

    run = write_run(tmp_path / "run", train=[row(0)])
    small = SimpleNamespace(bos_token_id=None, eos_token_id=None, vocab_size=300)
    with pytest.raises(UserError, match="the model knows 300"):
        tokenise(run, "train", make_prompter(family("qwen3"), small), Config(), tmp_path / "cache")


def test_characters_a_tokenizer_does_not_know_are_counted(golden: Path, tmp_path: Path) -> None:
    prompter = make_prompter(tiny_tokenizer(open_run(golden / "pair")))
    run = write_run(tmp_path / "run", train=[row(0, user="龘靐", answer="相龘")])
    tokens = tokenise(run, "train", prompter, Config(), tmp_path / "cache")
    assert tokens.counts["unknown_tokens"] == 3 and tokens.counts["special"] == 0


def test_the_dump_can_be_checked_from_outside(tmp_path: Path) -> None:
    run, prompter = write_run(tmp_path / "run", train=MIXED, test=MIXED[:2]), make_prompter(family("qwen3"))
    file = tmp_path / "dump.jsonl"
    written = dump(run, ["train", "test"], prompter, Config(max_length=200), tmp_path / "cache", file)
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert written == len(lines) == 4
    assert [(line["split"], line["id"][-1]) for line in lines] == [
        *(("train", "0"), ("train", "6"), ("train", "7")),
        ("test", "0"),
    ]
    by_id = {sample["meta"]["id"]: sample for sample in MIXED}
    for line in lines:
        made = prompter.encode([by_id[line["id"]]])[0]
        assert line["tokens"] == made.ids
        learnt = {t for a, b in made.learn for t in range(a, b)}
        assert line["labels"] == [i if t in learnt else -100 for t, i in enumerate(made.ids)]
    assert Counter(tuple(line) for line in lines) == {("id", "split", "tokens", "labels"): 4}


def test_a_split_the_run_does_not_have(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", train=[row(0)])
    with pytest.raises(UserError, match="no test split"):
        tokenise(run, "test", make_prompter(family("qwen3")), Config(), tmp_path / "cache")
