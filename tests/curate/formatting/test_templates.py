"""The shipped templates, and what loading a template file refuses."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import context, frame

from curate.formatting.prompt import user_message
from curate.formatting.render import render
from curate.formatting.templates import PARTS, VARIABLES, Template, TemplateSet, is_plain, load_templates
from curate.resources import template_names, template_path
from curate.types import UserError

#: The fields beside the task's own that the recipe of a family of templates has.
EXTRA = {"stance": ("target",)}
NAMES = template_names()


@lru_cache
def task_of(name: str) -> str:
    """The task that a shipped file says its templates are for."""
    return yaml.safe_load(template_path(name, Path()).read_text(encoding="utf-8"))["task"]


def load_shipped(name: str) -> TemplateSet:
    return load_templates(template_path(name, Path()), task_of(name), EXTRA.get(name, ()))


#: What every template of a task must show or ask for, and what gives the answer away.
NEEDED = {
    "pair": {"a", "b", "answer"},
    "classification": {"text", "answer"},
    "mrc": {"context", "question", "answer"},
    "question": {"question", "answer"},
    "summarization": {"text", "summary"},
    "dialogue": {"message", "reply"},
}
ANSWER = {"summarization": "summary", "dialogue": "reply"}
SHIPPED = [(name, template) for name in NAMES for template in load_shipped(name).templates]
EACH = pytest.mark.parametrize(("name", "template"), SHIPPED, ids=[template.id for _, template in SHIPPED])


def test_six_files_for_five_families() -> None:
    assert {task_of(name) for name in NAMES} == set(VARIABLES)


@EACH
def test_every_field_is_used(name: str, template: Template) -> None:
    used = set().union(*(template.variables(part) for part in PARTS))
    assert used >= NEEDED.get(name, NEEDED[task_of(name)]).union(EXTRA.get(name, ()))
    assert all(is_plain(getattr(template, part)) for part in PARTS), "renders as an expression"


@EACH
def test_the_answer_is_asked_for_and_not_given(name: str, template: Template) -> None:
    answer = ANSWER.get(task_of(name), "answer")
    shown = set().union(*(template.variables(part) for part in ("system", "instruction", "input")))
    if template.inverted:
        assert answer in shown
        assert answer not in template.variables("output")
        assert not {"choices", "options"} & shown
    else:
        assert answer not in shown
        assert template.output == f"{{{{ {answer} }}}}"


@EACH
def test_texts_are_tidy(name: str, template: Template) -> None:
    assert template.id.startswith(f"{name}/")
    for part in PARTS:
        text = getattr(template, part)
        assert text == text.strip()
        assert not re.search(r"[,;!?](?![^{]*\}\})", re.sub(r"\{\{.*?\}\}", "", text)), "Chinese punctuation"
    assert user_message(template.instruction, template.input)


@pytest.mark.parametrize("name", NAMES)
def test_ten_that_differ(name: str) -> None:
    loaded = load_shipped(name)
    upright = loaded.eligible(evaluation=True)
    assert len(upright) >= 10
    assert not any(template.inverted for template in upright)
    assert loaded.eligible(evaluation=False) == loaded.templates

    def wording(template: Template) -> str:
        text = template.system if name == "dialogue" else template.instruction + template.input
        return re.sub(r"\{\{.*?\}\}|\W", "", text)

    assert len({wording(template) for template in loaded.templates}) == len(loaded.templates)
    assert len({template.id for template in loaded.templates}) == len(loaded.templates)
    if name == "pair":
        assert upright == loaded.templates
    if name == "dialogue":
        assert sum(template.system == "" for template in upright) == 1


@EACH
@settings(max_examples=20)  # of each template, of which there are many
@given(data=st.data())
def test_an_expression_is_what_jinja_renders(name: str, template: Template, data: st.DataObject) -> None:
    text = st.text(max_size=5) | st.sampled_from(["{{ a }}", "{% if %}", "<b>&", "\n", "", '"'])
    row = {variable: data.draw(text) for variable in (*VARIABLES[task_of(name)], *EXTRA.get(name, ()))}
    rows = pl.DataFrame([row])
    for part in PARTS:
        expression = template.expression(part)
        assert expression is not None
        assert rows.select(expression.alias("out")).item() == template.render(part, row)


# ---- own templates


def load(folder: Path, body: str, task: str = "pair") -> TemplateSet:
    path = folder / "own.yaml"
    path.write_text(f"task: {task}\ntemplates:\n{body}", encoding="utf-8")
    return load_templates(path, "pair")


def entry(instruction: str = "{{ a }}{{ b }}", output: str = "{{ answer }}", **more: Any) -> str:
    lines = {"id": "own/01", "instruction": repr(instruction), "output": repr(output), **more}
    return "  - " + "\n    ".join(f"{key}: {value}" for key, value in lines.items()) + "\n"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (entry("比较{{ c }}"), r"own\.yaml:4:18: unknown variable 'c'"),
        (entry("比较{{ lable }}"), r"own\.yaml:4:18: unknown variable 'lable'"),
        (entry("{{ anwser }}"), r"did you mean 'answer'\?"),
        (entry("{% if c %}好{% endif %}{{ a }}"), r"own\.yaml:4:18: unknown variable 'c'"),
        (entry("{{ cycler.__init__.__globals__ }}{{ a }}"), r"unknown variable 'cycler'"),
        (entry("{{ range(9) }}{{ a }}"), r"unknown variable 'range'"),
        (entry("{{ lipsum() }}{{ a }}"), r"unknown variable 'lipsum'"),
        (entry("{{ [a, b]|random }}"), r"own\.yaml:4:18: not a valid template"),
        (entry("{{ a "), r"own\.yaml:4:18: not a valid template"),
        (entry("{{ a b }}"), r"own\.yaml:4:18: not a valid template"),
        (entry("{{ a|nofilter }}"), r"own\.yaml:4:18: not a valid template"),
        (entry("没有字段", "好"), r"own\.yaml:3:5: the template uses no field"),
        (entry(output=" "), r"own\.yaml:5:13: the output is empty"),
        (entry(inverted="true"), r"own\.yaml:3:5: a sentence pair has no inversion"),
        (entry(inverted="'yes'"), r"own\.yaml:6:15: inverted must be true or false"),
        (entry(outputs="x"), r"own\.yaml:6:5: unknown key 'outputs'; did you mean 'output'\?"),
        (entry() + entry(), r"own\.yaml:6:9: the id 'own/01' is used twice"),
        ("  - id: own/01\n    instruction: 好\n", r"own\.yaml:3:5: the template has no 'output'"),
        ("  - 好\n", r"own\.yaml:3:5: a template is a mapping"),
        ("  好\n", r"own\.yaml:1:1: a template file has"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        load(tmp_path, body)
    assert re.search(message, str(error.value)), str(error.value)


def test_everything_wrong_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        load(tmp_path, entry("{{ c }}{{ d }}", " "))
    assert len(error.value.messages) == 3
    with pytest.raises(UserError, match=r"own\.yaml:1:7: these templates are for task 'mrc'"):
        load(tmp_path, entry(), task="mrc")


def test_files_that_are_no_templates(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="can't be read"):
        load_templates(tmp_path / "none.yaml", "pair")
    path = tmp_path / "own.yaml"
    path.write_bytes("task: 好".encode("gb18030"))
    with pytest.raises(UserError, match="not UTF-8"):
        load_templates(path, "pair")


@pytest.mark.parametrize(
    "reach",
    [
        "{{ a.__class__ }}",
        "{{ a['__class__'] }}",
        "{{ a|attr('__class__') }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ '{0.__class__}'.format(a) }}",
        "{{ a.format.__func__ }}",
        "{{ (a|map('upper')|list).__class__ }}",
        "{% include 'other' %}",
    ],
)
def test_templates_do_not_reach_python(tmp_path: Path, reach: str) -> None:
    """Refused when the file is read, or for every row when it is rendered: nothing of it comes out."""
    own = load(tmp_path, entry("{{ b }}" + reach.replace("'", "''")).replace('"', "'"))
    rows = render(frame("pair", {"a": "甲", "b": "乙", "label": "1"}), own, context("pair"), evaluation=False)
    assert rows["rendered"].to_list() == [False]
    assert rows["instruction"].to_list() == [""]


def test_more_than_names_is_rendered_row_by_row(tmp_path: Path) -> None:
    own = load(tmp_path, entry("{% if a|length > 1 %}长：{% endif %}{{ a }}和{{ b|upper }}"))
    assert own.templates[0].expression("instruction") is None
    rows = frame("pair", {"a": "甲甲", "b": "x", "label": "1"}, {"a": "甲", "b": "{{ a }}", "label": "0"})
    out = render(rows, own, context("pair"), evaluation=True)
    assert out["instruction"].to_list() == ["长：甲甲和X", "甲和{{ A }}"]
    assert out["output"].to_list() == ["相同", "不同"]
    assert out["rendered"].to_list() == [True, True]


def test_a_row_that_cannot_be_rendered_takes_no_other_with_it(tmp_path: Path) -> None:
    own = load(tmp_path, entry("{{ 6 // (a|length - 1) }}{{ b }}"))
    rows = frame("pair", *({"a": a, "b": "乙", "label": "1"} for a in ("甲甲", "甲", "甲甲甲")))
    out = render(rows, own, context("pair"), evaluation=True)
    assert out["rendered"].to_list() == [True, False, True]
    assert out["instruction"].to_list() == ["6乙", "", "3乙"]


@pytest.mark.parametrize(
    ("instruction", "input_", "message"),
    [
        ("甲", "乙", "甲\n乙"),
        ("甲", "", "甲"),
        ("", "乙", "乙"),
        ("", "", ""),
        ("甲\n", " ", "甲\n\n "),
        ("一\n二", "三", "一\n二\n三"),
    ],
)
def test_the_users_message(instruction: str, input_: str, message: str) -> None:
    assert user_message(instruction, input_) == message
