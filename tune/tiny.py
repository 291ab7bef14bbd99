"""`tiny`, `tiny-bert`: a decoder and an encoder of a few million random parameters, each with a tokenizer of single
characters, made on the spot.

They show the whole road on two cores without a network; what such a model learns says nothing about quality.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerFast

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

    characters = _characters(run) | set("systemuserassistant\n ")
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


def tiny_bert_tokenizer(run: Run) -> PreTrainedTokenizerFast:
    """Like `tiny_tokenizer`, of an encoder: [CLS] a [SEP], or [CLS] a [SEP] b [SEP] with types 0 and 1."""
    from tokenizers import Tokenizer, decoders, models, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: i for i, token in enumerate([*BERT_SPECIAL, *sorted(_characters(run))])}
    backend = Tokenizer(models.BPE(vocabulary, [], unk_token="[UNK]"))
    backend.decoder = decoders.Fuse()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")],
    )
    names = {f"{name.lower()}_token": f"[{name}]" for name in ("PAD", "UNK", "CLS", "SEP", "MASK")}
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
        **names,
    )


BERT_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def _characters(run: Run) -> set[str]:
    """Those of the run's train split, or of its first one, and of its labels' words."""
    split = "train" if "train" in run.splits else next(iter(run.splits))
    found = set[str]().union(*(word for part in run.parts for word in part.labels.values()))
    for sample in run.rows(split):
        found.update(*_texts(sample))
    return found


def _texts(sample: dict[str, Any]) -> list[str]:
    """Every text of a sample that can stand in a prompt or an answer."""
    turns = chain.from_iterable(sample.get("history") or ())
    fields = (sample["meta"].get("fields") or {}).values()
    texts = [sample["instruction"], sample["input"], sample["output"], sample.get("system") or ""]
    return [*texts, *turns, *(field for field in fields if isinstance(field, str))]


def tiny_model(tokenizer: Any, seed: int, head: dict[str, Any] | None = None, encoder: bool = False) -> Any:
    """A Qwen3, or an `encoder` like BERT, of four layers; about three million parameters with the embeddings of a few
    thousand characters, fp32. `head`: what a classifier's configuration says of its labels.

    Its weights depend on the seed, the size of the vocabulary and the head alone; torch's own random state stays as it
    was.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    config = tiny_config(tokenizer, encoder)
    for key, value in (head or {}).items():
        setattr(config, key, value)
    maker = AutoModelForCausalLM if head is None else AutoModelForSequenceClassification
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return maker.from_config(config)


def tiny_config(tokenizer: Any, encoder: bool) -> PretrainedConfig:
    """The shape of the small models."""
    return _bert(tokenizer) if encoder else _qwen3(tokenizer)


#: Of both.
_SHAPE: dict[str, Any] = {
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
}


def _bert(tokenizer: Any) -> PretrainedConfig:
    from transformers import BertConfig

    return BertConfig(
        vocab_size=len(tokenizer),
        **_SHAPE,
        max_position_embeddings=1024,
        # Sixty steps are too few to gain from noise.
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=tokenizer.pad_token_id,
    )


def _qwen3(tokenizer: Any) -> PretrainedConfig:
    from transformers import Qwen3Config

    return Qwen3Config(
        vocab_size=len(tokenizer),
        **_SHAPE,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
