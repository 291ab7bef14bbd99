"""An encoder's whole road on a hand-made run, what comes of it in plain transformers, and what is refused before."""

from __future__ import annotations

import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from rows_of_tokens import small_classifier

from tune.chat import chat
from tune.config import resolve
from tune.data import tokenise
from tune.errors import UserError
from tune.export import merge
from tune.loop import train as train_steps
from tune.model import load, settle
from tune.reader import make_reader
from tune.runs import open_run
from tune.tuning import plan_only, tune

QUICK = ["steps=6", "save_every=3", "eval_every=3", "batch=8"]


def tuned(run: Path, out: Path, *sets: str, **options: Any) -> tuple[dict[str, Any], str]:
    stream = io.StringIO()
    flags = {"model": "tiny-bert", **options.pop("flags", {})}
    return tune(run, {"sets": [*QUICK, *sets], **flags}, out=out, stream=stream, **options), stream.getvalue()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    golden = Path(__file__).resolve().parents[1] / "golden" / "pair"
    return Path(shutil.copytree(golden, tmp_path_factory.mktemp("runs") / "pair"))


@pytest.fixture(scope="module")
def finished(run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str]:
    out = tmp_path_factory.mktemp("tunings") / "t"
    return out, *tuned(run, out, "steps=16", "label_smoothing=0.1", "class_weights=balanced")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_whole_road(finished: tuple[Path, dict[str, Any], str]) -> None:
    out, result, said = finished
    assert "is an encoder, so objective classify" in said and "the head is new" in said
    found = result["eval"]["tuned"]["validation"]
    assert {"accuracy", "f1", "accuracy_likelihood", "auc", "majority", "answer_loss"} <= found.keys()
    steps = [line["loss"] for line in lines(out / "metrics.jsonl") if "loss" in line]
    assert sum(steps[-4:]) < sum(steps[:4])
    for row in lines(out / "predictions.jsonl"):
        p = row["scores"]["probabilities"]
        assert sum(p.values()) == pytest.approx(1) and row["prediction"] in ("不同", "相同")
        assert row["scores"]["likeliest_correct"] == row["scores"]["accuracy"]
    plan = json.loads((out / "plan.json").read_text(encoding="utf-8"))
    assert plan["answer_tokens"] == plan["samples"]


@pytest.mark.slow
def test_the_built_in_sample_by_one_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tune.cli import main

    monkeypatch.chdir(tmp_path)
    assert main(["recipe", "lcqmc", "--model", "tiny-bert"]) == 0
    (out,) = (tmp_path / "tunings").glob("*tiny-bert-full")
    found = json.loads((out / "eval.json").read_text(encoding="utf-8"))
    loss = {name: found[name]["validation"]["answer_loss"]["value"] for name in found}
    assert loss["tuned"] < loss["base"]


