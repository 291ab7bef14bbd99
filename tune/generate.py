"""Batched greedy generation: what a model answers to each prompt, whatever the batch it stood in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from tune.errors import UserError

if TYPE_CHECKING:
    import torch

Report = Callable[[str], None]

#: Tokens a batch may hold, prompts, padding and answers together: they bound the cache of keys and values
#: (0.1–0.15 MB a token for Qwen3 0.6B–8B in bf16, so at most 5 GB on a GPU).
BUDGET = {"cuda": 32_768, "cpu": 8_192}


def generate(
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    stop_ids: Sequence[int],
    pad_id: int,
    max_new_tokens: int,
    budget: int | None = None,
    report: Report | None = None,
) -> list[list[int]]:
    """The most likely continuation of every prompt, token by token, in the order of `prompts`.

    `prompts` are token ids, N lists of any lengths. An answer holds at most `max_new_tokens` ids and ends before the
    first of `stop_ids`. Prompts of like length share a batch of at most `budget` tokens; a batch that the device has
    no memory for is cut in two. The model's own settings (temperature, repetition penalty, …) are set aside.

    Raises UserError if a single prompt doesn't fit the device's memory.
    """
    import torch

    answers: list[list[int]] = [[] for _ in prompts]
    device = next(model.parameters()).device
    batches = make_batches([len(ids) for ids in prompts], max_new_tokens, budget or BUDGET.get(device.type, 8_192))
    done = 0
    with generating(model):
        while batches:
            batch = batches.pop(0)
            try:
                found = _continue(model, [prompts[i] for i in batch], stop_ids, pad_id, max_new_tokens, device)
            except torch.OutOfMemoryError:
                found = None
            if found is None:  # outside the `except`, which holds on to the tensors of the failed attempt
                batches[:0] = _halves(batch, prompts)
                continue
            for index, ids in zip(batch, found, strict=True):
                answers[index] = ids
            done += len(batch)
            if report:
                report(f"answers {done:,} of {len(prompts):,}")
    return answers


def make_batches(lengths: Sequence[int], max_new_tokens: int, budget: int) -> list[list[int]]:
    """The prompts of each batch, longest first: what doesn't fit shows at once, and like lengths need little padding.

    A batch holds as many prompts as keep rows × (longest + `max_new_tokens`) within `budget`, and at least one.
    """
    batches: list[list[int]] = []
    room = 0
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if room == 0:
            batches.append([])
            room = max(1, budget // (lengths[index] + max_new_tokens))
        batches[-1].append(index)
        room -= 1
    return batches


def _halves(batch: list[int], prompts: Sequence[Sequence[int]]) -> list[list[int]]:
    if len(batch) == 1:
        raise UserError(
            f"a prompt of {len(prompts[batch[0]]):,} tokens doesn't fit the device's memory while generating; "
            "set a smaller max_length with too_long: truncate_prompt, or a smaller max_new_tokens"
        )
    middle = len(batch) // 2
    return [batch[:middle], batch[middle:]]


@contextmanager
def generating(model: Any) -> Iterator[None]:
    """Set a model up for `generate` — eval mode, plain sdpa (after a prefix, where there is one), eager layers, plain
    greedy search — and put it back."""
    import torch
    from transformers import GenerationConfig

    from tune.objectives import unwrapped
    from tune.virtual import virtual_of

    core = unwrapped(model)
    virtual = virtual_of(core)
    training, attention, own = model.training, core.config._attn_implementation, core.generation_config
    model.eval()
    wanted = virtual.attention if virtual else "sdpa"
    if attention != wanted:
        core.set_attn_implementation(wanted)
    # `generate` fills whatever its caller leaves open from the model's own generation config, so that goes too.
    core.generation_config = GenerationConfig()
    try:
        # Layers compiled for packs of one shape would be compiled again for every length met here.
        standing = virtual.generating(core) if virtual else nullcontext()
        with torch.no_grad(), torch.compiler.set_stance("force_eager"), standing:
            yield
    finally:
        core.generation_config = own
        if attention != wanted:
            core.set_attn_implementation(attention)
        model.train(training)


def _continue(
    model: Any,
    prompts: list[Sequence[int]],
    stop_ids: Sequence[int],
    pad_id: int,
    max_new_tokens: int,
    device: torch.device,
) -> list[list[int]]:
    """One batch, padded on the left so that every answer starts in the same column."""
    import torch
    from transformers import GenerationConfig

    from tune.objectives import unwrapped
    from tune.virtual import virtual_of

    longest = max(map(len, prompts))
    ids_BS = torch.full((len(prompts), longest), pad_id)
    mask_BS = torch.zeros_like(ids_BS)
    for row, ids in enumerate(prompts):
        ids_BS[row, longest - len(ids) :] = torch.as_tensor(ids)
        mask_BS[row, longest - len(ids) :] = 1
    greedy = GenerationConfig(
        max_new_tokens=max_new_tokens,
        do_sample=False,
        use_cache=True,
        eos_token_id=list(stop_ids),
        pad_token_id=pad_id,
    )
    core, inputs = unwrapped(model), {"input_ids": ids_BS.to(device), "attention_mask": mask_BS.to(device)}
    if virtual := virtual_of(core):
        inputs = virtual.prompted(core, inputs["input_ids"], inputs["attention_mask"])
    # Not PEFT's own generate: it would put virtual tokens before the padding, and where they are to be left out too.
    out = core.generate(**inputs, generation_config=greedy)
    # Of embeddings, transformers gives back the answers alone.
    return [before_stop(ids, stop_ids) for ids in out[:, longest if "input_ids" in inputs else 0 :].tolist()]


def before_stop(ids: list[int], stop_ids: Sequence[int]) -> list[int]:
    """The ids before the first stop id; what follows it in a batch is padding."""
    stops = set(stop_ids)
    return ids[: next((i for i, token in enumerate(ids) if token in stops), len(ids))]
