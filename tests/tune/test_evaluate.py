"""What evaluation says about a model, counted once more by plain forwards of one sample at a time."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tuned_by_hand import ROW_TOKENS, Work, work_on

from tune.errors import UserError
from tune.evaluate import _chunks, evaluate, label_log_probs, write_samples
from tune.generate import generate
from tune.questions import accepted, ask, labelled_splits
from tune.results import read_evaluation, read_lines, read_predictions, write_evaluation
from tune.runs import open_run

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("tokens")


@pytest.fixture(scope="module", params=["pair", "mrc", "dialogue"])
def work(request, cache) -> Work:
    return work_on(open_run(GOLDEN / request.param), cache, sets=("max_new_tokens=9",))


@pytest.fixture(scope="module")
def pair_work(cache) -> Work:
    return work_on(open_run(GOLDEN / "pair"), cache)


@pytest.fixture(scope="module")
def found(work):
    return work.evaluate()


def nll_of(work: Work, ids: list[int], learnt: list[int]) -> float:
    """The summed negative log-likelihood of the tokens at `learnt`, by transformers' own forward."""
    with torch.no_grad():
        log_p_TV = work.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].double().log_softmax(-1)
    return -sum(float(log_p_TV[t - 1, ids[t]]) for t in learnt)


def test_answer_loss_is_the_mean_over_learnt_tokens(work, found):
    for split in ("validation", "test"):
        tokens, nll, n = work.tokens[split], 0.0, 0
        for i in range(len(tokens)):
            ids, learn = (part.tolist() for part in tokens.sample(i))
            learnt = [t for t, flag in enumerate(learn) if flag]
            nll, n = nll + nll_of(work, ids, learnt), n + len(learnt)
        loss = found.splits[split]["answer_loss"]
        assert loss["value"] == pytest.approx(nll / n, rel=1e-5)
        assert loss["low"] < loss["value"] < loss["high"]
        assert found.splits[split]["answer_tokens"] == n


def test_rows_are_the_labelled_ones_in_file_order(work, found):
    for split in ("validation", "test"):
        samples = [sample for sample in work.run.rows(split) if sample["output"]]
        rows = [row for row in found.rows if row["split"] == split]
        assert [row["id"] for row in rows] == [sample["meta"]["id"] for sample in samples]
        assert found.splits[split]["n"] == len(samples)
        for row, sample in zip(rows, samples, strict=True):
            assert row["references"] == accepted(sample)
            messages = work.prompter.messages(sample)
            assert row["prompt"] == work.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True
            )


def test_predictions_are_greedy_answers(work, found):
    most = 5 if work.run.labels else 9  # two characters, the end of the turn, and two to see that it didn't stop
    for row in [row for row in found.rows if row["split"] == "test"]:
        prompt = work.tokenizer(row["prompt"], add_special_tokens=False)["input_ids"]
        stop_ids, pad_id = work.prompter.stop_ids, work.prompter.pad_id
        (ids,) = generate(work.model, [prompt], stop_ids=stop_ids, pad_id=pad_id, max_new_tokens=most)
        assert row["prediction"] == work.prompter.decode(ids)
        assert row["scores"]["exact_match"] == (row["prediction"] in row["references"])


def test_metrics_of_the_run_are_there(work, found):
    for section in found.splits.values():
        assert set(work.run.metrics) <= set(section)
        for name, figure in section.items():
            if isinstance(figure, dict):
                assert figure["low"] <= figure["value"] <= figure["high"], name
                assert name in ("answer_loss", "perplexity") or 0 <= figure["value"] <= 1
        if "perplexity" in section:
            assert section["perplexity"]["value"] == pytest.approx(math.exp(section["answer_loss"]["value"]))


def probabilities_by_hand(work: Work, sample: dict, words: dict[str, str]) -> dict[str, float]:
    """P(word and end of turn | prompt), normalised, each answer as one text through the tokenizer."""
    prompt = work.prompter.prompt_text(sample)
    start = len(work.tokenizer(prompt, add_special_tokens=False)["input_ids"])
    p = {}
    for code, word in words.items():
        ids = work.tokenizer(prompt + word + "<|im_end|>", add_special_tokens=False)["input_ids"]
        p[code] = math.exp(-nll_of(work, ids, list(range(start, len(ids)))))
    return {code: value / sum(p.values()) for code, value in p.items()}


def test_label_probabilities_are_those_of_the_whole_answers(pair_work):
    found = pair_work.evaluate()
    samples = {
        sample["meta"]["id"]: sample for split in ("validation", "test") for sample in pair_work.run.rows(split)
    }
    right = []
    for row in found.rows:
        by_hand = probabilities_by_hand(pair_work, samples[row["id"]], pair_work.run.labels)
        scores = row["scores"]
        assert scores["probabilities"] == pytest.approx(by_hand, abs=2e-6)
        assert scores["likeliest"] == max(by_hand, key=lambda code: by_hand[code])
        assert scores["likeliest_correct"] == (scores["likeliest"] == samples[row["id"]]["meta"]["label"])
        if row["split"] == "validation":
            right.append(scores["likeliest_correct"])
    assert found.splits["validation"]["accuracy_likelihood"]["value"] == pytest.approx(np.mean(right))


