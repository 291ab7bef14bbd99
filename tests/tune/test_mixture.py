"""A run of several corpora: each figure is the one that the corpus's rows get in a run of their own."""

from __future__ import annotations

import io
import json
import math
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mixture_by_hand import CORPORA, MIXTURE, alone, change_manifest, error, manifest_of, rows_of, write_rows
from tuned_by_hand import ROW_TOKENS, Work, work_on

from tune.data import LEFT_OUT
from tune.evaluate import evaluate, write_samples
from tune.questions import labelled_splits
from tune.report import report, summary
from tune.results import read_eval, read_lines, read_predictions
from tune.runs import MANIFEST, open_run
from tune.tuning import plan_only, tune


@pytest.fixture
def mixture(tmp_path: Path) -> Path:
    """A copy of the hand-made mixture, to be damaged at will."""
    return Path(shutil.copytree(MIXTURE, tmp_path / "runs" / "mixture"))


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Work:
    return work_on(open_run(MIXTURE), tmp_path_factory.mktemp("tokens"), sets=("max_new_tokens=8",))


@pytest.fixture(scope="module")
def found(work: Work) -> Any:
    return work.evaluate()


def evaluated_alone(work: Work, run: Path, cache: Path) -> Any:
    """What the mixture's model makes of another run."""
    other = work_on(open_run(run), cache, sets=("max_new_tokens=8",))
    # The tokenizer of tiny knows the characters of its run: the mixture's has to be asked.
    from tune.data import tokenise

    tokens = {split: tokenise(other.run, split, work.prompter, other.config, cache) for split in other.run.splits}
    splits = labelled_splits(other.run)[0]
    return evaluate(work.model, work.prompter, other.run, splits, other.config, tokens, row_tokens=ROW_TOKENS)


# ---- evaluation


