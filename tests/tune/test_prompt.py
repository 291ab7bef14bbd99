"""Prompts against what transformers makes of the same messages, and the errors of what can't be right."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers_by_hand import CHAT, FAMILIES, GEMMA3, QWEN25, family, make_tokenizer

from tune.errors import UserError
from tune.prompt import Prompter, make_prompter, user_text
from tune.template import COMPARED_EVERY

#: Chinese texts, and what templates, tokenizers and trimming might stumble over.
PIECES = [
    *("绿萝", "叶子发黄", "相同", "“", "：", "。", "……", "…", "A", " quick", "3.14", "user", "role", "\\n"),
    *("　", " ", "\n", "\n\n", "\t", "\r\n", "\u2028", "\u200b", "😀", "👩\u200d👩\u200d👧", "e\u0301"),
    *("<|im_end|>", "<|im_start|>assistant\n", "<|eot_id|>", "</think>", "<think>", "<tool_response>", "</s>"),
    *("[gMASK]", "<|user|>", "<bos>", "{{ bos_token }}", "{% raw %}", "<", "【用户】\n"),
]
TEXTS = st.lists(
    st.one_of(st.sampled_from(PIECES), st.text(st.characters(codec="utf-8"), max_size=4)), max_size=5
).map("".join)
PLAIN_TEXTS = st.lists(st.sampled_from(PIECES[:14]), min_size=1, max_size=5).map("".join)


@lru_cache
def prompter_of(name: str, kind: str = "bytes") -> Prompter:
    if name == "plain":
        return make_prompter(family("old", kind, template=None))
    return make_prompter(family(name, kind))


def sample(user: str = "你好", answer: str = "相同", more: str = "", **rest: Any) -> dict[str, Any]:
    return {"instruction": user, "input": more, "output": answer, "meta": {"id": "x/train/000000007"}, **rest}


def by_template(prompter: Prompter, row: dict[str, Any], answered: bool) -> list[int]:
    """The ids that transformers makes of a sample."""
    talk = [{"role": "system", "content": row["system"]}] if row.get("system") else []
    for user, assistant in row.get("history", []):
        talk += [{"role": "user", "content": user}, {"role": "assistant", "content": assistant}]
    talk.append({"role": "user", "content": user_text(row)})
    if answered:
        talk.append({"role": "assistant", "content": row["output"]})
    return prompter.tokenizer.apply_chat_template(
        talk, add_generation_prompt=not answered, tokenize=True, return_dict=False, enable_thinking=False
    )


ALL = [(name, kind) for name in (*FAMILIES, "plain") for kind in ("bytes", "pieces")]


@pytest.mark.parametrize(("name", "kind"), ALL)
@settings(max_examples=40)
@given(user=TEXTS, more=TEXTS, answer=TEXTS, system=TEXTS, history=st.lists(st.tuples(TEXTS, TEXTS), max_size=2))
def test_prompts_are_those_of_inference_and_training_continues_them(
    name: str, kind: str, user: str, more: str, answer: str, system: str, history: list[tuple[str, str]]
) -> None:
    prompter = prompter_of(name, kind)
    row = sample(user, answer, more, system=system, history=history)
    prompt, whole = by_template(prompter, row, answered=False), by_template(prompter, row, answered=True)
    assert prompter.prompt_ids([row]) == [prompt]
    assert prompter.prompt_text(row) == prompter.template.render(prompter.messages(row), generation=True)
    try:
        (made,) = prompter.encode([row])
    except UserError as error:
        # Only where it is so: the template's own ids of the whole don't begin with those of the prompt.
        assert "x/train/000000007" in str(error)
        assert whole[: len(prompt)] != prompt
        return
    said = [answer, *(assistant for _, assistant in history)]
    special = [token.content for token in prompter._added.values() if token.special]
    if made.refused:
        assert made.ids == [] and made.learn == ()
        if made.refused == "empty":
            assert not prompter._encode([answer.strip()])[0]
        elif made.refused == "special":
            assert any(token in text for token in special for text in said)
        else:
            looked_for = ("</think>", "<tool_response>")
            assert made.refused == "rewritten" and name == "qwen3"
            assert any(token in text for token in looked_for for text in (user, more, *said, *(u for u, _ in history)))
        return
    assert made.prompt == len(prompt) and made.ids[: made.prompt] == prompt
    assert [*whole, prompter.end_id][: len(made.ids)] == made.ids
    assert made.learn[-1] == (made.prompt, len(made.ids)) and len(made.learn) == 1 + len(history)
    for (start, stop), text in zip(made.learn, [assistant for _, assistant in history] + [answer], strict=True):
        learnt = made.ids[start:stop]
        assert learnt[-1] == prompter.end_id
        assert not {prompter.tokenizer.convert_tokens_to_ids(token) for token in special} & set(learnt[:-1])
        if "�" not in prompter.tokenizer.decode(learnt) and not set(text) & set("\u200b"):
            assert prompter.decode(learnt) == text.strip()


@pytest.mark.parametrize("name", [*FAMILIES, "plain"])
@settings(max_examples=20)
@given(rows=st.lists(st.tuples(PLAIN_TEXTS, PLAIN_TEXTS, st.booleans(), st.integers(0, 2)), min_size=1, max_size=12))
def test_a_batch_is_its_samples_one_by_one(name: str, rows: list[tuple[str, str, bool, int]]) -> None:
    batch = [
        sample(user.strip(), answer.strip(), history=[["问", "答"]] * turns, **({"system": "系统"} if system else {}))
        for user, answer, system, turns in rows
    ]
    prompter = prompter_of(name)
    assert prompter.encode(batch) == [prompter.encode([row])[0] for row in batch]
    fresh = make_prompter(family(name) if name != "plain" else family("old", template=None))
    assert fresh.encode(batch) == prompter.encode(batch)


def test_threads_that_share_a_prompter_forget_nothing_another_one_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = [[sample(answer=f"第{n}批{i}") for i in range(40)] for n in range(60)]
    expected = [[one.ids for one in make_prompter(family("qwen3")).encode(batch)] for batch in batches]
    monkeypatch.setattr("tune.prompt.REMEMBERED", 50)  # every second batch makes it forget
    shared = make_prompter(family("qwen3"))
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            made = [[one.ids for one in batch] for batch in pool.map(shared.encode, batches)]
    finally:
        sys.setswitchinterval(interval)
    assert made == expected


def test_texts_are_joined_with_pieces_and_only_doubtful_ones_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    prompter = make_prompter(family("qwen3"))
    prompter.encode([sample(f"句子{i}") for i in range(COMPARED_EVERY)])
    rendered = []
    original = prompter.template.render

    def render(messages: Any, generation: bool = False) -> str:
        rendered.append(messages[-1]["content"])
        return original(messages, generation)

    monkeypatch.setattr(prompter.template, "render", render)
    prompter.encode([sample(f"又一句{i}") for i in range(COMPARED_EVERY - 1)])
    assert rendered == []
    doubtful = ["", " 空", "换行\n", "　全角", "x<|im_end|>", "</think>", "<tool_response>", "user"]
    for text in doubtful:
        rendered.clear()
        prompter.prompt_text(sample(text))
        assert rendered == [text]


def test_special_tokens_a_user_types_are_what_inference_makes_of_them() -> None:
    prompter = prompter_of("qwen2.5")
    row = sample("别停<|im_end|>\n<|im_start|>assistant\n好", history=[["<|im_end|>", "有"]])
    (made,) = prompter.encode([row])
    assert made.ids[: made.prompt] == by_template(prompter, row, answered=False)
    assert made.ids.count(prompter.end_id) == 4 + 2 + 1  # the prompt's own turns, the two that were typed, the answer
    assert [prompter.decode(made.ids[a:b]) for a, b in made.learn] == ["有", "相同"]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (sample(answer=""), "empty"),
        (sample(answer=" \n　"), "empty"),
        (sample(answer="相<|im_end|>同"), "special"),
        (sample(answer="相同<|endoftext|>"), "special"),
        (sample(history=[["问", "答<|im_end|>"]]), "special"),
        (sample(answer="<think>想</think>相同"), "rewritten"),
        (sample(history=[["问", "想</think>答"]]), "rewritten"),
    ],
)
def test_what_cannot_be_learnt_is_refused_and_says_why(row: dict[str, Any], why: str) -> None:
    made, good = prompter_of("qwen3").encode([row, sample()])
    assert (made.ids, made.refused) == ([], why)
    assert good.ids and not good.refused


# --- a proof that can't fail proves nothing


def chatml(generation: str, answer: str) -> str:
    return (
        "{% for m in messages %}{% if m.role == 'assistant' %}" + answer + "{% else %}"
        "{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}" + generation + "{% endif %}"
    )


HEADER = "<|im_start|>assistant"
BROKEN = {
    "a space before the answer": chatml(HEADER + "\n", HEADER + "\n {{ m.content }}<|im_end|>"),
    "a space too many in the prompt": chatml(HEADER + "\n{{ ' ' }}", HEADER + "\n{{ m.content }}<|im_end|>"),
    "another header": chatml(HEADER + "\n", "<|im_start|>model\n{{ m.content }}<|im_end|>"),
    "a thought in the prompt": chatml(HEADER + "\n<think>\n", HEADER + "\n{{ m.content }}<|im_end|>"),
    "no generation prompt": chatml("", HEADER + "\n{{ m.content }}<|im_end|>"),
    "an answer in quotes": chatml(HEADER + "\n", HEADER + "\n“{{ m.content }}”<|im_end|>"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_template_that_trains_on_other_prompts_stops_the_run(how: str) -> None:
    prompter = make_prompter(family("qwen2.5", template=BROKEN[how]))
    for answer in ("相同", "user 相同"):  # joined and rendered
        with pytest.raises(UserError) as error:
            prompter.encode([sample(answer=answer)])
        message = error.value.messages[0]
        assert "sample x/train/000000007" in message and "give the tokenizer a chat template" in message
        assert message.count("[") == 2  # the tokens of both sides


def test_tokens_that_merge_across_the_border_stop_the_run() -> None:
    # As text the answer stands just behind the prompt, but " quick" is one token.
    template = chatml(HEADER + ": ", HEADER + ": {{ m.content }}<|im_end|>")
    prompter = make_prompter(family("qwen2.5", template=template))
    with pytest.raises(UserError, match=r"x/train/000000007.*' '.*' quick'"):
        prompter.encode([sample(answer="quick")])
    assert prompter.encode([sample(answer="“quick”")])[0].ids


def test_a_template_without_tokens_before_answers_is_proved_on_the_whole_text() -> None:
    template = "{% for m in messages %}{{ m.role + ': ' + m.content }}"
    template += "{% if m.role == 'assistant' %}</s>{% endif %}\n{% endfor %}"
    template += "{% if add_generation_prompt %}assistant: {% endif %}"
    prompter = make_prompter(family("old", template=template))
    with pytest.raises(UserError, match="training would not continue the prompt"):
        prompter.encode([sample(answer="quick")])


def test_an_answer_that_merges_with_the_users_text_stops_the_run() -> None:
    template = "{% for m in messages %}{{ m.content }}{% if m.role == 'assistant' %}</s>{% endif %}{% endfor %}"
    prompter = make_prompter(family("old", template=template))
    assert prompter.encode([sample("绿萝：", "相同")])[0].ids
    with pytest.raises(UserError, match=r"x/train/000000007.*'同', '</s>'\], training .*'相同', '</s>'\]"):
        prompter.encode([sample("绿萝相", "同")])


def test_a_template_that_is_none_is_an_error() -> None:
    with pytest.raises(UserError, match="no jinja template"):
        make_prompter(family("qwen2.5", template="{% for m in messages %}"))


def test_generation_tags_of_transformers_change_nothing() -> None:
    tagged = QWEN25.replace("{%- for", "{% generation %}{% endgeneration %}{%- for")
    prompter = make_prompter(family("qwen2.5", template=tagged))
    assert prompter.encode([sample()]) == prompter_of("qwen2.5").encode([sample()])


def test_an_answer_that_a_template_changes_is_not_learnt() -> None:
    template = chatml(HEADER + "\n", HEADER + "\n{{ m.content | replace('同', '异') }}<|im_end|>")
    prompter = make_prompter(family("qwen2.5", template=template))
    assert [made.refused for made in prompter.encode([sample(answer=a) for a in ("相同", "相似")])] == [
        "rewritten",
        "",
    ]


def test_a_template_that_looks_at_more_than_the_text_is_found_out() -> None:
    template = chatml(HEADER + "\n", HEADER + "\n{{ m.content }}<|im_end|>").replace(
        "m.content +", "(m.content if m.content | length < 60 else m.content[:60]) +"
    )
    with pytest.raises(UserError, match="sample x/train/000000007: the chat template treats this text otherwise"):
        make_prompter(family("qwen2.5", template=template)).encode([sample("长" * 61)])


def test_a_template_that_changes_every_text_is_rendered_sample_by_sample() -> None:
    template = QWEN25.replace("message.content +", "(message.content | upper) +")
    prompter = make_prompter(family("qwen2.5", template=template))
    assert any("every sample is rendered" in note for note in prompter.notes)
    row = sample("abc", "相同")
    assert "ABC" in prompter.prompt_text(row)
    (made,) = prompter.encode([row])
    assert made.ids == by_template(prompter, row, answered=True)[: len(made.ids)]
    with pytest.raises(UserError, match="training would not continue"):
        prompter.encode([sample("abc", "ja")])


# --- BOS, end of turn, padding


def config(**ids: Any) -> SimpleNamespace:
    return SimpleNamespace(**{"bos_token_id": None, "eos_token_id": None, "vocab_size": 1000} | ids)


def test_bos_ids_must_agree() -> None:
    tokenizer = family("llama3")
    make_prompter(tokenizer, config(bos_token_id=tokenizer.bos_token_id))
    make_prompter(tokenizer, config())
    with pytest.raises(UserError, match=r"BOS '<\|begin_of_text\|>' has id .* config says 1; set bos_token_id"):
        make_prompter(tokenizer, config(bos_token_id=1))


def test_a_config_may_name_a_bos_the_tokenizer_never_emits() -> None:
    prompter = make_prompter(family("qwen2.5"), config(bos_token_id=478))
    assert prompter.prompt_ids([sample()])[0][0] != 478


@pytest.mark.parametrize(
    ("before", "match"), [("", "begin the template with {{ bos_token }}"), ("<bos><bos>", "twice")]
)
def test_bos_must_be_there_once(before: str, match: str) -> None:
    tokenizer = family("gemma3", template=before + GEMMA3.replace("{{ bos_token }}", ""))
    with pytest.raises(UserError, match=match):
        make_prompter(tokenizer)


def test_the_text_model_of_a_composite_is_what_counts() -> None:
    tokenizer = family("gemma3")
    inner = config(bos_token_id=7)
    with pytest.raises(UserError, match="config says 7"):
        make_prompter(tokenizer, SimpleNamespace(get_text_config=lambda: inner))


def test_a_padding_token_that_is_also_the_end_is_learnt() -> None:
    prompter = make_prompter(make_tokenizer(QWEN25, CHAT, eos="<|im_end|>", pad="<|im_end|>"))
    assert prompter.pad_id == prompter.end_id
    (made,) = prompter.encode([sample()])
    assert made.ids[-1] == prompter.end_id and made.learn[-1][1] == len(made.ids)
    assert make_prompter(make_tokenizer(QWEN25, CHAT, eos="<|im_end|>")).pad_id == prompter.end_id


def test_generation_stops_at_the_models_ends_and_at_the_templates() -> None:
    tokenizer = make_tokenizer(QWEN25, CHAT, eos="<|endoftext|>")
    text, turn = (tokenizer.convert_tokens_to_ids(token) for token in ("<|endoftext|>", "<|im_end|>"))
    prompter = make_prompter(tokenizer, config(eos_token_id=text))
    assert prompter.end_id == turn and prompter.stop_ids == (turn, text)
    assert any("stop at '<|endoftext|>', its chat template ends turns with '<|im_end|>'" in n for n in prompter.notes)
    both = make_prompter(tokenizer, config(eos_token_id=text), generation_config=config(eos_token_id=[turn, text]))
    assert both.stop_ids == (turn, text) and not any("stop at" in note for note in both.notes)


def test_a_template_that_ends_nothing_is_an_error_that_names_the_cure() -> None:
    for ending in ("", "<|im_end|>"):  # nothing, and a token that this tokenizer doesn't know
        template = chatml(HEADER + "\n", HEADER + "\n{{ m.content }}" + ending)
        with pytest.raises(UserError, match=r"never learn to stop; put \{\{ eos_token \}\}"):
            make_prompter(family("old", template=template))


def test_a_last_turn_without_an_end_is_ended_by_the_next_header() -> None:
    prompter = prompter_of("glm4")
    assert prompter.end_id == prompter.tokenizer.convert_tokens_to_ids("<|user|>")


def test_decoding_stops_at_the_end_and_drops_special_tokens() -> None:
    prompter = prompter_of("qwen2.5")
    encode = prompter._encode
    ids = encode([" 相同<|im_start|>。\n"])[0] + [prompter.end_id] + encode(["不同"])[0]
    assert prompter.decode(ids) == "相同。"
    assert prompter.decode([]) == "" and prompter.decode([prompter.end_id]) == ""


# --- the plain template, systems, notes


def test_a_tokenizer_without_a_template_gets_the_plain_one_and_is_told() -> None:
    prompter = prompter_of("plain")
    assert prompter.source == "plain" and "no chat template" in prompter.notes[0]
    row = sample("今天天气怎么样？", "很好。", system="你是一个乐于助人的助手。", history=[["在吗？", "在。"]])
    (made,) = prompter.encode([row])
    assert prompter.tokenizer.decode(made.ids) == (
        "【系统】\n你是一个乐于助人的助手。\n【用户】\n在吗？\n【助手】\n在。</s>\n【用户】\n今天天气怎么样？\n【助手】\n很好。</s>"
    )
    assert [prompter.decode(made.ids[a:b]) for a, b in made.learn] == ["在。", "很好。"]


def test_the_plain_template_begins_with_bos_where_the_tokenizer_does() -> None:
    prompter = make_prompter(family("gemma3", template=None))
    assert prompter.prompt_ids([sample()])[0].count(prompter.tokenizer.bos_token_id) == 1
    with pytest.raises(UserError, match="neither a chat template nor an EOS"):
        make_prompter(make_tokenizer(None, ["<pad>"], pad="<pad>"))


def test_system_messages() -> None:
    tokenizer = family("qwen3")
    own, none = sample(system="你是诗人。"), sample()
    roles = {
        system: [
            [m["content"] for m in make_prompter(tokenizer, system=system).messages(row)][:-1] for row in (own, none)
        ]
        for system in (None, "", "你是医生。")
    }
    assert roles == {None: [["你是诗人。"], []], "": [[], []], "你是医生。": [["你是诗人。"], ["你是医生。"]]}


def test_a_template_that_takes_no_system_message_says_how_to_go_on() -> None:
    template = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + QWEN25
    row = sample(system="你是诗人。")
    with pytest.raises(UserError, match=r'x/train/000000007: .*no system.*--set system=""'):
        make_prompter(family("qwen2.5", template=template)).encode([row])
    assert make_prompter(family("qwen2.5", template=template), system="").encode([row])[0].ids


def test_notes_say_what_a_template_does_unasked() -> None:
    assert any("writes its own: 'system 你是一个乐于助人的助手。'" in note for note in prompter_of("qwen2.5").notes)
    assert any("before earlier answers stands" in note and "</think>" in note for note in prompter_of("qwen3").notes)
    dated = "{% if strftime_now is defined %}{{ strftime_now('%Y') }}{% endif %}" + QWEN25
    assert any("today's date" in note for note in make_prompter(family("qwen2.5", template=dated)).notes)
    for name in ("llama3", "gemma3", "glm4", "old"):
        assert prompter_of(name).notes == []


def test_the_hash_knows_template_and_system() -> None:
    prompters = [
        prompter_of("qwen2.5"),
        prompter_of("qwen3"),
        make_prompter(family("qwen2.5"), system="你是诗人。"),
        make_prompter(family("qwen2.5", template=QWEN25 + "{# #}")),
    ]
    assert len({prompter.sha256 for prompter in prompters}) == len(prompters)
    assert make_prompter(family("qwen2.5")).sha256 == prompters[0].sha256
    assert prompters[0].tokenizer_sha256 != prompters[1].tokenizer_sha256


def test_padding_and_truncation_left_in_the_tokenizer_change_nothing() -> None:
    prompter = make_prompter(make_tokenizer(QWEN25, CHAT, eos="<|im_end|>", pad="<|endoftext|>"))
    rows = [sample(), sample("判断下面两个句子的意思是否相同")]
    before = prompter.encode(rows), prompter.prompt_ids(rows)
    prompter.tokenizer(["绿萝", "绿萝叶子"], padding="max_length", truncation=True, max_length=3)
    assert make_prompter(prompter.tokenizer).tokenizer_sha256 == prompter.tokenizer_sha256
    prompter.tokenizer(["绿萝", "绿萝叶子"], padding="max_length", truncation=True, max_length=3)
    assert (prompter.encode(rows), prompter.prompt_ids(rows)) == before


def test_answers_of_equal_prompts_for_comparing() -> None:
    prompter = prompter_of("qwen2.5")
    row = sample()
    both = prompter.encode_answers(prompter.prompt_ids([row])[0], ["相同", "不同"])
    assert both == [prompter.encode([row | {"output": word}])[0].ids for word in ("相同", "不同")]
    with pytest.raises(UserError, match="can't be compared: it contains a special token"):
        prompter.encode_answers([1], ["<|im_end|>"])


def test_only_fast_tokenizers() -> None:
    with pytest.raises(UserError, match=r"no tokenizer\.json"):
        make_prompter(SimpleNamespace(is_fast=False))


@settings(max_examples=40)
@given(user=TEXTS, more=PLAIN_TEXTS, excess=st.integers(1, 12))
def test_a_shortened_sample_keeps_both_ends_of_the_users_text(user: str, more: str, excess: int) -> None:
    prompter = prompter_of("qwen2.5")
    row = sample(user, more=more)
    text, count = user_text(row), len(prompter._encode([user_text(row)])[0])
    shorter = prompter.shorten(row, excess)
    if shorter is None:
        assert count <= excess
        return
    left = user_text(shorter)
    assert len(left) < len(text)
    head = next(
        i for i in range(len(left) + 1) if left[i:] == text[len(text) - (len(left) - i) :] and left[:i] == text[:i]
    )
    assert left == text[:head] + text[len(text) - (len(left) - head) :]
    assert {key: row[key] for key in ("output", "meta")} == {key: shorter[key] for key in ("output", "meta")}


def test_shortening_cuts_about_as_much_as_it_must() -> None:
    prompter = prompter_of("qwen2.5")
    text = "".join(f"句子{i}：绿萝叶子发黄是怎么回事？\n" for i in range(20))
    count = len(prompter._encode([text])[0])
    for excess in (1, 10, 100, count - 1):
        shorter = prompter.shorten(sample(text), excess)
        assert shorter is not None
        assert abs(len(prompter._encode([user_text(shorter)])[0]) - (count - excess)) <= 4
    assert prompter.shorten(sample(text), count) is None


def test_the_users_message_joins_what_is_not_empty() -> None:
    from curate.formatting.prompt import user_message

    for instruction in ("", "判断", "判断\n"):
        for more in ("", "句子", " "):
            assert user_text({"instruction": instruction, "input": more}) == user_message(instruction, more)
