"""token_length: samples measured as tune makes them, and long ones rejected or shortened around their answers."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from contract import check_run
from helpers import REPOSITORY, command, curate, differing, manifest, recipe_file, rejects, samples
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import context, frame

from curate.card import write_card
from curate.card.measure import percentiles
from curate.explain import explain
from curate.formatting.templates import Template, TemplateSet
from curate.preview import preview
from curate.recipefile import load_recipe
from curate.resources import recipe_path
from curate.steps import Context
from curate.steps.token_length import LIMITS, Options, run
from curate.types import UserError

pytest.importorskip("tokenizers")
pytest.importorskip("transformers")

from tokenizers_by_hand import FAMILIES, family

from curate.text.tokens import load_counter

#: A sentence, and others of the same kind: texts that are far longer than most limits below.
SENTENCE = "云溪镇在青石河上游，镇上的人种茶为业。"


@lru_cache
def counter(folder: Path) -> Any:
    return load_counter(str(folder))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer") / "qwen3"
    family("qwen3").save_pretrained(folder)
    return folder


def step(tokenizer: Path | str, **options: Any) -> dict[str, Any]:
    return {"token_length": {"tokenizer": str(tokenizer), **options}}


def shown(task: str, tokenizer: Path, split: str = "train") -> Context:
    """A context with one template, which shows the record as it is."""
    text = {"mrc": "{{ context }}\n{{ question }}", "dialogue": "", "pair": "{{ a }}{{ b }}"}.get(task, "{{ text }}")
    said = "{{ message }}" if task == "dialogue" else "答"
    output = {"dialogue": "{{ reply }}", "summarization": "{{ summary }}"}.get(task, "{{ answer }}")
    made = context(task, templates=TemplateSet((Template("t/1", said, text, output),), ""))
    return Context(made.task, made.labels, 0, 1, made.templates, counter(tokenizer), split)


def long_of(out: Any) -> list[int]:
    return out.verdicts["rid"].to_list() if out.verdicts is not None else []


# ---- measured as tune does


def pairs(folder: Path) -> Path:
    rows = "".join(f"句{n}{'很长' * n}\t句<|im_end|>{n}\t{n % 2}\n" for n in range(40))
    (folder / "train.tsv").write_text(f"text_a\ttext_b\tlabel\n{rows}", encoding="utf-8")
    return folder


def questions(folder: Path) -> Path:
    text = "".join(f"{SENTENCE[:-1]}{n}。" for n in range(12))
    paragraphs = [
        {
            "context": f"{n}：{text[: 40 + 9 * n]}",
            "qas": [
                {
                    "id": f"Q{n}",
                    "question": f"什么{n}？",
                    "answers": [{"text": "青石河", "answer_start": len(f"{n}：云溪镇在")}],
                }
            ],
        }
        for n in range(20)
    ]
    data = {"version": "1", "data": [{"title": "镇", "paragraphs": paragraphs}]}
    (folder / "train.json").write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
    return folder


def dialogues(folder: Path) -> Path:
    talks = [[f"第{n}句{k}" + "吧" * k for k in range(2 + n % 7)] for n in range(30)]
    (folder / "train.json").write_text(json.dumps(talks, ensure_ascii=False), encoding="utf-8")
    return folder


CORPORA = {"pair": pairs, "mrc": questions, "dialogue": dialogues}


@pytest.mark.parametrize("task", CORPORA)
@pytest.mark.parametrize("name", [*FAMILIES, "plain"])
def test_counts_are_those_of_tune(task: str, name: str, tmp_path: Path) -> None:
    """Sample by sample, tokens and prompts are those that tune takes from the run, by transformers' own tokenizer."""
    from transformers import AutoTokenizer

    from tune.config import Config
    from tune.data import LEFT_OUT, tokenise
    from tune.prompt import make_prompter
    from tune.runs import open_run

    folder = tmp_path / "tokenizer"
    made = family("old", template=None) if name == "plain" else family(name)
    made.save_pretrained(folder)
    (tmp_path / "source").mkdir()
    source = CORPORA[task](tmp_path / "source")
    recipe = recipe_file(tmp_path / "recipe", task, ["normalise", step(folder)])
    place = curate(recipe, tmp_path / "run", source).path
    assert check_run(place) == []
    prompter = make_prompter(AutoTokenizer.from_pretrained(folder))
    tokens = tokenise(open_run(place), "train", prompter, Config(max_length=100_000), tmp_path / "cache")
    assert sum(tokens.counts[why] for why in LEFT_OUT) == 0
    written = samples(place, "train")
    lengths = load_counter(str(folder)).measure(written)
    assert [one.total for one in lengths] == tokens.lengths.tolist()
    assert [one.prompt for one in lengths] == tokens.prompts.tolist()
    entry = next(entry for entry in manifest(place)["steps"] if entry["step"] == "token_length")
    columns = entry["tokens"].pop("histogram")
    below = [n // columns["width"] for n in tokens.lengths.tolist()]
    assert columns["rows"] == [below.count(index) for index in range(len(columns["rows"]))]
    assert columns["over"] == sum(index >= len(columns["rows"]) for index in below)
    assert entry["tokens"] == {
        "samples": len(written),
        **percentiles(Counter(tokens.lengths.tolist())),
        "answer_cut": {str(limit): sum(n > limit for n in tokens.lengths.tolist()) for limit in LIMITS},
        "answer_lost": {str(limit): sum(n >= limit for n in tokens.prompts.tolist()) for limit in LIMITS},
    }


def test_lengths_where_an_answer_is_cut(tokenizer: Path) -> None:
    """The line through the answer, before it, and behind it: by a recount of each sample's prompt and answer."""
    ctx = shown("summarization", tokenizer)
    rows = frame("summarization", *({"text": "文" * n, "summary": "要" * 40} for n in range(1, 200, 3)))
    one = counter(tokenizer).measure(
        [{"instruction": "答", "input": text, "output": "要" * 40, "meta": {"id": ""}} for text in rows["text"]]
    )
    limit = one[30].prompt + 5
    tokens = run(rows, Options(tokenizer="x", max=limit), ctx).tokens.figures()
    assert tokens["answer_cut"][str(limit)] == sum(n.total > limit for n in one)
    assert tokens["answer_lost"][str(limit)] == sum(n.prompt >= limit for n in one)
    assert 0 < tokens["answer_lost"][str(limit)] < tokens["answer_cut"][str(limit)] < len(rows)


# ---- what happens to long ones


def test_keep_and_reject(tokenizer: Path) -> None:
    rows = frame("classification", *({"text": "文" * (5 * n), "label": "1"} for n in range(1, 30)))
    ctx = shown("classification", tokenizer)
    kept = run(rows, Options(tokenizer="x", max=100), ctx)
    assert kept.verdicts is None and kept.rows.equals(rows)
    out = run(rows, Options(tokenizer="x", max=100, on_long="reject"), ctx)
    gone = long_of(out)
    assert out.rows.equals(rows) and out.counts == {}
    assert gone == list(range(gone[0], 29)) and gone[0] > 0
    assert out.tokens.figures()["max"] <= 100 and out.tokens.figures()["samples"] == gone[0]
    # On evaluation splits such a row stays, flagged by the pipeline, and is measured as it stays.
    seen = run(rows, Options(tokenizer="x", max=100, on_long="reject"), shown("classification", tokenizer, "test"))
    assert long_of(seen) == gone and seen.tokens.figures()["samples"] == 29


TEXT = st.lists(
    st.sampled_from(["你好。", "是吗？", "她说：“走吧！”", "很长很长，", "３", " ", "\n", "…"]), max_size=40
).map("".join)


@pytest.mark.parametrize("task", ["classification", "summarization"])
@settings(max_examples=25, deadline=None)
@given(texts=st.lists(TEXT, min_size=1, max_size=4), most=st.integers(20, 120))
def test_texts_keep_their_beginning(task: str, texts: list[str], most: int, tokenizer: Path) -> None:
    answer = {"label": "1"} if task == "classification" else {"summary": "要点是什么"}
    rows = frame(task, *({"text": text, **answer} for text in texts))
    ctx, options = shown(task, tokenizer), Options(tokenizer="x", max=most, on_long="truncate_context")
    out = run(rows, options, ctx)
    gone = set(long_of(out))
    cut = 0
    for rid, before, after in zip(rows["rid"], texts, out.rows["text"], strict=True):
        assert before.startswith(after)
        assert after == before or (after and rid not in gone), "what can't be made to fit keeps its text"
        cut += len(before) - len(after)
    assert out.counts.get("characters_cut", 0) == cut
    assert out.rows.drop("text").equals(rows.drop("text")), "the answer stays as it is"
    assert max(out.tokens.total, default=0) <= most
    check_again(out, options, ctx, gone)


def check_again(out: Any, options: Options, ctx: Context, gone: set[int]) -> None:
    """A second time: nothing is left to do."""
    left = out.rows.filter(~out.rows["rid"].is_in(list(gone)))
    again = run(left, options, ctx)
    assert again.rows.equals(left) and again.counts == {} and long_of(again) == []


@settings(max_examples=40, deadline=None)
@given(
    before=TEXT,
    after=TEXT,
    answers=st.lists(st.tuples(TEXT, st.sampled_from(["青石河", "一九五八年。", "茶"])), min_size=1, max_size=3),
    most=st.integers(40, 200),
)
def test_answers_stay_at_their_offsets(
    before: str, after: str, answers: list[tuple[str, str]], most: int, tokenizer: Path
) -> None:
    text, starts = before, []
    for gap, answer in answers:
        text += gap
        starts.append(len(text))
        text += answer
    told = [*(answer for _, answer in answers), "不在文中"]
    record = {"context": text + after, "question": "问什么？", "answers": told, "answer_starts": [*starts, -1]}
    rows = frame("mrc", record)
    ctx, options = shown("mrc", tokenizer), Options(tokenizer="x", max=most, on_long="truncate_context")
    out = run(rows, options, ctx)
    (after_cut,) = out.rows.to_dicts()
    assert after_cut["context"] in record["context"]
    assert (after_cut["answers"], after_cut["question"]) == (told, "问什么？")
    assert after_cut["answer_starts"][-1] == -1
    for answer, at in zip(told[:-1], after_cut["answer_starts"], strict=False):
        assert after_cut["context"].startswith(answer, at)
    gone = long_of(out)
    assert not gone or after_cut["context"] == record["context"]
    assert max(out.tokens.total, default=0) <= most
    check_again(out, options, ctx, set(gone))


def test_a_context_is_cut_at_sentence_ends_on_both_sides(tokenizer: Path) -> None:
    sentences = [f"这是第{n}句话。" for n in range(30)]
    text = "".join(sentences)
    at = text.index("第20句")
    rows = frame("mrc", {"context": text, "question": "问？", "answers": ["第20句"], "answer_starts": [at]})
    out = run(rows, Options(tokenizer="x", max=180, on_long="truncate_context"), shown("mrc", tokenizer))
    (row,) = out.rows.to_dicts()
    first, last = (
        sentences.index(part + "。") for part in row["context"].split("。")[:: len(row["context"].split("。")) - 2]
    )
    assert row["context"] == "".join(sentences[first : last + 1])
    assert 0 < first < 20 < last < 29
    # It stands in what is left about where it stood before: at two thirds.
    assert 0.5 < row["answer_starts"][0] / len(row["context"]) < 0.8


def test_real_contexts_around_their_answers(corpora: Path, tokenizer: Path, tmp_path: Path) -> None:
    """Every training sample fits, and every answer that stood in its context stands there still."""
    text = recipe_path("cmrc2018").read_text(encoding="utf-8")
    added = f"  - token_length: {{tokenizer: {tokenizer}, max: 700, on_long: truncate_context}}\n"
    (tmp_path / "own.yaml").write_text(text.replace("  - segment: {as: meta}\n", added), encoding="utf-8")
    source = f"train={corpora / 'cmrc2018' / 'squad_dev.json'}"
    place = curate(tmp_path / "own.yaml", tmp_path / "run", source).path
    assert check_run(place) == []
    entry = next(entry for entry in manifest(place)["steps"] if entry["step"] == "token_length")
    written = samples(place, "train")
    assert entry["changes"]["texts_cut"] > 500 and entry["tokens"]["max"] <= 700
    assert entry["reasons"]["too_long"] < 30
    for row in written:
        there = [answer for answer in row["meta"]["references"] if answer in row["instruction"] + row["input"]]
        assert there or "some_answers" in row["meta"]["flags"]
        assert len(there) == len(row["meta"]["references"]) or "some_answers" in row["meta"]["flags"]


def test_evaluation_contexts_are_left_whole(tokenizer: Path) -> None:
    rows = frame("mrc", {"context": SENTENCE * 20, "question": "问？", "answers": ["云溪镇"], "answer_starts": [0]})
    out = run(rows, Options(tokenizer="x", max=180, on_long="truncate_context"), shown("mrc", tokenizer, "test"))
    assert out.rows.equals(rows) and long_of(out) == [0] and out.counts == {}


@settings(max_examples=25, deadline=None)
@given(
    turns=st.lists(st.sampled_from(["嗯", "好的，我知道了。", "今天天气怎么样？"]), min_size=2, max_size=12),
    most=st.integers(30, 200),
)
def test_dialogues_lose_their_earliest_turns(turns: list[str], most: int, tokenizer: Path) -> None:
    rows = frame("dialogue", {"turns": turns})
    ctx, options = shown("dialogue", tokenizer), Options(tokenizer="x", max=most, on_long="truncate_context")
    out = run(rows, options, ctx)
    left = out.rows["turns"].to_list()[0]
    dropped = len(turns) - len(left)
    assert dropped % 2 == 0 and turns[dropped:] == left and len(left) >= 2
    assert out.counts.get("turns_dropped", 0) == dropped
    assert not long_of(out) or dropped == 0
    if dropped:  # with one pair more it would not have fitted
        more = run(
            frame("dialogue", {"turns": turns[dropped - 2 :]}), Options(tokenizer="x", max=most, on_long="reject"), ctx
        )
        assert long_of(more) == [0]
    check_again(out, options, ctx, set(long_of(out)))


def test_an_inverted_template_has_the_text_as_its_answer(tokenizer: Path) -> None:
    made = shown("classification", tokenizer)
    inverted = TemplateSet((Template("t/1", "写一条{{ answer }}的评论", "", "{{ text }}", inverted=True),), "")
    ctx = Context(made.task, made.labels, 0, 1, inverted, made.tokens)
    rows = frame("classification", {"text": SENTENCE * 9, "label": "1"})
    out = run(rows, Options(tokenizer="x", max=60, on_long="truncate_context"), ctx)
    assert out.rows.equals(rows) and long_of(out) == [0] and out.counts == {}


@pytest.mark.parametrize("task", ["classification", "mrc", "dialogue"])
@settings(max_examples=10, deadline=None)
@given(numbers=st.lists(st.integers(1, 12), min_size=1, max_size=6), size=st.integers(1, 3))
def test_any_slice(task: str, numbers: list[int], size: int, tokenizer: Path) -> None:
    """Rows alone, in slices or all together: the same rows, verdicts, counts and lengths."""
    records = [
        {
            "text": SENTENCE * n, "label": "1", "turns": ["说吧", "好"] * n,
            "context": SENTENCE * n, "question": "问？", "answers": ["石河"], "answer_starts": [5 + 19 * (n // 2)],
        }
        for n in numbers
    ]  # fmt: skip
    rows = frame(task, *records)
    ctx, options = shown(task, tokenizer), Options(tokenizer="x", max=120, on_long="truncate_context")
    whole = run(rows, options, ctx)
    parts = [run(rows[at : at + size], options, ctx) for at in range(0, len(rows), size)]
    assert pl.concat(part.rows for part in parts).equals(whole.rows)
    assert [rid for part in parts for rid in long_of(part)] == long_of(whole)
    assert sum((Counter(part.counts) for part in parts), Counter()) == Counter(whole.counts)
    added = parts[0].tokens
    for part in parts[1:]:
        added += part.tokens
    assert added == whole.tokens


# ---- in a run


def reviews(folder: Path) -> Path:
    folder.mkdir()
    rows = "".join(f"{n}{SENTENCE * (n % 5)}\t{n % 2}\n" for n in range(40))
    for split in ("train", "test"):
        (folder / f"{split}.tsv").write_text(f"text\tlabel\n{rows}", encoding="utf-8")
    return folder


@pytest.mark.parametrize("on_long", ["keep", "reject", "truncate_context"])
def test_a_run(on_long: str, tokenizer: Path, tmp_path: Path) -> None:
    """Slices, processes and the tokenizer's folder decide no byte; every row is there; the card shows the figures."""
    source = reviews(tmp_path / "source")
    steps = ["normalise", "exact_dedup", step(tokenizer, max=100, on_long=on_long), "segment"]
    recipe = recipe_file(tmp_path / "recipe", "classification", steps)
    place = curate(recipe, tmp_path / "run", source).path
    assert check_run(place) == []
    entries = {entry["split"]: entry for entry in manifest(place)["steps"] if entry["step"] == "token_length"}
    train, test = (entries[split]["tokens"] for split in ("train", "test"))
    assert (train["answer_cut"]["100"] > 0) == (on_long == "keep")
    assert test["samples"] == len(samples(place, "test")) == 40
    gone = [row for row in rejects(place) if row["step"] == "token_length"]
    assert bool(gone) == (on_long == "reject")
    assert all(row["reason"] == "too_long" and row["split"] == "train" and row["fields"]["text"] for row in gone)
    flagged = [row for row in samples(place, "test") if "token_length:too_long" in row["meta"]["flags"]]
    assert bool(flagged) == (on_long == "reject")
    if on_long == "truncate_context":
        assert entries["test"]["changes"]["texts_cut"] == entries["train"]["changes"]["texts_cut"] > 0
        for row in samples(place, "train"):
            assert row["meta"]["words"]["text"].replace(" ", "") in row["input"]
    card = (place / "README.md").read_text("utf-8")
    assert "长度（词元）" in card and "答案被截断" in card
    write_card(place, "en")
    assert "Lengths in tokens" in (english := (place / "README.md").read_text("utf-8")) and "Answer cut" in english
    write_card(place, "zh")
    assert ("超过 100 个词元" in card) == (on_long == "keep")
    assert differing(place, curate(recipe, tmp_path / "more", source, workers=3).path) == []
    assert differing(place, curate(recipe, tmp_path / "small", source, slice_rows=3).path) == []


def test_the_tokenizer_decides_and_its_place_does_not(tokenizer: Path, tmp_path: Path) -> None:
    source = reviews(tmp_path / "source")
    recipe = recipe_file(tmp_path / "recipe", "classification", ["normalise", step("Some/name")])
    copies = [tmp_path / where / "qwen3" for where in ("one", "two")]
    for copy in copies:
        shutil.copytree(tokenizer, copy)
    runs = [
        curate(recipe, tmp_path / f"run-{n}", source, overrides=[f"token_length.tokenizer={copy}"]).path
        for n, copy in enumerate(copies)
    ]
    assert check_run(runs[0]) == [] and differing(*runs) == []
    assert manifest(runs[0])["recipe"]["overrides"] == {"token_length.tokenizer": "qwen3"}
    (copies[1] / "chat_template.jinja").write_text(FAMILIES["qwen2.5"][0], encoding="utf-8")
    other = curate(recipe, tmp_path / "other", source, overrides=[f"token_length.tokenizer={copies[1]}"]).path
    assert manifest(other)["fingerprint"] != manifest(runs[0])["fingerprint"]
    assert manifest(other)["versions"]["tokenizer"] != manifest(runs[0])["versions"]["tokenizer"]


def test_parts_are_measured_one_by_one(tokenizer: Path, tmp_path: Path) -> None:
    source = reviews(tmp_path / "source")
    steps = ["normalise", "exact_dedup", {"chunk": {"max": 30, "mode": "split"}}, step(tokenizer)]
    place = curate(recipe_file(tmp_path / "recipe", "classification", steps), tmp_path / "run", source).path
    assert check_run(place) == []
    lengths = load_counter(str(tokenizer)).measure(written := samples(place, "train"))
    entry = next(entry for entry in manifest(place)["steps"] if entry["step"] == "token_length")
    assert entry["tokens"]["samples"] == len(written) > 40
    assert entry["tokens"]["p50"] == percentiles(Counter(one.total for one in lengths))["p50"]


def test_rows_that_fail_and_rows_without_an_answer(tokenizer: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "train.tsv").write_text("text\tlabel\n一好\t1\n坏\t0\n", encoding="utf-8")
    (source / "test.tsv").write_text("text\tlabel\n一好\t\n", encoding="utf-8")
    failing = "{{ text if '坏' not in text else 1 / 0 }}"
    templates = [{"id": "t/1", "instruction": "答", "input": failing, "output": "{{ answer }}"}]
    recipe = recipe_file(tmp_path / "recipe", "classification", ["normalise", step(tokenizer)], templates)
    place = curate(recipe, tmp_path / "run", source).path
    assert check_run(place) == []
    counted = {e["split"]: e["tokens"] for e in manifest(place)["steps"] if e["step"] == "token_length"}
    assert counted["train"]["samples"] == counted["test"]["samples"] == 1
    assert counted["test"]["max"] < counted["train"]["max"], "only the prompt counts"


def test_preview_and_explain_find_the_tokenizer(tokenizer: Path, tmp_path: Path) -> None:
    """preview shows samples as they will be; explain reads the source again though the manifest has no path."""
    source = reviews(tmp_path / "source")
    recipe = recipe_file(tmp_path / "recipe", "classification", ["normalise", step("Some/name", max=60)])
    words = [f"token_length.tokenizer={tokenizer}", "token_length.on_long=truncate_context"]
    shown = preview(load_recipe(recipe, words), [str(source)], 5)
    assert SENTENCE in shown and shown.rindex(SENTENCE * 2) < shown.rindex("sample")
    place = curate(recipe, tmp_path / "run", source, overrides=words).path
    assert str(tokenizer) not in (place / "manifest.json").read_text("utf-8") + (place / "README.md").read_text(
        "utf-8"
    )
    assert "not read again" not in explain(place, "train/3")


def test_no_torch(tokenizer: Path, tmp_path: Path) -> None:
    source = reviews(tmp_path / "source")
    recipe = recipe_file(tmp_path / "recipe", "classification", ["normalise", step(tokenizer)])
    code = (
        "import sys; from curate.cli import main; code = main(sys.argv[1:]); "
        "print(sorted({'torch', 'transformers', 'numpy'} & set(sys.modules)), file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "recipe", str(recipe), "--source", str(source), "--out", str(tmp_path / "run")],
        cwd=REPOSITORY, capture_output=True, encoding="utf-8", timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "[]\n")


# ---- wrong input


def test_a_tokenizer_that_cannot_be_had_is_said_first(tmp_path: Path) -> None:
    """One line, before anything is read, and nothing is left behind."""
    recipe = recipe_file(tmp_path / "recipe", "pair", ["normalise", step("Nobody/nothing")])
    words = ["recipe", recipe, "--source", tmp_path / "nowhere", "--out", tmp_path / "run"]
    env = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home"), "PYTHONPATH": str(REPOSITORY)}
    done = command(*words, cwd=tmp_path, env=env)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: token_length: tokenizer Nobody/nothing: no folder of that name here, not in the hub's local cache, "
        "and HF_HUB_OFFLINE forbids asking it; set HF_ENDPOINT to a mirror, or download its tokenizer.json and "
        "tokenizer_config.json into a folder and name that\n"
    )
    assert not (tmp_path / "run").exists() and not (tmp_path / "home").exists()


WRONG: dict[str, tuple[str, list[Any], str]] = {
    "max is missing": ("pair", [step("a/b", on_long="reject")], "'on_long: reject' needs 'max', in tokens"),
    "nothing to shorten": (
        "pair",
        [step("a/b", max=9, on_long="truncate_context")],
        "a sentence pair has nothing that may be shortened; use 'reject'",
    ),
    "answers without a place": (
        "mrc",
        [step("a/b", max=9, on_long="truncate_context")],
        "contexts are cut around their answers: add 'locate_answer' before it",
    ),
    "no tokenizer": ("pair", ["token_length"], "'tokenizer' is missing"),
    "an empty name": ("pair", [step("")], "tokenizer: must not be empty"),
    "no such folder": ("pair", [step("./nowhere")], "there is no folder ./nowhere"),
    "no tokens": ("pair", [step("a/b", max=0)], "max: "),
    "another word": ("pair", [step("a/b", max=9, on_long="drop")], "on_long: 'drop' is not one of keep, reject"),
    "before a judgement": ("pair", [step("a/b"), "exact_dedup"], "must stand behind 'exact_dedup'"),
    "before what changes texts": (
        "classification",
        ["exact_dedup", step("a/b"), {"chunk": {"max": 9}}],
        "must stand behind 'chunk'",
    ),
    "behind segment": ("pair", ["exact_dedup", "segment", step("a/b")], "must stand before 'segment'"),
    "before the text is segmented": (
        "pair",
        ["exact_dedup", step("a/b"), {"segment": {"as": "text"}}],
        "must stand behind 'segment'",
    ),
    "parts that are too long": (
        "classification",
        ["exact_dedup", {"chunk": {"max": 9, "mode": "split"}}, step("a/b", max=9, on_long="reject")],
        "the parts that 'chunk' makes go together; use 'keep' and a smaller chunk",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_recipes(what: str, tmp_path: Path) -> None:
    task, steps, message = WRONG[what]
    with pytest.raises(UserError) as error:
        load_recipe(recipe_file(tmp_path, task, steps))
    assert len(error.value.messages) == 1, error.value.messages
    assert message in error.value.messages[0] and "own.yaml:" in error.value.messages[0]


def test_right_places(tmp_path: Path) -> None:
    steps = ["normalise", "exact_dedup", {"segment": {"as": "text"}}, step("a/b")]
    assert [use.name for use in load_recipe(recipe_file(tmp_path, "pair", steps)).trailing] == [
        "segment",
        "token_length",
    ]
    late = load_recipe(recipe_file(tmp_path, "pair", ["normalise", step("a/b"), "segment"]))
    assert [use.name for use in late.leading] == ["normalise"]