def test_what_stands_beside_an_accuracy(pair_work):
    """Majority, the linear model, AUC, and the threshold that is best on validation, each counted again."""
    found = pair_work.evaluate()
    for split, section in found.splits.items():
        rows = [row for row in found.rows if row["split"] == split]
        gold = ["1" if row["references"] == ["相同"] else "0" for row in rows]
        p = [row["scores"]["probabilities"]["1"] for row in rows]
        assert section["majority"]["value"] == max(gold.count("0"), gold.count("1")) / len(gold)
        assert 0 <= section["bag_of_characters"]["value"] <= 1
        pairs = [(a > b) + (a == b) / 2 for a, x in zip(p, gold, strict=True) if x == "1"
                 for b, y in zip(p, gold, strict=True) if y == "0"]  # fmt: skip
        assert section["auc"]["value"] == pytest.approx(np.mean(pairs))
        threshold = section["accuracy_at_threshold"]["threshold"]
        right = [(value >= threshold) == (label == "1") for value, label in zip(p, gold, strict=True)]
        assert section["accuracy_at_threshold"]["value"] == pytest.approx(np.mean(right))
        if split == "validation":
            best = max(np.mean([(v >= t) == (g == "1") for v, g in zip(p, gold, strict=True)]) for t in [*p, 2.0])
            assert np.mean(right) == pytest.approx(best)
    without = pair_work.evaluate(["test"])
    assert "accuracy_at_threshold" not in without.splits["test"]
    assert without.notes == ["accuracy_at_threshold: there is no validation split to choose the threshold on"]


def test_words_of_unequal_token_counts(pair_work):
    (questions,) = ask(pair_work.run, "validation", pair_work.tokens["validation"], pair_work.prompter)
    words = {"0": "不", "1": "相同相同相同"}
    log_p_NW = label_log_probs(pair_work.model, pair_work.prompter, questions, list(words.values()), ROW_TOKENS)
    assert np.exp(log_p_NW).sum(axis=1) == pytest.approx(1)
    for sample, log_p_W in zip(questions.samples, log_p_NW, strict=True):
        by_hand = probabilities_by_hand(pair_work, sample, words)
        assert np.exp(log_p_W) == pytest.approx(list(by_hand.values()), rel=1e-4)
        assert by_hand["0"] > 0.999, "an answer of six random tokens is far less likely than one of one"


def test_chunks_cover_every_row_once():
    sizes = [3, 9, 1, 1, 1, 20, 2]
    chunks = list(_chunks(sizes, most=10))
    assert [i for start, stop in chunks for i in range(start, stop)] == list(range(len(sizes)))
    assert all(sum(sizes[a:b]) <= 10 or b - a == 1 for a, b in chunks)
    assert len(chunks) > 1
    assert list(_chunks([], most=10)) == []


def test_the_loss_setting_changes_what_is_learnt_not_what_an_answer_is(cache, pair_work):
    everything = work_on(pair_work.run, cache, loss="all")
    assert everything.tokens["test"].counts["answer_tokens"] > pair_work.tokens["test"].counts["answer_tokens"]
    one, other = pair_work.evaluate(["test"]), everything.evaluate(["test"])
    assert other.splits["test"]["answer_loss"] == pytest.approx(one.splits["test"]["answer_loss"])


def test_a_limit_takes_the_first_rows(pair_work):
    whole, few = pair_work.evaluate(["validation"]), pair_work.evaluate(["validation"], eval_limit=2)
    assert few.splits["validation"]["n"] == 2
    assert [row["id"] for row in few.rows] == [row["id"] for row in whole.rows[:2]]
    assert [row["prediction"] for row in few.rows] == [row["prediction"] for row in whole.rows[:2]]


def test_a_label_that_the_run_does_not_know(pair_work):
    run = replace(pair_work.run, labels={"1": "相同"})
    with pytest.raises(UserError, match=r"validation.jsonl:\d+: 'label' in 'meta' must be one of 1"):
        ask(run, "validation", pair_work.tokens["validation"], pair_work.prompter)


def test_a_row_too_long_for_training_is_asked_all_the_same(cache):
    short = work_on(open_run(GOLDEN / "mrc"), cache, sets=("max_length=130",))
    kept = len(short.tokens["validation"])
    assert kept == 2
    found = short.evaluate(["validation"])
    assert found.splits["validation"]["n"] == 6
    assert found.notes == [f"validation: answer_loss leaves out {6 - kept} rows without tokens (too long)"]
    assert [row["scores"]["answer_tokens"] > 0 for row in found.rows].count(True) == kept


