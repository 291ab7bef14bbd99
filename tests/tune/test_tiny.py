"""The tokenizer of characters and the small model, made of the hand-made runs."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest

from tune.prompt import make_prompter
from tune.runs import open_run
from tune.tiny import tiny_model, tiny_tokenizer

RUNS = ("pair", "mrc", "dialogue")


@pytest.mark.parametrize("name", RUNS)
def test_a_token_is_a_character(golden: Path, name: str) -> None:
    run = open_run(golden / name)
    tokenizer = tiny_tokenizer(run)
    prompter = make_prompter(tokenizer, tiny_model(tokenizer, 0).config)
    assert prompter.source == "tokenizer" and prompter.stop_ids[0] == tokenizer.eos_token_id == prompter.end_id
    for sample in run.rows("train"):
        text = prompter.prompt_text(sample)
        (ids,) = prompter.prompt_ids([sample])
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids) == text
        marks = text.count("<|im_start|>") * len("<|im_start|>") + text.count("<|im_end|>") * len("<|im_end|>")
        turns = text.count("<|im_start|>") + text.count("<|im_end|>")
        assert len(ids) == len(text) - marks + turns
        if sample["meta"]["labelled"]:
            (made,) = prompter.encode([sample])
            assert prompter.decode(made.ids[made.prompt :]) == sample["output"]
            assert len(made.ids) - made.prompt == len(sample["output"]) + 1


def test_labels_have_tokens_though_no_train_row_has_them(golden: Path, tmp_path: Path) -> None:
    run = open_run(golden / "pair")
    object.__setattr__(run, "labels", run.labels | {"2": "龘"})
    tokenizer = tiny_tokenizer(run)
    assert tokenizer("龘", add_special_tokens=False)["input_ids"] != [tokenizer.unk_token_id]
    assert tokenizer("靐", add_special_tokens=False)["input_ids"] == [tokenizer.unk_token_id]


def test_it_loads_again_with_plain_transformers(golden: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run = open_run(golden / "dialogue")
    tokenizer = tiny_tokenizer(run)
    model = tiny_model(tokenizer, 3)
    tokenizer.save_pretrained(tmp_path)
    model.save_pretrained(tmp_path)
    again, same = AutoTokenizer.from_pretrained(tmp_path), AutoModelForCausalLM.from_pretrained(tmp_path)
    talk = [{"role": "user", "content": "周末有空吗？\n 好"}]
    ids = tokenizer.apply_chat_template(talk, add_generation_prompt=True, return_dict=False)
    assert again.apply_chat_template(talk, add_generation_prompt=True, return_dict=False) == ids
    assert again.decode(ids) == "<|im_start|>user\n周末有空吗？\n 好<|im_end|>\n<|im_start|>assistant\n"
    assert (again.eos_token, again.pad_token, again.unk_token) == ("<|im_end|>", "<|endoftext|>", "<unk>")
    with torch.no_grad():
        assert torch.equal(model(torch.tensor([ids])).logits, same(torch.tensor([ids])).logits)
    assert make_prompter(again).sha256 == make_prompter(tokenizer).sha256


def test_the_model_is_decided_by_the_seed_and_nothing_else(golden: Path) -> None:
    import torch

    tokenizer = tiny_tokenizer(open_run(golden / "pair"))
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    first, again, other = (tiny_model(tokenizer, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), state)
    for (name, a), b, c in zip(
        first.state_dict().items(), again.state_dict().values(), other.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name
        assert a.dtype == torch.float32
        assert "norm" in name or not torch.equal(a, c), name


def test_it_is_small_and_knows_its_ends(golden: Path) -> None:
    tokenizer = tiny_tokenizer(open_run(golden / "pair"))
    model = tiny_model(tokenizer, 0)
    assert 2_000_000 < sum(p.numel() for p in model.parameters()) < 4_000_000
    assert model.get_input_embeddings().weight.shape[0] == len(tokenizer)
    assert model.lm_head.weight is model.get_input_embeddings().weight
    for config in (model.config, model.generation_config):
        assert (config.eos_token_id, config.pad_token_id) == (tokenizer.eos_token_id, tokenizer.pad_token_id)
    assert model.config.bos_token_id is None


def test_the_vocabulary_is_the_train_splits_and_its_order_says_nothing_of_the_rows(
    golden: Path, tmp_path: Path
) -> None:
    run = open_run(golden / "pair")
    vocabulary = tiny_tokenizer(run).get_vocab()
    rows = list(islice(run.rows("train"), 100))
    object.__setattr__(run, "splits", {"train": len(rows)})
    object.__setattr__(run, "path", tmp_path)
    lines = [json.dumps(row, ensure_ascii=False) for row in reversed(rows)]
    (tmp_path / "train.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert tiny_tokenizer(run).get_vocab() == vocabulary
