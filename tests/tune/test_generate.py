"""Batched greedy generation gives what one-by-one generation gives."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tune.errors import UserError
from tune.generate import before_stop, generate, generating, make_batches

torch.set_num_threads(1)
VOCABULARY, STOPS, PAD = 24, (1, 2, 3), 0


def random_model(**changes):
    """A Qwen3 of two layers whose greedy answers differ from prompt to prompt."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "head_dim": 8}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.4}
    torch.manual_seed(0)
    return Qwen3ForCausalLM(Qwen3Config(vocab_size=VOCABULARY, **sizes, **heads, **changes)).eval()


@pytest.fixture(scope="module")
def model():
    return random_model()


def some_prompts(n: int) -> list[list[int]]:
    """Prompts of 1 to 23 tokens, all different."""
    random = torch.Generator().manual_seed(1)
    lengths = torch.randint(1, 24, (n,), generator=random).tolist()
    return [torch.randint(4, VOCABULARY, (length,), generator=random).tolist() for length in lengths]


def by_hand(model, prompt: list[int], n: int) -> list[int]:
    """Greedy search without cache, batch or padding: the whole text through the model for every token."""
    ids = list(prompt)
    for _ in range(n):
        with torch.no_grad():
            ids.append(int(model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
        if ids[-1] in STOPS:
            return ids[len(prompt) : -1]
    return ids[len(prompt) :]


@pytest.mark.parametrize("budget", [1, 60, 100_000])
def test_a_batch_gives_what_each_prompt_gives_alone(model, budget):
    prompts = some_prompts(24)
    answers = generate(model, prompts, stop_ids=STOPS, pad_id=PAD, max_new_tokens=9, budget=budget)
    alone = [by_hand(model, prompt, 9) for prompt in prompts]
    assert answers == alone
    assert len({tuple(answer) for answer in alone}) > 12, "the test needs answers that differ"
    assert {len(answer) == 9 for answer in alone} == {True, False}, "the test needs answers that stop and that don't"


def test_the_models_own_sampling_settings_are_set_aside_and_put_back(model):
    from transformers import GenerationConfig

    prompts = some_prompts(6)
    plain = generate(model, prompts, stop_ids=STOPS, pad_id=PAD, max_new_tokens=8)
    own = model.generation_config
    # Qwen's chat models ship settings of this kind.
    model.generation_config = loud = GenerationConfig(
        do_sample=True, temperature=2.0, top_k=3, repetition_penalty=5.0, eos_token_id=20, no_repeat_ngram_size=1
    )
    try:
        assert generate(model, prompts, stop_ids=STOPS, pad_id=PAD, max_new_tokens=8) == plain
        assert model.generation_config is loud
    finally:
        model.generation_config = own


def test_the_model_is_put_back_even_after_an_error(model):
    model.train()
    model.set_attn_implementation("eager")
    with pytest.raises(RuntimeError, match="stop here"), generating(model):
        assert not model.training
        assert model.config._attn_implementation == "sdpa"
        raise RuntimeError("stop here")
    assert model.training
    assert model.config._attn_implementation == "eager"
    model.set_attn_implementation("sdpa")
    model.eval()


def test_through_an_adapter():
    from peft import LoraConfig, get_peft_model

    prompts = some_prompts(6)
    config = LoraConfig(target_modules="all-linear", r=4, init_lora_weights=False, task_type="CAUSAL_LM")
    adapted = get_peft_model(random_model(), config)
    answers = generate(adapted, prompts, stop_ids=STOPS, pad_id=PAD, max_new_tokens=7)
    assert answers == [by_hand(adapted, prompt, 7) for prompt in prompts]
    with adapted.disable_adapter():
        base = generate(adapted, prompts, stop_ids=STOPS, pad_id=PAD, max_new_tokens=7)
    assert base == generate(random_model(), prompts, stop_ids=STOPS, pad_id=PAD, max_new_tokens=7)
    assert base != answers


def test_a_batch_without_memory_is_cut_in_two(model, monkeypatch):
    prompts = some_prompts(11)
    whole = generate(model, prompts, stop_ids=STOPS, pad_id=PAD, max_new_tokens=5)
    real, sizes, said = model.generate, [], []

    def small(input_ids, **rest):
        sizes.append(len(input_ids))
        if len(input_ids) > 3:
            raise torch.OutOfMemoryError("no room")
        return real(input_ids=input_ids, **rest)

    monkeypatch.setattr(model, "generate", small)
    cut = generate(model, prompts, stop_ids=STOPS, pad_id=PAD, max_new_tokens=5, report=said.append)
    assert cut == whole
    assert sizes == [11, 5, 2, 3, 6, 3, 3]
    assert said[-1] == "answers 11 of 11"

    def none(**rest):
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(model, "generate", none)
    with pytest.raises(UserError, match=r"a prompt of .* tokens doesn't fit"):
        generate(model, prompts, stop_ids=STOPS, pad_id=PAD, max_new_tokens=5)


def test_nothing_to_answer(model):
    assert generate(model, [], stop_ids=STOPS, pad_id=PAD, max_new_tokens=5) == []


@given(st.lists(st.integers(1, 300)), st.integers(1, 50), st.integers(1, 2000))
@settings(max_examples=200)
def test_batches_hold_every_prompt_once_within_the_budget(lengths, new, budget):
    batches = make_batches(lengths, new, budget)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        tokens = len(batch) * (max(lengths[i] for i in batch) + new)
        assert tokens <= budget or len(batch) == 1
    longest = [lengths[i] for batch in batches for i in batch]
    assert longest == sorted(longest, reverse=True)


def test_what_follows_a_stop_is_no_answer():
    assert before_stop([9, 8, 2, 7, 3], STOPS) == [9, 8]
    assert before_stop([9, 8], STOPS) == [9, 8]
    assert before_stop([3], STOPS) == []