def test_a_prompt_cut_for_training_is_cut_in_evaluation(cache):
    cut = work_on(open_run(GOLDEN / "mrc"), cache, sets=("max_length=90", "too_long=truncate_prompt"))
    tokens = cut.tokens["validation"]
    assert len(tokens) == 6 and tokens.counts["truncated"] > 0
    (questions,) = ask(cut.run, "validation", tokens, cut.prompter)
    assert [len(prompt) for prompt in questions.prompts] == tokens.prompts.tolist()
    assert max(map(len, questions.prompts)) < 90


def test_the_model_is_left_as_it_was(pair_work):
    model = pair_work.model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()
    pair_work.evaluate(["test"])
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    model.eval()


def test_samples_over_time_draw_no_random_number(tmp_path, pair_work):
    found = pair_work.evaluate(["validation"], eval_limit=2)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    parts = (pair_work.model.train(), pair_work.prompter, pair_work.run)
    for step in (5, 10):
        write_samples(*parts, pair_work.config.model_copy(update={"max_new_tokens": 5}), tmp_path, step, n=2)
    assert torch.equal(torch.get_rng_state(), state)
    assert pair_work.model.training
    pair_work.model.eval()
    keys = ("id", "prediction", "references")
    said = [{key: row[key] for key in keys} for row in found.rows]
    assert read_lines(tmp_path / "samples.jsonl") == [{"step": step, **row} for step in (5, 10) for row in said]


def test_evaluating_twice_says_the_same(pair_work):
    assert pair_work.evaluate() == pair_work.evaluate()


def without_labels(folder: Path, split: str) -> Path:
    """A copy of the pair run in which no row of a split has a label."""
    shutil.copytree(GOLDEN / "pair", folder)
    path = folder / f"{split}.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        row["output"] = ""
        row["meta"] |= {"labelled": False, "label": ""}
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    for entry in manifest["outputs"]:
        if entry["file"] == path.name:
            entry["bytes"] = path.stat().st_size
    (folder / "manifest.json").write_text(json.dumps(manifest, ensure_ascii=False), encoding="utf-8")
    return folder


def test_a_split_without_labels(tmp_path, pair_work):
    run = open_run(without_labels(tmp_path / "run", "test"))
    assert labelled_splits(run) == (["validation"], ["test: no row has a label; not evaluated"])
    with pytest.raises(UserError, match=r"test\.jsonl: no row has a label"):
        labelled_splits(run, ["test"])
    with pytest.raises(UserError, match="has no spam split"):
        labelled_splits(run, ["spam"])
    assert labelled_splits(pair_work.run) == (["validation", "test"], [])
    assert labelled_splits(pair_work.run, ["train"]) == (["train"], [])
    with pytest.raises(UserError, match="the test split has no labelled row"):
        empty = {"test": replace(pair_work.tokens["test"])}
        evaluate(pair_work.model, pair_work.prompter, run, ["test"], pair_work.config, empty, row_tokens=ROW_TOKENS)


def test_base_first_tuned_later(tmp_path, pair_work):
    found = pair_work.evaluate()
    tuned = replace(found, rows=[{**row, "prediction": "相同"} for row in found.rows])
    assert write_evaluation(tmp_path, base=found) == []
    assert set(json.loads((tmp_path / "eval.json").read_text(encoding="utf-8"))) == {"base"}
    assert read_evaluation(tmp_path, "tuned") is None
    with pytest.raises(UserError, match=r"predictions.jsonl:1: no prediction of the tuned model"):
        read_predictions(tmp_path)
    assert write_evaluation(tmp_path, tuned=tuned) == []
    assert read_evaluation(tmp_path, "base") == found
    assert read_evaluation(tmp_path, "tuned") == tuned
    lines = read_predictions(tmp_path)
    assert [line["prediction"] for line in lines] == ["相同"] * len(found.rows)
    assert [line["base_prediction"] for line in lines] == [row["prediction"] for row in found.rows]
    assert list(lines[0]) == [
        "id", "split", "prompt", "prediction", "references", "base_prediction", "scores", "base_scores"
    ]  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == ["eval.json", "predictions.jsonl"]


def test_a_base_evaluated_on_other_rows_is_left_out(tmp_path, pair_work):
    write_evaluation(tmp_path, base=pair_work.evaluate(eval_limit=2))
    notes = write_evaluation(tmp_path, tuned=pair_work.evaluate())
    assert notes == ["base: was evaluated on other rows before; left out of eval.json"]
    assert read_evaluation(tmp_path, "base") is None
    with pytest.raises(ValueError, match="different rows"):
        write_evaluation(tmp_path, base=pair_work.evaluate(eval_limit=2), tuned=pair_work.evaluate())