def assert_equal_sections(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert list(one) == list(other)
    for name, figure in one.items():
        assert figure == (pytest.approx(other[name], rel=1e-6, abs=1e-6)), name


@pytest.mark.parametrize("corpus", CORPORA)
def test_a_corpus_gets_the_figures_of_a_run_of_its_own(work: Work, found: Any, corpus: str, tmp_path: Path) -> None:
    own = evaluated_alone(work, alone(MIXTURE, corpus, tmp_path / corpus), tmp_path / "tokens")
    assert set(own.splits) == {name.partition("/")[0] for name in found.splits if name.endswith(f"/{corpus}")}
    for split, section in own.splits.items():
        assert_equal_sections(section, found.splits[f"{split}/{corpus}"])
    rows = {(row["split"], row["id"]): row for row in found.rows}
    for row in own.rows:
        here = rows[row["split"], row["id"]]
        assert {key: row[key] for key in ("prompt", "prediction", "references")} == {
            key: here[key] for key in ("prompt", "prediction", "references")
        }
        assert row["scores"].keys() == here["scores"].keys()
        for name, score in row["scores"].items():
            assert (
                score == here["scores"][name]
                if isinstance(score, str)
                else score == pytest.approx(here["scores"][name], abs=1e-5)
            )
    assert "bag_of_characters" in own.splits["validation"] or corpus != "shop-pair"


def test_sections_and_rows_stand_in_order(found: Any) -> None:
    assert list(found.splits) == [
        "validation", "validation/shop-pair", "validation/tea-talk", "validation/town-mrc",
        "test", "test/shop-pair", "test/town-mrc",
    ]  # fmt: skip
    labelled = [
        row["meta"]["id"] for s in ("validation", "test") for row in rows_of(MIXTURE, s) if row["meta"]["labelled"]
    ]
    assert [row["id"] for row in found.rows] == labelled
    assert found.notes == []


def test_the_whole_is_all_rows(found: Any) -> None:
    for split in ("validation", "test"):
        whole, rows = found.splits[split], [row for row in found.rows if row["split"] == split]
        parts = [section for name, section in found.splits.items() if name.startswith(f"{split}/")]
        assert list(whole) == ["n", "answer_tokens", "answer_loss", "exact_match"]
        for key in ("n", "answer_tokens"):
            assert whole[key] == sum(part[key] for part in parts)
        nll, tokens = (sum(row["scores"][key] for row in rows) for key in ("nll", "answer_tokens"))
        assert whole["answer_loss"]["value"] == pytest.approx(nll / tokens, rel=1e-6)
        assert whole["exact_match"]["value"] == np.mean([row["scores"]["exact_match"] for row in rows])
        for name in ("answer_loss", "exact_match"):
            assert whole[name]["low"] <= whole[name]["value"] <= whole[name]["high"]


def test_rows_in_another_order_get_the_same_figures(work: Work, found: Any, mixture: Path, tmp_path: Path) -> None:
    for split in ("validation", "test"):
        rows = rows_of(mixture, split)
        random.Random(3).shuffle(rows)
        write_rows(mixture, split, rows)
    turned = evaluated_alone(work, mixture, tmp_path / "tokens")
    shuffled = [row["meta"]["id"] for s in ("validation", "test") for row in rows_of(mixture, s) if row["output"]]
    assert [row["id"] for row in turned.rows] == shuffled != [row["id"] for row in found.rows]
    assert list(turned.splits) == list(found.splits)
    for name, section in found.splits.items():
        values = {key: f["value"] if isinstance(f, dict) else f for key, f in section.items()}
        there = {key: f["value"] if isinstance(f, dict) else f for key, f in turned.splits[name].items()}
        assert there == pytest.approx(values, rel=1e-5)


def test_a_limit_is_of_each_corpus(work: Work, found: Any) -> None:
    few = work.evaluate(eval_limit=2)
    assert {name: section["n"] for name, section in few.splits.items()} == {
        "validation": 6, "validation/shop-pair": 2, "validation/tea-talk": 2, "validation/town-mrc": 2,
        "test": 4, "test/shop-pair": 2, "test/town-mrc": 2,
    }  # fmt: skip
    ids = [row["meta"]["id"] for row in rows_of(MIXTURE, "validation")]
    first = {corpus: [id for id in ids if id.startswith(f"{corpus}/")][:2] for corpus in CORPORA}
    assert {row["id"] for row in few.rows if row["split"] == "validation"} == {
        i for two in first.values() for i in two
    }
    valid = work.tokens["validation"]
    assert [ids[valid.rows[i]] for i in valid.first(1)] == [two[0] for two in first.values()]
    assert list(valid.first(None)) == list(range(len(valid)))
    assert list(valid.first(100)) == list(range(len(valid)))


def test_samples_over_time_are_of_each_corpus(work: Work, tmp_path: Path) -> None:
    write_samples(work.model, work.prompter, work.run, work.config, tmp_path, 7)
    rows = read_lines(tmp_path / "samples.jsonl")
    assert [row["id"].partition("/")[0] for row in rows] == [corpus for corpus in CORPORA for _ in range(2)]


def test_a_corpus_without_labels_in_a_split(work: Work, mixture: Path, tmp_path: Path) -> None:
    rows = rows_of(mixture, "test")
    for row in rows:
        if row["meta"]["corpus"] == "shop-pair":
            row["output"], row["meta"] = "", row["meta"] | {"labelled": False, "label": ""}
    write_rows(mixture, "test", rows)
    assert labelled_splits(open_run(mixture)) == (
        ["validation", "test"], ["test: no row of shop-pair has a label; not evaluated"]
    )  # fmt: skip
    turned = evaluated_alone(work, mixture, tmp_path / "tokens")
    assert [name for name in turned.splits if name.startswith("test")] == ["test", "test/town-mrc"]


# ---- tokens and the plan


def test_what_is_left_out_is_counted_by_corpus(tmp_path: Path) -> None:
    short = work_on(open_run(MIXTURE), tmp_path, sets=("max_length=80",))
    rows = rows_of(MIXTURE, "train")
    train = short.tokens["train"]
    assert list(train.corpora) == CORPORA
    for counts in train.corpora.values():
        assert counts["read"] == counts["kept"] + sum(counts[reason] for reason in LEFT_OUT)
    for key in ("read", "kept", "dropped", "unlabelled", "truncated"):
        assert train.counts[key] == sum(counts[key] for counts in train.corpora.values())
    named = [CORPORA[place] for place in train.corpus_N]
    assert named == [rows[line]["meta"]["corpus"] for line in train.rows]
    assert {corpus: named.count(corpus) for corpus in CORPORA} == {
        corpus: counts["kept"] for corpus, counts in train.corpora.items()
    }
    assert train.corpora["town-mrc"]["dropped"] > 0 and train.corpora["tea-talk"]["dropped"] == 0
    again = work_on(open_run(MIXTURE), tmp_path, sets=("max_length=80",)).tokens["train"]
    assert again.corpora == train.corpora and np.array_equal(again.corpus_N, train.corpus_N)


def test_the_plan_says_what_becomes_of_each_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    stream = io.StringIO()
    found = plan_only(MIXTURE, {"sets": ["max_length=80", "steps=2"]}, stream=stream)
    plan, lines = found["plan"], stream.getvalue().split("\n")
    train = plan["corpora"]["train"]
    assert list(train) == CORPORA
    for key in ("samples", "tokens", "answer_tokens", "dropped"):
        assert plan[key] == sum(counts[key] for counts in train.values())
    assert plan["longest"] == max(counts["longest"] for counts in train.values())
    samples, learnt = (train["tea-talk"][key] / plan[key] for key in ("samples", "answer_tokens"))
    shown = (
        f"; {samples:.1%} of the samples, {learnt:.1%} of the learnt tokens, longest {train['tea-talk']['longest']}"
    )
    (line,) = [line for line in lines if line.startswith("  tea-talk")][:1]
    assert line.split(maxsplit=1)[1] == f"{train['tea-talk']['samples']}{shown}"
    assert any(line.split() == ["town-mrc", "0,", "6", "dropped", "as", "too", "long"] for line in lines)
    (pair, mrc) = [note for note in plan["notes"] if "are dropped; --set max_length" in note]
    assert pair.startswith("shop-pair: 1 of 10 train samples have more than max_length=80 tokens and are dropped")
    assert mrc.startswith("town-mrc: 6 of 6 train samples")
    message = error(lambda: plan_only(MIXTURE, {"sets": ["max_length=80", "too_long=error"]}, stream=stream))
    assert "7 of 24 samples of train (shop-pair 1, town-mrc 6) have more than max_length=80 tokens" in message


def test_the_recipe_s_settings_count(mixture: Path) -> None:
    from tune.config import resolve

    assert resolve(open_run(mixture)).max_length == 256
    assert resolve(open_run(mixture), sets=["max_length=99"]).max_length == 99


# ---- a whole tuning

QUICK = ["steps=3", "save_every=1", "eval_every=3", "batch=4", "max_new_tokens=6"]


def tuned(run: Path, out: Path, **options: Any) -> dict[str, Any]:
    return tune(run, {"sets": [*QUICK, *options.pop("sets", ())]}, out=out, stream=io.StringIO(), **options)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "t"
    tuned(MIXTURE, out)
    return out


def test_a_tuning_from_end_to_end(finished: Path) -> None:
    found = read_eval(finished)
    sections = {f"validation/{corpus}" for corpus in CORPORA} | {"test/shop-pair", "test/town-mrc"}
    for model in ("base", "tuned"):
        assert set(found[model]) == {"validation", "test"} | sections
        assert {"accuracy", "f1", "majority"} <= set(found[model]["test/shop-pair"])
        assert {"cmrc_em", "cmrc_f1"} <= set(found[model]["validation/town-mrc"])
        assert {"bleu2", "dist1", "perplexity"} <= set(found[model]["validation/tea-talk"])
        loss = found[model]["validation/tea-talk"]["answer_loss"]["value"]
        assert found[model]["validation/tea-talk"]["perplexity"]["value"] == pytest.approx(math.exp(loss))
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text(encoding="utf-8").split("\n")[:-1]]
    (last,) = [line for line in lines if line.get("kind") == "eval"]
    # What the best checkpoint is chosen by: the loss of all rows, by their answer tokens.
    assert last["answer_loss"] == pytest.approx(found["tuned"]["validation"]["answer_loss"]["value"], rel=1e-5)
    assert {row[0] for row in summary(found)[1]} == set(found["tuned"])


