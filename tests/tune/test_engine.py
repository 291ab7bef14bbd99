"""A packed row is worth exactly what its samples are worth one by one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from rows_of_tokens import lists_whole_blocks, random_tokens, small_model

from tune.attention import NAME, FlexRows, LoopRows, _BlockMask, with_prefix
from tune.errors import UserError
from tune.heads import plain_weight, summed_loss, token_losses
from tune.methods import METHODS
from tune.model import probe
from tune.objectives import answer_nll, cut_at_samples, hidden_states, sft_loss, unwrapped
from tune.pack import build_pack

FAMILIES = ["qwen2", "qwen3", "llama", "gemma3", "gemma2"]
LENGTHS = [12, 3, 30, 2, 21, 9]
SETTINGS = SimpleNamespace(
    r=4, alpha=8, dropout=0.0, targets="all-linear", rslora=False, dora=False, loraplus=None, init=True, layers=1
)


def prepared(family: str, method: str, **changes: Any) -> Any:
    model = METHODS[method].prepare(small_model(family), SimpleNamespace(**{**vars(SETTINGS), **changes}))
    torch.manual_seed(1)
    with torch.no_grad():  # LoRA's B starts at zero: half of its gradients would be zero too
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    cut_at_samples(model)
    return model.train()


def one_by_one(model: Any, tokens: Any) -> torch.Tensor:
    """The summed loss through the model's own forward and sdpa, a sample at a time, logits of every position."""
    total = torch.zeros(())
    for ids, learn in tokens.pieces:
        logits = model(input_ids=torch.from_numpy(ids).long()[None], use_cache=False).logits[0]
        losses = F.cross_entropy(logits[:-1].float(), torch.from_numpy(ids[1:]).long(), reduction="none")
        total = total + losses[torch.from_numpy(learn[1:]).bool()].sum()
    return total


def gradients(model: Any) -> dict[str, torch.Tensor]:
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    return found


@pytest.mark.parametrize("method", ["lora", "full", "freeze"])
@pytest.mark.parametrize("family", FAMILIES)
def test_packed_equals_one_by_one(family: str, method: str) -> None:
    tokens = random_tokens(LENGTHS, history=True)
    model = prepared(family, method)
    alone = one_by_one(model, tokens)
    alone.backward()
    wanted = gradients(model)
    loss = sft_loss(model, build_pack(tokens, np.arange(len(tokens)), 128))
    loss.backward()
    found = gradients(model)
    assert abs(loss.item() / alone.item() - 1) < 1e-6
    assert found.keys() == wanted.keys() == {n for n, p in model.named_parameters() if p.requires_grad}
    for name, gradient in wanted.items():
        assert gradient.norm() > 0, name
        assert (found[name] - gradient).norm() / gradient.norm() < 1e-5, name


@pytest.mark.parametrize("changes", [{"rslora": True}, {"dora": True}, {"dropout": 0.5}, {"init": "pissa"}])
def test_lora_variants_pack_too(changes: dict[str, Any]) -> None:
    tokens = random_tokens(LENGTHS)
    model = prepared("qwen3", "lora", **changes).eval()
    loss = sft_loss(model, build_pack(tokens, np.arange(len(tokens)), 128))
    assert abs(loss.item() / one_by_one(model, tokens).item() - 1) < 1e-6


@pytest.mark.parametrize("family", ["qwen3", "gemma3"])
def test_no_sample_sees_another(family: str) -> None:
    model = prepared(family, "full").eval()
    tokens = random_tokens(LENGTHS)
    everyone = np.arange(len(tokens))
    before = hidden_states(model, build_pack(tokens, everyone, 128)).detach()
    tokens.pieces[2][0][:] = (tokens.pieces[2][0] + 7) % 90 + 3
    pack = build_pack(tokens, everyone, 128)
    after = hidden_states(model, pack).detach()
    start, end = pack.bounds[2], pack.bounds[3]
    assert (before[start:end] != after[start:end]).any()
    for a, b in ((0, start), (end, pack.tokens)):
        assert torch.equal(before[a:b], after[a:b])


