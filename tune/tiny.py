"""`tiny`: a model of a few million random parameters and a tokenizer of single characters, both made on the spot.

They show the whole road on two cores without a network; what such a model learns says nothing about quality.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

    from tune.runs import Run

END_OF_TEXT, TURN, END_OF_TURN, UNKNOWN = "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<unk>"
#: ChatML, without a system message of its own.
CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def tiny_tokenizer(run: Run) -> PreTrainedTokenizerFast:
    """A tokenizer whose tokens are the characters of the run's train split (of its first split, if it has no train).

    Any other character is `<unk>`. It has a ChatML template, ends turns with `<|im_end|>`, and loads with
    AutoTokenizer once it is saved.
    """
    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    split = "train" if "train" in run.splits else next(iter(run.splits))
    characters = set("systemuserassistant\n ").union(*(word for part in run.parts for word in part.labels.values()))
    for sample in run.rows(split):
        characters.update(*_texts(sample))
    special = [END_OF_TEXT, TURN, END_OF_TURN, UNKNOWN]
    vocabulary = {token: i for i, token in enumerate([*special, *sorted(characters)])}
    backend = Tokenizer(models.BPE(vocabulary, [], unk_token=UNKNOWN))
    backend.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token=END_OF_TURN,
        pad_token=END_OF_TEXT,
        unk_token=UNKNOWN,
        additional_special_tokens=[TURN],
        chat_template=CHATML,
        clean_up_tokenization_spaces=False,
    )


def _texts(sample: dict[str, Any]) -> list[str]:
    """Every text of a sample that can stand in a prompt or an answer."""
    turns = chain.from_iterable(sample.get("history") or ())
    return [sample["instruction"], sample["input"], sample["output"], sample.get("system") or "", *turns]


def tiny_model(tokenizer: Any, seed: int) -> Qwen3ForCausalLM:
    """A Qwen3 of four layers, about three million parameters with the embeddings of a few thousand characters, fp32.

    Its weights depend on the seed and the size of the vocabulary alone; torch's own random state stays as it was.
    """
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Qwen3ForCausalLM(config)