def test_the_card_names_each_corpus(finished: Path) -> None:
    report(finished)
    card = (finished / "README.md").read_text(encoding="utf-8")
    for corpus, entry in manifest_of(MIXTURE)["mixture"]["corpora"].items():
        (line,) = [line for line in card.split("\n") if line.startswith(f"  - `{corpus}`")]
        for known in (entry["recipe"]["version"], entry["recipe"]["sha256"][:16], entry["fingerprint"][:16]):
            assert known in line
        assert f"{entry['realised']:.1%} (train {entry['written']}" in line
        assert f"`validation/{corpus}`，n = " in card
    assert "  - `tea-talk`: 33.3% (train 8, 重复 repeats 2); " in card
    licences = {"shop-pair": "CC BY-SA 4.0", "tea-talk": "none stated", "town-mrc": "未说明 not stated"}
    lines = [line for line in card.split("\n") if line.startswith("  - `")]
    assert {line.split("`")[1]: line.rpartition("licence: ")[2] for line in lines} == licences
    assert "a mixture of corpora" in card and "one corpus, by its own metrics and labels" in card
    for row in read_predictions(finished):
        assert row["prompt"] not in card


def test_a_tuning_that_was_cut_off_goes_on_exactly(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tune.progress import Progress

    real = Progress.__call__

    def interrupted(self: Progress, event: dict[str, Any]) -> None:
        if event["kind"] == "step" and event["step"] == 2:
            raise KeyboardInterrupt
        real(self, event)

    out = tmp_path / "t"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Progress, "__call__", interrupted)
        tuned(MIXTURE, out)
    tuned(MIXTURE, out, resume=True)
    assert read_eval(out) == read_eval(finished)