def test_the_result_says_the_same_in_plain_transformers(finished: tuple[Path, dict[str, Any], str]) -> None:
    """By the card's own code, but for the texts."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    out, *_ = finished
    model: Any = AutoModelForSequenceClassification.from_pretrained(out / "model")
    tokenizer: Any = AutoTokenizer.from_pretrained(out / "model")
    assert model.config.id2label == {0: "不同", 1: "相同"} and model.config.problem_type.startswith("single_label")
    for row in lines(out / "predictions.jsonl"):
        with torch.no_grad():
            p = model(**tokenizer(*row["prompt"].split("\n"), return_tensors="pt")).logits.softmax(-1)[0]
        assert p.tolist() == pytest.approx(list(row["scores"]["probabilities"].values()), abs=1e-5)
    (code,) = re.findall(r"```python\n(.*?)```", (out / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    here: dict[str, Any] = {}
    code = code.replace('"model"', json.dumps(str(out / "model")))
    exec(compile(code, "card", "exec"), here)
    assert here["logits"].shape == (2,)


def test_a_text_a_line_gets_a_label_a_line(finished: tuple[Path, dict[str, Any], str]) -> None:
    out, *_ = finished
    (row, *_) = lines(out / "predictions.jsonl")
    said = io.StringIO()
    chat(out, stdin=io.StringIO(row["prompt"].replace("\n", "\t") + "\n花开了吗\n"), stdout=said)
    first, second = said.getvalue().splitlines()
    word, p = first.split(", ")[0].split()
    assert word == row["prediction"] and float(p) == pytest.approx(
        max(row["scores"]["probabilities"].values()), abs=0.01
    )
    assert re.fullmatch(r"(不同|相同) 0\.\d\d, (不同|相同) 0\.\d\d", second)


def test_an_adapter_with_a_head_resumes_loads_and_merges(run: Path, tmp_path: Path) -> None:
    flags = {"flags": {"method": "lora"}}
    whole, _ = tuned(run, tmp_path / "whole", **flags)
    real = train_steps

    def cut_off(*args: Any, **kwargs: Any) -> Any:
        real(*args, **{**kwargs, "until": 3})
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("tune.loop.train", cut_off)
        tuned(run, tmp_path / "cut", **flags)
    again, _ = tuned(run, tmp_path / "cut", resume=True, **flags)
    assert again["eval"] == whole["eval"]
    assert "logits within" in merge(tmp_path / "cut")
    assert "相同" in json.loads((tmp_path / "cut" / "merged" / "config.json").read_text(encoding="utf-8"))["label2id"]


def scored(run: Path, folder: Path, label: str | None = None) -> Path:
    """The run with numbers for labels: how many characters the two sentences share."""
    path = Path(shutil.copytree(run, folder / "scored"))
    manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    manifest |= {"metrics": ["pearson", "spearman", "mae"], "labels": {}}
    for entry in manifest["outputs"]:
        if entry["file"] not in ("train.jsonl", "validation.jsonl", "test.jsonl"):
            continue
        rows = lines(path / entry["file"])
        for row in rows:
            a, b = (set(row["meta"]["fields"][name]) for name in "ab")
            row["output"] = row["meta"]["label"] = label or f"{5 * len(a & b) / len(a | b):.2f}"
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (path / entry["file"]).write_text(text, encoding="utf-8")
        entry["bytes"] = len(text.encode())
    (path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return path


def test_scores_are_learnt_by_regression(run: Path, tmp_path: Path) -> None:
    result, _ = tuned(scored(run, tmp_path), tmp_path / "t", "objective=regress")
    found, base = (result["eval"][name]["validation"] for name in ("tuned", "base"))
    assert set(found) >= {"pearson", "spearman", "mae", "answer_loss"} and "exact_match" not in found
    assert found["mae"]["value"] < base["mae"]["value"]
    rows = [row for row in lines(tmp_path / "t" / "predictions.jsonl") if row["split"] == "validation"]
    errors = [abs(float(row["prediction"]) - float(row["references"][0])) for row in rows]
    assert found["mae"]["value"] == pytest.approx(sum(errors) / len(errors), rel=1e-4)


@pytest.mark.parametrize(
    ("flags", "sets", "why"),
    [
        ({"model": "tiny-bert"}, ["objective=sft"], "is an encoder .* can't write answers.* take objective classify"),
        ({"model": "tiny"}, ["label_smoothing=0.1"], "label_smoothing: is of objective classify, and this is sft"),
        ({"model": "tiny-bert"}, ["loss=all"], "loss: all is of texts"),
        ({"model": "tiny-bert", "method": "qlora"}, [], "method qlora: 4-bit weights under a head"),
        ({"model": "tiny-bert"}, ["objective=regress", "class_weights=balanced"], "class_weights: is of objective"),
    ],
)
def test_what_cant_work_is_refused(run: Path, flags: dict[str, Any], sets: list[str], why: str) -> None:
    with pytest.raises(UserError, match=why):
        plan_only(run, {"sets": sets, **flags}, stream=io.StringIO())


def test_a_run_without_labels_or_numbers_is_refused(run: Path, golden: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a mrc run has no labels; take a pair or classification run, or a causal"):
        plan_only(golden / "mrc", {"model": "tiny-bert"}, stream=io.StringIO())
    with pytest.raises(UserError, match="'label' in 'meta' is '不同', no number; objective regress needs one"):
        bad = scored(run, tmp_path, "不同")
        plan_only(bad, {"model": "tiny-bert", "sets": ["objective=regress"]}, stream=io.StringIO())


def test_an_encoder_that_cant_be_packed_is_refused_before_it_is_loaded(run: Path, tmp_path: Path) -> None:
    from transformers import DebertaV2Config

    DebertaV2Config(hidden_size=32).save_pretrained(tmp_path)  # no weights at all
    with pytest.raises(UserError, match=r"deberta-v2 models can't be packed: its attention is its own.*take a BERT"):
        settle(resolve(None, model=str(tmp_path)), open_run(run), [])


def test_files_without_a_head_get_one_from_the_seed(run: Path, tmp_path: Path) -> None:
    """A body alone, as a masked language model's: the head is new, the same for a seed, and names the run's labels."""
    opened = open_run(run)
    config = settle(resolve(opened, model="tiny-bert"), opened, [])
    loaded = load(config, opened, "cpu")
    loaded.model.bert.save_pretrained(tmp_path / "body")
    loaded.tokenizer.save_pretrained(tmp_path / "body")
    asked = settle(resolve(opened, model=str(tmp_path / "body"), method="lora"), opened, [])
    one, same = (load(asked, opened, "cpu").model for _ in range(2))
    other = load(asked.model_copy(update={"seed": 1}), opened, "cpu").model
    assert one.new_parts == ["classifier"] and one.config.id2label[1] == "相同"
    assert torch.equal(one.classifier.weight, same.classifier.weight)
    assert not torch.equal(one.classifier.weight, other.classifier.weight)
    assert torch.equal(one.bert.pooler.dense.weight, loaded.model.bert.pooler.dense.weight)


def test_a_pair_is_read_as_transformers_reads_it_and_cut_at_the_longer(run: Path, tmp_path: Path) -> None:
    opened = open_run(run)
    config = settle(resolve(opened, model="tiny-bert"), opened, [])
    loaded = load(config, opened, "cpu")
    reader: Any = make_reader(loaded.tokenizer, loaded.model.config, config, opened.labels)
    samples = list(opened.rows("train"))
    for sample, made in zip(samples, reader.encode(samples), strict=True):
        wanted = loaded.tokenizer(sample["meta"]["fields"]["a"], sample["meta"]["fields"]["b"])
        assert made.ids == wanted["input_ids"]
        assert [0] * made.second + [1] * (len(made.ids) - made.second) == wanted["token_type_ids"]
        assert list(opened.labels)[int(made.label)] == sample["meta"]["label"]
    fields = {"a": samples[0]["meta"]["fields"]["a"] * 3, "b": samples[1]["meta"]["fields"]["b"]}
    sample = {**samples[0], "meta": {**samples[0]["meta"], "fields": fields}}
    (made,) = reader.encode([reader.shorten(sample, 10)])
    most = len(reader.encode([sample])[0].ids) - 10
    options = {"truncation": "longest_first", "max_length": most}
    assert made.ids == loaded.tokenizer(fields["a"], fields["b"], **options)["input_ids"]
    short = config.model_copy(update={"max_length": 20, "too_long": "truncate_prompt"})
    tokens = tokenise(opened, "train", reader, short, tmp_path)
    assert tokens.counts["truncated"] and tokens.lengths.max() == 20 and len(tokens.label_N) == len(samples)


def test_a_decoder_with_a_head(run: Path, tmp_path: Path) -> None:
    """It reads the prompt it would answer, and reloads in plain transformers with the same labels."""
    from transformers import AutoModelForSequenceClassification

    tuned(run, tmp_path / "t", "objective=classify", flags={"model": "tiny"})
    model: Any = AutoModelForSequenceClassification.from_pretrained(tmp_path / "t" / "model")
    tokenizer_of: Any = __import__("transformers").AutoTokenizer.from_pretrained(tmp_path / "t" / "model")
    rows = lines(tmp_path / "t" / "predictions.jsonl")
    batch = tokenizer_of([row["prompt"] for row in rows], add_special_tokens=False, padding=True, return_tensors="pt")
    batch.pop("token_type_ids", None)
    with torch.no_grad():
        p_NC = model(**batch).logits.softmax(-1)
    for row, p_C in zip(rows, p_NC, strict=True):
        assert p_C.tolist() == pytest.approx(list(row["scores"]["probabilities"].values()), abs=1e-5)
        assert row["prompt"].endswith("<|im_start|>assistant\n")


def test_roberta_has_as_many_positions_as_stand_behind_its_padding() -> None:
    from tune.encoders import positions

    assert positions(small_classifier("roberta").config) == 128
    assert positions(small_classifier("bert").config) == 130
