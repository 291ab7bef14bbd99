"""What comparing methods found, as text, as Markdown (README.md) and beside a picture (compare.svg)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tune.compare_plot import draw_comparison
from tune.device import size
from tune.model_card import MEANINGS, cell, table
from tune.results import write_text
from tune.tables import BASELINES, show_difference, show_figure, text_table

PICTURE = "compare.svg"


class MethodComparison(dict[str, Any]):
    """What comparing methods found, ready for JSON; as text, tables.

    run, model, seed, batch, path. first: the method that the others are held against. methods: {name: its lr,
    trainable and total parameters, steps, tokens, seconds, tokens_per_second, planned_memory and peak_memory (bytes),
    best_step, validation_loss; or only why it failed}. left_out: {name: why}. splits: {section of eval.json: {"n",
    "main": the metric it is summed up by, "metrics": {metric: {"base" or method: figure}}, "differences": {metric:
    {method: its figure less the first one's}}}}; a figure is {"value", "low", "high"} or None. notes. finished: no
    method failed.
    """

    def __str__(self) -> str:
        parts = [text_table(*costs(self))]
        for section, found in self["splits"].items():
            metrics = list(dict.fromkeys([found["main"], "answer_loss"]))
            head, rows = scores(self, found, [metric for metric in metrics if metric in found["metrics"]])
            parts.append(text_table([f"{section}, {found['n']:,} rows", *head[1:]], rows))
        parts.append("* the interval of the difference (95 %, rows drawn for both at once) leaves out 0")
        return "\n\n".join(parts)


def costs(found: MethodComparison) -> tuple[list[str], list[list[str]]]:
    """A row a method: parameters, learning rate, seconds, speed, memory; or why it failed."""
    head = ["method", "trainable", "share", "lr", "steps", "seconds", "tokens/s", "memory: planned", "used"]
    rows = []
    for name, facts in found["methods"].items():
        if "failed" in facts:
            rows.append([name, "failed", *["–"] * (len(head) - 2)])
            continue
        seconds, speed, used = facts["seconds"], facts["tokens_per_second"], facts["peak_memory"]
        rows.append(
            [
                name,
                f"{facts['trainable']:,}",
                f"{facts['trainable'] / facts['total']:.2%}",
                f"{facts['lr']:g}",
                f"{facts['steps']:,}",
                "–" if seconds is None else f"{seconds:,.1f}",
                f"{speed:,.0f}" if speed else "–",
                size(facts["planned_memory"]),
                size(used) if used else "–",
            ]
        )
    return head, rows


def scores(
    found: MethodComparison, section: dict[str, Any], metrics: Sequence[str]
) -> tuple[list[str], list[list[str]]]:
    """A row for the base and each method: figures with their intervals, and differences to the first method."""
    first, head, rows = found["first"], ["model"], list[list[str]]()
    compared = [metric for metric in metrics if section["differences"].get(metric)]
    for metric in metrics:
        head += [metric, *([f"− {first}"] if metric in compared else [])]
    for name in models(found, section):
        row = [name]
        for metric in metrics:
            row.append(show_figure(metric, section["metrics"][metric].get(name)))
            if metric in compared:
                row.append(show_difference(metric, section["differences"][metric].get(name)))
        rows.append(row)
    return head, rows


def models(found: MethodComparison, section: dict[str, Any]) -> list[str]:
    """base, where it was evaluated, and the methods that didn't fail."""
    main = section["metrics"][section["main"]]
    return [name for name in ("base", *found["methods"]) if main.get(name) is not None]


# ---- the page


def write_page(found: MethodComparison, curves: dict[str, list[dict[str, Any]]], out: Path) -> None:
    """Write README.md and compare.svg into the comparison's folder. curves: metrics.jsonl of each method."""
    picture = draw_comparison(found, curves)
    write_text(out / PICTURE, picture)
    write_text(out / "README.md", "\n\n".join(_page(found, out)) + "\n")


def _page(found: MethodComparison, out: Path) -> Iterator[str]:
    names = [name for name, facts in found["methods"].items() if "failed" not in facts]
    facts = found["methods"][found["first"]]
    tokens = f", {facts['tokens']:,} tokens" if facts["tokens"] else ""
    yield f"# {cell(out.resolve().name)}"
    yield (
        f"`{cell(found['run'])}` 上用 `{cell(Path(found['model']).name)}` 比较 {len(names)} 种微调方法："
        f"同样的数据、步数（{facts['steps']:,} 步，每步 {found['batch']:,} 条）、种子（{found['seed']}）和评测样本。"
    )
    yield (
        f"{len(names)} tuning methods on the same data: {facts['steps']:,} steps of {found['batch']:,} samples"
        f"{tokens}, seed {found['seed']}, the same evaluation rows, and the learning rates shown. A folder a method "
        "beside this file holds its tuning, with a card of its own."
    )
    yield f"![验证损失与指标 validation loss and scores]({PICTURE})"
    yield "## 代价 Cost"
    yield table(*costs(found))
    yield (
        "seconds：只计训练，不含评测；used：GPU 上为 torch 统计的峰值，CPU 上为进程常驻内存的峰值。  \n"
        "seconds: of training, without evaluation; used: the peak, on a GPU as torch counts it, on a CPU the resident "
        "set of the process."
    )
    for section, figures in found["splits"].items():
        yield f"## {cell(section)} ({figures['n']:,})"
        metrics = [metric for metric in figures["metrics"] if metric not in BASELINES]
        yield table(*scores(found, figures, metrics))
        for metric in BASELINES:
            if baseline := next((f for f in figures["metrics"].get(metric, {}).values() if f), None):
                zh, en = MEANINGS[metric]
                yield f"`{metric}`（{zh}）({en}): {show_figure(metric, baseline)}"
    yield (
        "方括号内是 95 % 区间；“−”列是与第一个方法之差（两者抽取同样的行），* 表示区间不含 0。  \n"
        "In brackets 95 % intervals; the columns with − are differences to the first method, rows drawn for both at "
        "once; * marks those whose interval leaves out 0."
    )
    failed = {name: facts["failed"] for name, facts in found["methods"].items() if "failed" in facts}
    if said := [*(f"{name}: {why}" for name, why in failed.items()), *found["notes"]]:
        yield "## 说明 Notes"
        yield "\n".join(f"- {cell(line)}" for line in said)