# ---- what is wrong, in one line each


def test_a_run_of_one_corpus_is_its_own_part(golden: Path) -> None:
    run = open_run(golden / "pair")
    assert run.parts == [run] and run.section("test") == "test" and run.corpus_of(next(run.rows("test"))) == ""
    mixture = open_run(MIXTURE)
    assert [part.corpus for part in mixture.parts] == CORPORA
    pair, talk, mrc = mixture.parts
    assert (pair.task, pair.labels, pair.metrics) == ("pair", {"0": "不同", "1": "相同"}, ("accuracy", "f1"))
    assert (talk.labels, mrc.metrics) == ({}, ("cmrc_em", "cmrc_f1")) and pair.parts == [pair]
    rows = rows_of(MIXTURE, "train")
    for part in mixture.parts:
        assert list(part.numbered("train")) == [
            (line, row) for line, row in enumerate(rows) if row["meta"]["corpus"] == part.corpus
        ]
    assert list(mixture.numbered("train")) == list(enumerate(rows))


@pytest.mark.parametrize("corpus", ["spam", None, 3, ["tea-talk"]])
def test_a_row_of_a_corpus_that_is_not_named(mixture: Path, corpus: object) -> None:
    rows = rows_of(mixture, "train")
    rows[4]["meta"]["corpus"] = corpus
    write_rows(mixture, "train", rows)
    assert error(lambda: list(open_run(mixture).rows("train"))) == (
        f"{mixture}/train.jsonl:5: not a sample: 'corpus' in 'meta' is {corpus!r}, the mixture is of shop-pair, "
        "tea-talk, town-mrc; make the mixture again with `python -m curate mix FILE --force`"
    )


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        ("task", None, "the task of the corpus"),
        ("task", "mixture", "the task of the corpus"),
        ("metrics", None, "a list of metrics' names"),
        ("metrics", [], "a list of metrics' names"),
        ("metrics", "f1", "a list of metrics' names"),
        ("labels", ["相同"], "the word of each label"),
        ("labels", {"0": 1}, "the word of each label"),
    ],
)
def test_a_corpus_that_the_manifest_does_not_describe(mixture: Path, key: str, value: object, what: str) -> None:
    change_manifest(mixture, lambda manifest: manifest["mixture"]["corpora"]["shop-pair"].update({key: value}))
    assert error(lambda: open_run(mixture)) == (
        f"{mixture / MANIFEST}: mixture.corpora.shop-pair.{key}: must be {what}; "
        "make the mixture again with `python -m curate mix FILE --force`"
    )


@pytest.mark.parametrize("said", [None, {}, {"corpora": []}, {"corpora": {}}, 3])
def test_a_mixture_without_corpora(mixture: Path, said: object) -> None:
    change_manifest(mixture, lambda manifest: manifest.update(mixture=said))
    assert f"{mixture / MANIFEST}: mixture.corpora: must name the corpora" in error(lambda: open_run(mixture))


def test_metrics_that_a_corpus_can_not_have(mixture: Path, tmp_path: Path) -> None:
    def say(corpus: str, **values: object) -> str:
        shutil.copy(MIXTURE / MANIFEST, mixture / MANIFEST)
        change_manifest(mixture, lambda manifest: manifest["mixture"]["corpora"][corpus].update(values))
        return error(lambda: tuned(mixture, tmp_path / "t"))

    place = f"{mixture / MANIFEST}: mixture.corpora"
    assert say("town-mrc", metrics=["cmrc_me"]) == (
        f"{place}.town-mrc.metrics: 'cmrc_me' is not a metric; did you mean 'cmrc_em'?"
    )
    assert say("shop-pair", labels={}) == (
        f"{place}.shop-pair.metrics: accuracy compares labels, but this pair corpus has no label words"
    )
    message = say("shop-pair", labels={"0": "不同", "2": "相同"})
    assert message == f'{place}.shop-pair.metrics: f1 is the F1 of class "1", but the labels of the run are 0, 2'
    message = say("shop-pair", labels={"1": "相同"})
    assert message == f"{mixture}/validation.jsonl:2: 'label' in 'meta' must be one of 1 (shop-pair)"
