"""Every method on packed rows is what PEFT, or the plain model, makes of the samples one by one."""

from __future__ import annotations

import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from rows_of_tokens import VOCABULARY, random_tokens, small_model
from toy_training import TRAIN, VALID, metrics

from tune import checkpoint
from tune.config import Config, resolve
from tune.errors import UserError
from tune.generate import generate
from tune.loop import train
from tune.methods import METHODS, bare_model, count_parameters
from tune.objectives import answer_nll, cut_at_samples, hidden_states, sft_loss, unwrapped
from tune.pack import build_pack
from tune.virtual import attentions, virtual_of, without_virtual

FAMILIES = ["qwen3", "llama", "gemma3"]
LENGTHS = [12, 3, 30, 2, 21, 9]
#: More virtual tokens than the sliding window of the small Gemma has room for beside a sample.
SMALL = ("virtual_tokens=5", "encoder_hidden=12", "bottleneck=6", "r=4", "layers=1")
#: Each method, and the settings that make another network of it. 4-bit weights need a GPU.
CASES = [(name, ()) for name in METHODS if name != "qlora"]
CASES += [("p_tuning", ("encoder=lstm",)), ("adapter", ("placement=pfeiffer",)), ("prompt", ("prompt_init=random",))]
ADAPTERS = [(name, sets) for name, sets in CASES if METHODS[name].folder == "adapter"]
VIRTUAL = ["prefix", "p_tuning_v2", "prompt", "p_tuning"]

pytestmark = pytest.mark.filterwarnings("ignore:Position ids are not supported")


def settings(method: str, *sets: str) -> Config:
    return resolve(None, model="m", method=method, sets=[*SMALL, *sets])


def prepared(family: str, method: str, *sets: str, moved: float = 0.1) -> Any:
    """A small model whose trained parameters are not where they begin: many begin at nothing."""
    torch.manual_seed(3)
    model = METHODS[method].prepare(small_model(family), settings(method, *sets))
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += moved * torch.randn_like(parameter)
    cut_at_samples(model)
    return model.train()


def for_(model: Any, tokens: Any) -> Any:
    """The samples with room for the model's virtual tokens."""
    virtual = virtual_of(unwrapped(model))
    return replace(tokens, virtual=virtual.places if virtual else 0)


def one_by_one(model: Any, tokens: Any) -> torch.Tensor:
    """The summed loss through PEFT's own forward, a sample at a time."""
    total = torch.zeros(())
    for ids, learn in tokens.pieces:
        # PEFT gives logits of its virtual tokens too.
        logits = model(input_ids=torch.from_numpy(ids).long()[None], use_cache=False).logits[0, -len(ids) : -1]
        losses = F.cross_entropy(logits.float(), torch.from_numpy(ids[1:]).long(), reduction="none")
        total = total + losses[torch.from_numpy(learn[1:]).bool()].sum()
    return total