def test_rows_make_no_difference_to_a_step() -> None:
    """The same samples in one row or in six: the same summed loss and gradient."""
    tokens = random_tokens(LENGTHS)
    model = prepared("qwen3", "full")
    one = sft_loss(model, build_pack(tokens, np.arange(6), 128))
    one.backward()
    wanted = gradients(model)
    total = 0.0
    for sample in range(6):
        loss = sft_loss(model, build_pack(tokens, np.array([sample]), 128))
        loss.backward()
        total += loss.item()
    found = gradients(model)
    assert abs(total / one.item() - 1) < 1e-6
    assert all((found[n] - g).norm() <= 1e-5 * g.norm() for n, g in wanted.items())


@pytest.mark.parametrize("method", ["lora", "full"])
def test_checkpointing_changes_nothing(method: str) -> None:
    """Layers worked out again in the backward pass find the same row, and its samples, as before."""
    tokens = random_tokens(LENGTHS)
    model = prepared("qwen3", method)
    pack = build_pack(tokens, np.arange(6), 128)
    wanted_loss = sft_loss(model, pack)
    wanted_loss.backward()
    wanted = gradients(model)
    unwrapped(model).gradient_checkpointing_enable({"use_reentrant": False})
    loss = sft_loss(model, pack)
    loss.backward()
    found = gradients(model)
    assert torch.equal(loss, wanted_loss) and found.keys() == wanted.keys()
    assert all(torch.equal(found[name], gradient) for name, gradient in wanted.items())


def test_likelihoods_come_back_in_the_order_asked_for() -> None:
    tokens = random_tokens(LENGTHS)
    model = prepared("llama", "full")
    nll, count = answer_nll(model, tokens, 128)
    assert model.training
    for sample, (ids, learn) in enumerate(tokens.pieces):
        assert count[sample] == learn[1:].sum()
        single = one_by_one(model, SimpleNamespace(pieces=[(ids, learn)]))
        assert abs(nll[sample] / single.item() - 1) < 1e-5
    some, _ = answer_nll(model, tokens, 128, [4, 0])
    assert some == pytest.approx(nll[[4, 0]], rel=1e-5)


def test_generation_and_padded_batches_work_as_before() -> None:
    model = small_model("qwen3").eval()
    ids = torch.tensor([[0, 0, 0, 5, 6, 7], [8, 9, 10, 11, 12, 13]])
    mask = (ids != 0).long()
    plain = model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=8, do_sample=False)
    cut_at_samples(model)
    assert model.config._attn_implementation == NAME
    assert torch.equal(model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=8, do_sample=False), plain)


def test_the_probe_passes_and_finds_a_model_that_ignores_the_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = random_tokens(LENGTHS)
    model = prepared("qwen3", "lora")
    assert probe(model, tokens, 128) < 1e-5
    from transformers.models.qwen3 import modeling_qwen3

    class OwnWay:
        @staticmethod
        def get_interface(name: str, default: Any) -> Any:
            def whole_row(module: Any, q: Any, k: Any, v: Any, mask: Any, **kwargs: Any) -> Any:
                out = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
                return out.transpose(1, 2), None

            return whole_row

    monkeypatch.setattr(modeling_qwen3, "ALL_ATTENTION_FUNCTIONS", OwnWay)
    with pytest.raises(UserError, match="see each other"):
        probe(model, tokens, 128)


def test_the_probe_finds_a_head_that_changes_its_logits() -> None:
    tokens, model = random_tokens(LENGTHS), prepared("qwen3", "full")
    unwrapped(model).lm_head.register_forward_hook(lambda module, args, logits: logits * 0.5)
    with pytest.raises(UserError, match="changes its logits"):
        probe(model, tokens, 128)
    assert probe(prepared("gemma2", "full"), tokens, 128) < 1e-5  # known to: its own forward makes its logits


