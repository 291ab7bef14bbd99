"""A conversation with a tuned model: its prompt, its history, its commands."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import pytest
from tuned_by_hand import make_tuning

from tune.chat import Talk, answer_prompt, chat
from tune.errors import UserError
from tune.export import load_tuned

DIALOGUE = Path(__file__).resolve().parents[1] / "golden" / "dialogue"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("full") / "tuning"
    make_tuning(DIALOGUE, folder, "full", evaluated=False)
    return folder


@pytest.fixture(scope="module")
def tuned(folder):
    return load_tuned(folder, device="cpu")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def answer(tuned, text: str, history=()) -> str:
    """What the model says, by the tokenizer's own chat template."""
    turns = [[{"role": "user", "content": user}, {"role": "assistant", "content": said}] for user, said in history]
    messages = [message for turn in turns for message in turn]
    messages.append({"role": "user", "content": text})
    ids = tuned.tokenizer.apply_chat_template(messages, add_generation_prompt=True)
    said, ended = answer_prompt(tuned, ids["input_ids"])
    return said if ended else f"{said} …"


def test_a_conversation_remembers(folder, tuned):
    stdout = Terminal()
    chat(folder, stdin=Terminal("周末有空吗？\n\n去爬山\n/reset\n去爬山\n/help\n/exit\n不说了\n"), stdout=stdout)
    first = answer(tuned, "周末有空吗？")
    second = answer(tuned, "去爬山", [["周末有空吗？", first.removesuffix(" …")]])
    alone = answer(tuned, "去爬山")
    assert second != alone, "the test needs a history that matters"
    commands = "/reset forgets what was said, /exit ends (so does Ctrl-D)"
    assert stdout.getvalue() == (
        f"tiny, full; {commands}\n"
        f"> {first}\n"
        f"> > {second}\n"  # an empty line asks nothing
        f"> > {alone}\n"
        f"> /help is no command: {commands}\n"
        "> \n"
    )


def test_the_end_of_the_input_ends_it(folder):
    stdout = Terminal()
    chat(folder, stdin=Terminal("周末有空吗？\n"), stdout=stdout)
    assert stdout.getvalue().endswith("\n> \n")


def test_in_a_pipe_every_line_is_answered_alone(folder, tuned):
    stdout = io.StringIO()
    chat(folder, stdin=io.StringIO("周末有空吗？\r\n\n去爬山\n/exit\n"), stdout=stdout)
    alone = [answer(tuned, text).replace("\n", " ") for text in ("周末有空吗？", "去爬山", "/exit")]
    assert stdout.getvalue() == "".join(f"{line}\n" for line in alone)


def test_an_answer_is_one_line_in_a_pipe(folder, monkeypatch):
    monkeypatch.setattr("tune.chat.answer_prompt", lambda tuned, prompt: ("一\n二", True))
    stdout = io.StringIO()
    chat(folder, stdin=io.StringIO("数数\n"), stdout=stdout)
    assert stdout.getvalue() == "一 二\n"


def test_the_oldest_turns_go_where_it_grows_too_long(tuned):
    talk = Talk(tuned)
    talk.history = [["问" * 400, "答" * 400], ["问" * 200, "答" * 200], ["好", "好"]]
    talk.say("再见")
    assert [len(user) for user, _ in talk.history] == [200, 1, 2]


def test_an_answer_that_does_not_end_says_so(tuned):
    text, ended = answer_prompt(tuned, tuned.prompter.prompt_ids([{"instruction": "好", "input": ""}])[0])
    said = Talk(tuned).say("好")
    assert said == (text if ended else f"{text} …")
    assert not ended, "random weights don't know how to stop"


def test_no_tuning(tmp_path, folder):
    with pytest.raises(UserError, match="no such tuning"):
        chat(tmp_path / "nowhere")
    broken = Path(shutil.copytree(folder, tmp_path / "tuning"))
    shutil.rmtree(broken / "model")
    with pytest.raises(UserError, match="holds no finished model"):
        chat(broken)