def gradients(model: Any, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    loss.backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    return found


@pytest.mark.parametrize(("method", "sets"), CASES)
@pytest.mark.parametrize("family", FAMILIES)
def test_packed_equals_one_by_one_with_checkpointing_too(family: str, method: str, sets: tuple[str, ...]) -> None:
    tokens = random_tokens(LENGTHS, history=True)
    model = prepared(family, method, *sets)
    alone = one_by_one(model, tokens)
    wanted = gradients(model, alone)
    assert wanted.keys() == {name for name, p in model.named_parameters() if p.requires_grad}
    pack = build_pack(for_(model, tokens), np.arange(len(tokens)), 128)
    for checkpointing in (False, True):
        if checkpointing:
            unwrapped(model).gradient_checkpointing_enable({"use_reentrant": False})
        loss = sft_loss(model, pack)
        found = gradients(model, loss)
        assert abs(loss.item() / alone.item() - 1) < 1e-6
        assert found.keys() == wanted.keys()
        for name, gradient in wanted.items():
            assert gradient.norm() > 0, name
            assert (found[name] - gradient).norm() / gradient.norm() < 1e-5, name


@pytest.mark.parametrize("method", VIRTUAL)
@pytest.mark.parametrize("family", ["qwen3", "gemma3"])
def test_virtual_tokens_matter_to_each_sample_and_no_sample_to_another(family: str, method: str) -> None:
    """The test of equality has teeth, and what stands before a sample is not what stands before the row."""
    tokens = random_tokens(LENGTHS)
    model = prepared(family, method).eval()
    everyone = np.arange(len(tokens))
    pack = build_pack(for_(model, tokens), everyone, 128)
    before = hidden_states(model, pack).detach()
    tokens.pieces[2][0][:] = (tokens.pieces[2][0] + 7) % 90 + 3
    after = hidden_states(model, build_pack(for_(model, tokens), everyone, 128)).detach()
    changed = (before != after).any(dim=1)
    start, end = pack.bounds[2], pack.bounds[3]
    assert changed[start:end].any() and not changed[:start].any() and not changed[end:].any()

    with without_virtual(unwrapped(model)):
        plain, count = answer_nll(model, tokens, 128)
    tuned, _ = answer_nll(model, tokens, 128)
    assert (abs(tuned - plain) > 1e-3 * count).all()
    with without_virtual(unwrapped(model)):
        base, _ = answer_nll(small_with_rows(family), tokens, 128)
    assert plain == pytest.approx(base, rel=1e-6)


def small_with_rows(family: str) -> Any:
    model = small_model(family).eval()
    cut_at_samples(model)
    return model


# --- saved, loaded, generated ----------------------------------------------------------------------------------------


def prompts() -> list[list[int]]:
    random = torch.Generator().manual_seed(1)
    return [torch.randint(4, VOCABULARY, (n,), generator=random).tolist() for n in (3, 17, 1, 9)]


def greedy(model: Any, prompt: list[int], n: int) -> list[int]:
    """Without cache, batch or padding: the whole text through PEFT's forward for every token."""
    ids = list(prompt)
    for _ in range(n):
        with torch.no_grad():
            ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[len(prompt) :]


@pytest.mark.parametrize(("method", "sets"), ADAPTERS)
@pytest.mark.parametrize("family", FAMILIES)
def test_saved_and_loaded_by_plain_peft_it_answers_as_before(
    family: str, method: str, sets: tuple[str, ...], tmp_path: Path
) -> None:
    """Ours in a padded batch with a cache, PEFT's one by one without."""
    from peft import PeftModel

    model = prepared(family, method, *sets, moved=0.3).eval()
    options: dict[str, Any] = {"stop_ids": [VOCABULARY], "pad_id": 0, "max_new_tokens": 7}
    answers = generate(model, prompts(), **options)
    METHODS[method].save(model, tmp_path)
    assert (tmp_path / METHODS[method].marker).is_file()
    if method == "adapter":
        plain = with_adapters_by_hand(small_model(family), tmp_path)
    else:
        plain = PeftModel.from_pretrained(small_model(family), tmp_path)
    assert answers == [greedy(plain.eval(), prompt, 7) for prompt in prompts()]
    assert len({tuple(answer) for answer in answers}) > 1, "the test needs answers that differ"
    loaded = METHODS[method].load(small_model(family), tmp_path)
    assert generate(loaded, prompts(), **options) == answers
    assert virtual_of(unwrapped(loaded)) is None or all(
        getattr(module, "prefix", None) is None for module in attentions(unwrapped(loaded))
    )


def with_adapters_by_hand(model: Any, folder: Path) -> Any:
    """What adapter.json and adapter.safetensors say, from their description alone."""
    from safetensors.torch import load_file

    settings, tensors = (
        json.loads((folder / "adapter.json").read_text(encoding="utf-8")),
        load_file(folder / "adapter.safetensors"),
    )
    places = {"houlsby": {"self_attn": "o_proj", "mlp": "down_proj"}, "pfeiffer": {"mlp": "down_proj"}}
    parts = places[settings["placement"]]
    names = {f"layers.{i}.{part}.{end}" for i in range(2) for part in parts for end in ("down", "up")}
    assert tensors.keys() == names and settings["activation"] == "gelu" and settings["size"] == 6
    for i, layer in enumerate(model.model.layers):
        for part, linear in parts.items():
            down, up = (tensors[f"layers.{i}.{part}.{end}"] for end in ("down", "up"))

            def hook(module: Any, args: Any, y: torch.Tensor, down: Any = down, up: Any = up) -> torch.Tensor:
                return y + F.gelu(y @ down.T) @ up.T

            getattr(getattr(layer, part), linear).register_forward_hook(hook)
    return model


# --- training --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "sets"), CASES)
def test_frozen_parameters_stay_and_a_resumed_training_is_the_same(
    method: str, sets: tuple[str, ...], tmp_path: Path
) -> None:
    options = ("steps=4", "batch=6", "save_every=2", "eval_every=2", "keep=9", "lr=0.01")
    config = resolve(None, model="m", method=method, sets=[*SMALL, *sets, *options])

    def run(out: Path, resume: bool = False) -> tuple[Any, dict[str, torch.Tensor]]:
        torch.manual_seed(0)
        model = METHODS[method].prepare(small_model("qwen3"), config)
        cut_at_samples(model)
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        places = SimpleNamespace(pack=256, steps=4)
        train(model, for_(model, TRAIN), for_(model, VALID), config, out, places, resume=resume)
        return model, before

    model, before = run(tmp_path / "straight")
    for name, p in model.named_parameters():
        assert torch.equal(p, before[name]) != p.requires_grad, name
    saved = checkpoint.load(tmp_path / "straight" / "checkpoints" / checkpoint.step_name(4))
    lines = metrics(tmp_path / "straight")
    # As a kill after step 2 leaves it.
    shutil.copytree(tmp_path / "straight", tmp_path / "resumed", symlinks=True)
    shutil.rmtree(tmp_path / "resumed" / "checkpoints" / checkpoint.step_name(4))
    again, _ = run(tmp_path / "resumed", resume=True)
    assert metrics(tmp_path / "resumed") == lines
    resumed = checkpoint.load(tmp_path / "resumed" / "checkpoints" / checkpoint.step_name(4))
    assert saved.weights.keys() == resumed.weights.keys()
    assert all(torch.equal(tensor, resumed.weights[name]) for name, tensor in saved.weights.items())
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize("method", [name for name in METHODS if name not in ("full", "freeze", *VIRTUAL)])
def test_an_untrained_model_is_the_base_model(method: str) -> None:
    """So that the base model can be evaluated without taking the method out again (of virtual tokens: see above)."""
    model = METHODS[method].prepare(small_model("gemma3"), settings(method)).eval()
    ids = torch.randint(3, VOCABULARY, (2, 9))
    torch.testing.assert_close(model(input_ids=ids).logits, small_model("gemma3").eval()(input_ids=ids).logits)


# --- what is known beforehand, and what is refused -------------------------------------------------------------------


@pytest.mark.parametrize(("method", "sets"), CASES)
def test_parameters_are_counted_without_a_model(method: str, sets: tuple[str, ...]) -> None:
    config, model = settings(method, *sets), prepared("qwen3", method, *sets)
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    found = count_parameters(unwrapped(model).config, config)
    assert found == (sum(n for n, _ in sizes), sum(n for n, trains in sizes if trains))


@pytest.mark.parametrize("name", METHODS)
def test_each_method_says_what_one_needs_to_choose_it(name: str) -> None:
    method = METHODS[name]
    for text in (method.name, method.summary, method.when, method.source, method.saved):
        assert text and "\n" not in text and not text.endswith(".")
    assert method.weight_decay == 0 or method.folder == "model"
    assert all(key in method.keys for key in (*method.fixed, *method.own))


def config_of(kind: str, **changes: Any) -> Any:
    import transformers

    sizes: dict[str, Any] = {"vocab_size": 97, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    sizes |= {"num_attention_heads": 4, "num_key_value_heads": 2, "pad_token_id": 0}
    if kind == "Gemma3nText":
        changes |= {"num_hidden_layers": 4, "num_kv_shared_layers": 2, "activation_sparsity_pattern": [0.0] * 4}
        changes |= {"layer_types": ["sliding_attention", "full_attention"] * 2}
    return getattr(transformers, f"{kind}Config")(**{**sizes, **changes})


REFUSED = [
    ("ia3", "Phi3", "no linear layer k_proj, v_proj of its own", "lora"),
    ("adapter", "Qwen3Moe", "not every layer has a linear layer mlp.down_proj", "lora"),
    ("ln", "Olmo", "its norms have no weights", "ia3"),
    ("prefix", "Mamba", "not every layer has an attention", ""),
    ("prompt", "Gemma3nText", "look words up by their ids", "lora"),
    ("prefix", "Gemma3nText", "different shapes, or share them", "lora"),
]


@pytest.mark.parametrize(("method", "kind", "why", "nearest"), REFUSED)
def test_a_family_that_a_method_cannot_work_with_is_refused_without_weights(
    method: str, kind: str, why: str, nearest: str
) -> None:
    taken = f"method {nearest}$" if nearest else "a model"
    with pytest.raises(UserError, match=f"method {method}: can't work with .* models: .*{why}.*; take {taken}"):
        METHODS[method].prepare(bare_model(config_of(kind)), settings(method))
    if nearest:
        bare = bare_model(config_of(kind))
        assert sum(
            p.numel() for p in METHODS[nearest].prepare(bare, settings(nearest)).parameters() if p.requires_grad
        )


def test_it_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    from tune.model import check_method

    config_of("Phi3").save_pretrained(tmp_path)  # a folder without weights
    with pytest.raises(UserError, match="method ia3: can't work with phi3 models"):
        check_method(resolve(None, model=str(tmp_path), method="ia3"))
    check_method(resolve(None, model=str(tmp_path), method="lora"))
    check_method(resolve(None, model="no/such-model", method="ia3"))  # what is wrong with it is another's to say


def test_4_bit_weights_need_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    from tune import model

    monkeypatch.setattr(model, "find_spec", lambda name: None)
    with pytest.raises(
        UserError, match="method qlora: needs bitsandbytes, not installed here; pip install bitsandbytes"
    ):
        model.check_method(resolve(None, model="m", method="qlora"))


# --- how virtual tokens begin ----------------------------------------------------------------------------------------


class Words:
    """A tokenizer whose words are numbers."""

    def __call__(self, text: str, add_special_tokens: bool) -> dict[str, list[int]]:
        assert not add_special_tokens
        return {"input_ids": [int(word) for word in text.split()]}


@pytest.mark.parametrize("family", ["qwen3", "gemma3"])
def test_prompts_begin_as_words_of_the_vocabulary_or_of_a_text(family: str) -> None:
    words = small_model(family).get_input_embeddings()(torch.arange(VOCABULARY))

    def begun(*sets: str) -> torch.Tensor:
        torch.manual_seed(0)
        return virtual_of(
            METHODS["prompt"].prepare(small_model(family), settings("prompt", *sets), Words()).get_base_model()
        ).vectors()

    assert torch.equal(begun("prompt_init=text", "prompt_text=7 8 9"), words[[7, 8, 9, 7, 8]])
    assert torch.equal(begun("prompt_init=text", "prompt_text=1 2 3 4 5 6 7"), words[[1, 2, 3, 4, 5]])
    drawn = begun()
    assert all((words == vector).all(dim=1).any() for vector in drawn)
    assert not any((words == vector).all(dim=1).any() for vector in begun("prompt_init=random"))


def test_a_text_is_asked_for() -> None:
    with pytest.raises(UserError, match=r"prompt_init=text: .* give that too"):
        settings("prompt", "prompt_init=text")
    with pytest.raises(UserError, match="there are none; give prompt_text"):
        METHODS["prompt"].prepare(
            small_model("qwen3"), settings("prompt", "prompt_init=text", "prompt_text=' '"), Words()
        )


def test_peft_has_nothing_to_warn_of() -> None:
    """What it warns of when a method is prepared would be printed in the middle of a plan."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        for name in METHODS:
            METHODS[name].prepare(small_model("llama"), settings(name))