def test_the_fused_lora_forward_equals_pefts() -> None:
    """A layer alone, three with the same input, and three with inputs of their own."""
    model = prepared("qwen3", "lora")
    block = unwrapped(model).model.layers[0]
    alone = [block.mlp.down_proj]
    siblings = [block.self_attn.q_proj, block.self_attn.k_proj, block.self_attn.v_proj]
    assert siblings[0].joint is siblings[2].joint is not None and alone[0].joint is None
    for layers, inputs in ((alone, 1), (siblings, 1), (siblings, 3)):
        xs = [torch.randn(2, 5, layers[0].in_features, requires_grad=True) for _ in range(inputs)] * (
            len(layers) // inputs
        )
        weights = [w for layer in layers for w in (layer.lora_A.default.weight, layer.lora_B.default.weight)]
        fused = [layer(x) for layer, x in zip(layers, xs, strict=True)]
        plain = [type(layer).__mro__[1].forward(layer, x) for layer, x in zip(layers, xs, strict=True)]
        torch.testing.assert_close(fused, plain)
        asked = [*dict.fromkeys(xs), *weights]
        found = torch.autograd.grad(sum((y.sin().sum() for y in fused), torch.zeros(())), asked)
        wanted = torch.autograd.grad(sum((y.sin().sum() for y in plain), torch.zeros(())), asked)
        torch.testing.assert_close(found, wanted)
        assert not any(layer.joint and layer.joint.outputs for layer in layers) or inputs == 3


def test_a_target_that_no_module_has_is_an_error() -> None:
    with pytest.raises(UserError, match="the model has no nosuch; its linear layers are down_proj, gate_proj"):
        prepared("qwen3", "lora", targets=["q_proj", "nosuch"])
    assert prepared("qwen3", "lora", targets=["q_proj", "mlp.up_proj"]) is not None


def test_joined_layers_keep_their_base_weights() -> None:
    model, base = prepared("qwen3", "lora"), small_model("qwen3")
    names = dict(base.named_parameters())
    for name, parameter in unwrapped(model).named_parameters():
        if "lora_" not in name:
            assert torch.equal(parameter, names[name.replace(".base_layer", "")]), name


