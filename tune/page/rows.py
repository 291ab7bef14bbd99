"""Rows that a model answered, as HTML: the prompt, the reference, and both answers with what is not in it marked."""

from __future__ import annotations

from typing import Any

from jingtiao.both import Both, escape, prose, value
from jingtiao.marked import marked, text
from tune.page.words import words

Row = dict[str, Any]


def example(row: Row, by: str, whole: bool) -> str:
    """One row. `by`: what its scores are of; `whole`: answers are right or wrong as they are, nothing in them is
    marked."""
    references = row["references"]
    given = text(references[0]) if len(references) == 1 else _several(references)
    if row["more"]:
        given += f'<p class="dim">{prose(words("more_references").fill(n=row["more"]))}</p>'
    sides = [
        _side(f"<code>{escape(row['id'])}</code>", text(row["prompt"])),
        _side(value(words("reference")), given),
        *(
            _side(
                f"{value(words(f'{model}_answer'))} {_score(row['scores'][model], by)}",
                _answer(row[model], references[0] if references and not whole else None),
            )
            for model in ("base", "tuned")
        ),
    ]
    return f'<ul class="sides reject answers">{"".join(sides)}</ul>'


def _side(head: str, body: str) -> str:
    return f'<li><p class="id">{head}</p>{body}</li>'


def _several(references: list[str]) -> str:
    return f"<ol>{''.join(f'<li>{text(one)}</li>' for one in references)}</ol>"


def _answer(answer: str, reference: str | None) -> str:
    if not answer:
        return f'<span class="dim">{value(words("empty"))}</span>'
    shared = reference is not None and set(reference) & set(answer)
    return marked(reference, answer)[1] if reference is not None and shared else text(answer)


def _score(score: float, by: str) -> str:
    """✓ or ✗ where that is all there is to say, else the figure."""
    if by == "answer_loss":
        return f'<span class="dim">{score:.3f}</span>'
    if score in (0, 1):
        sign, kind, spoken = ("✓", "right", Both("对", "right")) if score else ("✗", "gone", Both("错", "wrong"))
        return f'<span class="{kind}" aria-hidden="true">{sign}</span><span class="unseen">{value(spoken)}</span>'
    return f'<span class="dim">{100 * score:.1f}</span>'
