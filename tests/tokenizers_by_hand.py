"""Small tokenizers and chat templates of the shapes that real models have, for tests of prompts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

TEXT = [
    "绿萝叶子发黄是怎么回事",
    "判断下面两个句子的意思是否相同，回答“相同”或“不同”。",
    "句子一：绿萝多久浇一次水\n句子二：绿萝喜欢晒太阳吗",
    "你是一位随和的朋友，说话简短自然。",
    "有啊，想去哪儿？\n\n去爬山吧！The quick brown fox: 3.14 次\n",
    "system\nuser\nassistant\nmodel\n相同\n\n不同\n。\n\n：“",
] * 3

QWEN25 = """{%- if messages[0]['role'] == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
{%- else %}
    {{- '<|im_start|>system\\n你是一个乐于助人的助手。<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role != 'system' or not loop.first %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
"""

#: Thoughts stand before the last answer only; what an answer holds before </think> is taken for a thought.
QWEN3 = """{%- set last = namespace(user=0) %}
{%- for message in messages %}
    {%- if message.role == 'user' and not message.content.startswith('<tool_response>') %}
        {%- set last.user = loop.index0 %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content %}
    {%- if message.role == 'assistant' %}
        {%- set thought = '' %}
        {%- if '</think>' in content %}
            {%- set thought = content.split('</think>')[0].split('<think>')[-1].strip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {{- '<|im_start|>assistant\\n' }}
        {%- if loop.index0 > last.user %}
            {{- '<think>\\n' + thought + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
{%- endif %}
"""

LLAMA3 = """{{- bos_token }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}
    {{- message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}
"""

GEMMA3 = """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- set before = messages[0]['content'] + '\\n\\n' -%}
    {%- set turns = messages[1:] -%}
{%- else -%}
    {%- set before = '' -%}
    {%- set turns = messages -%}
{%- endif -%}
{%- for message in turns -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception('roles must alternate user/assistant/user/assistant') }}
    {%- endif -%}
    {%- set role = 'model' if message['role'] == 'assistant' else message['role'] -%}
    {{ '<start_of_turn>' + role + '\\n' + (before if loop.first else '') }}
    {{- message['content'] | trim }}{{ '<end_of_turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<start_of_turn>model\\n' }}{%- endif -%}
"""

#: Nothing ends the last answer; generation stops at the next turn's header.
GLM4 = """[gMASK]<sop>{% for message in messages %}<|{{ message['role'] }}|>
{{ message['content'] }}{% endfor %}{% if add_generation_prompt %}<|assistant|>
{% endif %}"""

#: No added token before an answer, and white space before the end of a turn.
OLD = """{% for m in messages %}{% if m.role == 'assistant' %}{{ 'Assistant: \\n' + m.content + '\\n' + eos_token }}
{%- else %}{{ m.role + ': ' + m.content + '\\n\\n' }}{% endif %}{% endfor %}
{%- if add_generation_prompt %}{{ 'Assistant: \\n' }}{% endif %}"""

CHAT = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
#: name: template, tokens that are special, tokens that are added only, BOS, EOS, and whether BOS is put before texts
FAMILIES: dict[str, tuple[str, list[str], list[str], str | None, str, bool]] = {
    "qwen2.5": (QWEN25, CHAT, [], None, "<|im_end|>", False),
    "qwen3": (QWEN3, CHAT, ["<think>", "</think>"], None, "<|im_end|>", False),
    "llama3": (
        LLAMA3,
        ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
        [],
        "<|begin_of_text|>",
        "<|eot_id|>",
        True,
    ),
    "gemma3": (GEMMA3, ["<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"], [], "<bos>", "<eos>", True),
    "glm4": (
        GLM4,
        ["<|endoftext|>", "[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>"],
        [],
        None,
        "<|endoftext|>",
        False,
    ),
    "old": (OLD, ["</s>"], [], None, "</s>", False),
}


def family(name: str, kind: str = "bytes", **changes: Any) -> Any:
    """A tokenizer of a family: fresh, so that a test may change it."""
    template, special, added, bos, eos, begins = FAMILIES[name]
    return make_tokenizer(
        **{
            "template": template,
            "special": special,
            "added": added,
            "bos": bos,
            "eos": eos,
            "begins": begins,
            "kind": kind,
        }
        | changes
    )


def make_tokenizer(
    template: str | None,
    special: Sequence[str],
    added: Sequence[str] = (),
    bos: str | None = None,
    eos: str | None = None,
    pad: str | None = None,
    begins: bool = False,
    kind: str = "bytes",
) -> Any:
    """`kind`: "bytes" is a byte-level BPE as Qwen's and Llama's, "pieces" one with ▁ and byte fallback as Gemma's."""
    from tokenizers import AddedToken, Tokenizer, processors
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer.from_str(_trained(kind))
    backend.add_special_tokens(list(special))
    backend.add_tokens([AddedToken(token, normalized=False) for token in added])
    if begins and bos:
        backend.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A $B", special_tokens=[(bos, backend.token_to_id(bos))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=bos, eos_token=eos, pad_token=pad, chat_template=template
    )


@lru_cache
def _trained(kind: str) -> str:
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    if kind == "bytes":
        backend = Tokenizer(models.BPE())
        words = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(words), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        backend.decoder = decoders.ByteLevel()
        alphabet, bytes_ = pre_tokenizers.ByteLevel.alphabet(), []
    else:
        backend = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
        backend.normalizer = normalizers.Replace(" ", "▁")
        backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"\n+"), "isolated")
        backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
        alphabet, bytes_ = [], ["<unk>", *(f"<0x{i:02X}>" for i in range(256))]
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=bytes_, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(TEXT, trainer)
    # A trainer lists bytes as added tokens; in tokenizers that came from sentencepiece they are words like others.
    return json.dumps(json.loads(backend.to_str()) | {"added_tokens": []})