@pytest.mark.parametrize("answers", [0, 1, 13])
def test_the_chunked_loss_equals_plain_cross_entropy(answers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tune.heads.CHUNK_LOGITS", 4 * 31)
    torch.manual_seed(0)
    hidden = torch.randn(answers, 8, requires_grad=True)
    weight = torch.randn(31, 8, requires_grad=True)
    target = torch.randint(31, (answers,))
    plain = F.cross_entropy(hidden @ weight.T, target, reduction="sum") * 0.3
    wanted = torch.autograd.grad(plain, (hidden, weight))
    loss = summed_loss(hidden, weight, target) * 0.3
    found = torch.autograd.grad(loss, (hidden, weight))
    torch.testing.assert_close(loss, plain)
    torch.testing.assert_close(found, wanted)
    assert token_losses(hidden, weight, target).sum().item() * 0.3 == pytest.approx(loss.item(), rel=1e-6)


def test_a_model_that_reshapes_its_logits_keeps_its_own_head() -> None:
    assert plain_weight(small_model("gemma2")) is None
    model = small_model("qwen3")
    assert plain_weight(model) is model.lm_head.weight


@pytest.mark.parametrize("window", [None, 40, 300])
def test_the_hand_made_block_mask_is_the_mask(window: int | None) -> None:
    """Each query block's key blocks, and each key block's query blocks, against the whole T x T mask."""
    tokens = random_tokens([100, 3, 60, 2, 21, 9, 530, 7])
    pack = build_pack(tokens, np.arange(len(tokens)), 768)
    rows = FlexRows(768, (window,) if window else (), torch.device("cpu")).load(pack)
    mask = rows.masks[window]
    at = torch.arange(768)
    whole = (at[None] <= at[:, None]) & (at[None] >= pack.start_T[:, None])
    if window:
        whole &= at[None] > at[:, None] - window
    made = mask.block_mask.mask_mod(0, 0, at[:, None], at[None])
    assert torch.equal(made, whole)
    assert lists_whole_blocks(mask, whole) == (window != 40)


@pytest.mark.parametrize("window", [None, 8])
def test_attention_with_a_prefix_apart_is_that_of_the_loop(window: int | None) -> None:
    """As on a GPU: over the row's own keys by the block mask, over the prefix apart, and both weighed."""
    from torch.nn.attention.flex_attention import flex_attention

    tokens, prefix = random_tokens(LENGTHS), 5
    pack = build_pack(tokens, np.arange(len(tokens)), 128)
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, heads, 128, 16, requires_grad=True) for heads in (4, 2, 2))
    before = tuple(torch.randn(1, 2, prefix, 16, requires_grad=True) for _ in range(2))
    inputs = (q, k, v, *before)
    wanted = LoopRows(prefix).load(pack).attend(q, k, v, 0.3, window, before)[:, :, : pack.tokens]
    flex = FlexRows(128, (window,) if window else (), torch.device("cpu"), prefix).load(pack)

    # The own part by hand, since flex_attention has no gradient on a CPU.
    at = torch.arange(128)
    inside = (at[None] <= at[:, None]) & (at[None] >= pack.start_T[:, None])
    inside &= at[None] > at[:, None] - (window or 128)
    scores = (q @ k.repeat_interleave(2, 1).transpose(-1, -2) * 0.3).masked_fill(~inside, float("-inf"))
    own, lse = scores.softmax(-1) @ v.repeat_interleave(2, 1), scores.logsumexp(-1)
    gone_T = flex.place_T - window + 1 if window else None
    found = with_prefix(q, own, lse, before, 0.3, gone_T)[:, :, : pack.tokens]
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(*(torch.autograd.grad(out.sin().sum(), inputs) for out in (found, wanted)))

    with torch.no_grad():
        flex.flex_attention = flex_attention  # not compiled by itself, but with what calls it
        attend = torch.compile(flex.attend, backend="eager", fullgraph=True)
        plain = [x.detach() for x in inputs]
        found = attend(*plain[:3], 0.3, window, tuple(plain[3:]))[:, :, : pack.tokens]
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_a_block_mask_takes_the_next_row_in_place() -> None:
    mask = _BlockMask(256, torch.device("cpu"))
    before = [tensor.data_ptr() for tensor in (mask.start_T, *mask.lists["kv"])]
    mask.load(torch.zeros(256, dtype=torch.int32))
    assert [tensor.data_ptr() for tensor in (mask.start_T, *mask.lists["kv"])] == before
    assert mask.lists["kv"][0].flatten().tolist() == [1, 1]
    assert mask.lists["full_kv"][0].flatten().tolist() == [0, 1]


@pytest.mark.parametrize("method", ["lora", "full", "freeze"])
def test_what_is_saved_loads_in_plain_libraries(method: str, tmp_path: Any) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = prepared("qwen3", method).eval()
    ids = torch.randint(3, 90, (2, 7))
    wanted = model(input_ids=ids).logits
    METHODS[method].save(model, tmp_path)
    if method == "lora":
        plain = PeftModel.from_pretrained(small_model("qwen3"), tmp_path)
    else:
        plain = AutoModelForCausalLM.from_pretrained(tmp_path)
    torch.testing.assert_close(plain.eval()(input_ids=ids).logits, wanted, rtol=1e-5, atol=1e-5)
    ours = METHODS[method].load(small_model("qwen3"), tmp_path).eval()
    torch.testing.assert_close(ours(input_ids=ids).logits, wanted, rtol=1e-5, atol=1e-5)
