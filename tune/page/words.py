"""The words of the report, in Chinese and in English."""

from __future__ import annotations

from typing import Any

from jingtiao.both import Both, prose
from jingtiao.markdown import cell
from jingtiao.page import WORDS, safe

_TEXTS: dict[str, tuple[str, str]] = {
    "page_title": ("{name} · 微调报告", "{name} · tuning report"),
    "eyebrow": ("用 `{method}` 微调 `{model}`", "`{model}`, tuned with `{method}`"),
    "on_corpus": ("，数据：{corpus}", " on {corpus}"),
    "made_by": (
        "本页由微调文件夹里的文件画出，不联网、不需脚本也能读。",
        "This page is drawn from the files of the tuning's folder; it needs no network, and can be read without "
        "scripts.",
    ),
    "validation": ("验证集", "validation"),
    "test": ("测试集", "test"),
    "train": ("训练集", "train"),
    "base": ("微调前", "base"),
    "tuned": ("微调后", "tuned"),
    # the verdict
    "verdict": ("结论", "Did it get better?"),
    "head_better": ("{split}：变好", "{split}: better"),
    "head_worse": ("{split}：变差", "{split}: worse"),
    "head_chance": ("{split}：看不出差别", "{split}: no difference beyond chance"),
    "head_same": ("{split}：没有变化", "{split}: no change"),
    "head_unknown": ("{split}", "{split}"),
    "is_sure": (
        "`{metric}` 从 {base} 变为 {tuned}，差 {difference}，95 % 区间不含 0。",
        "`{metric}` went from {base} to {tuned}, a difference of {difference} whose 95 % interval leaves out 0.",
    ),
    "is_chance": (
        "`{metric}` 从 {base} 变为 {tuned}，差 {difference}：95 % 区间含 0，可能只是偶然。",
        "`{metric}` went from {base} to {tuned}, a difference of {difference}: the 95 % interval leaves 0 in.",
    ),
    "is_same": (
        "`{metric}` 前后都是 {tuned}。",
        "`{metric}` is {tuned} before and after.",
    ),
    "is_unknown": (
        "`{metric}` 从 {base} 变为 {tuned}；差的区间无从算起。",
        "`{metric}` went from {base} to {tuned}; the interval of the difference can't be told.",
    ),
    "only_one": (
        "`{metric}` {figure}；只评测了{model}的模型，无从比较。",
        "`{metric}` {figure}; only the {model} model was evaluated, so there is nothing to compare it with.",
    ),
    "beats": (
        "高于“总是答最常见的标签”的 {majority}，差 {difference}。",
        "That is above always giving the most frequent label, which scores {majority}: a difference of {difference}.",
    ),
    "ties": (
        "与“总是答最常见的标签”（{majority}）相比看不出差别：差 {difference}。",
        "That can't be told from always giving the most frequent label, which scores {majority}: a difference of "
        "{difference}.",
    ),
    "below": (
        "低于“总是答最常见的标签”的 {majority}，差 {difference}。",
        "That is below always giving the most frequent label, which scores {majority}: a difference of {difference}.",
    ),
    "beaten_by_bag": (
        "字袋线性模型（不需预训练）已达 {figure}。",
        "A linear model on characters, without any pretraining, reaches {figure}.",
    ),
    "not_evaluated": (
        "还没有评测，所以不知道有没有变好。`python -m tune eval {name}` 会评测微调前后的模型，并重画本页。",
        "It was not evaluated, so nobody knows whether it got better. `python -m tune eval {name}` evaluates base and "
        "tuned, and draws this page again.",
    ),
    "run_gone": (
        "整理好的数据不在原处或已经改变，所以没有配对的区间、混淆矩阵和例子；放回原处，再用 "
        "`python -m tune report` 重画。",
        "The run is gone or another by now, so there are no paired intervals, confusions or examples; bring it back, "
        "and draw the page again with `python -m tune report`.",
    ),
    "tiny_note": (
        "`tiny` 是临时造出的小模型，只用来展示流程，成绩不代表质量。",
        "`tiny` shows the machinery, not quality: a small model made on the spot from random weights.",
    ),
    "how_sure": (
        "区间为按行自助抽样的 95 % 区间。算差的区间时，两个模型用同样抽出的行（配对），所以两个区间即使重叠，"
        "也可能确有差别。",
        "Intervals are those of a bootstrap over rows, 95 %. That of a difference draws the same rows for both models "
        "(paired), so there can be a real difference even where the two intervals overlap.",
    ),
    # figures
    "scores": ("成绩", "Scores"),
    "scores_of": ("{split}，{n} 行", "{split}, {n} rows"),
    "fig_scores": (
        "{split}：○ 微调前　● 微调后，横线为 95 % 区间（%）",
        "{split}: ○ base ● tuned, with 95 % intervals (per cent)",
    ),
    "table_scores": ("{split}的成绩", "Scores on {split}"),
    "metric": ("指标", "Metric"),
    "difference": ("差（配对区间）", "Difference (paired)"),
    "judged": ("判断", "Judgement"),
    "judged_better": ("变好", "better"),
    "judged_worse": ("变差", "worse"),
    "judged_same": ("没有变化", "no change"),
    "judged_chance": ("看不出差别", "may be chance"),
    "baselines": ("不用这个模型也能达到的：", "What can be had without this model: "),
    "by_corpus": ("各语料", "By corpus"),
    "section": ("评测集", "Split"),
    "gain": ("比微调前", "against base"),
    "scores_note": (
        "除损失（每个词元的 nat 数）、困惑度和误差外均为百分数。",
        "Per cent, but for losses (nats a token), perplexity and errors.",
    ),
    # the curve
    "curve": ("训练过程", "How training went"),
    "fig_losses": (
        "答案的损失（nat / 词元）：细线为每步，粗线为滑动平均，红点为验证集{log}",
        "Loss of the answers (nats a token): thin each step, thick its running mean, red dots validation{log}",
    ),
    "log_axis": ("；对数坐标", "; logarithmic"),
    "fig_rates": ("学习率", "Learning rate"),
    "table_curve": ("训练中的损失", "Losses during training"),
    "step": ("步", "Step"),
    "train_loss": ("训练损失（滑动平均）", "Train loss (running mean)"),
    "validation_loss": ("验证损失", "Validation loss"),
    "lr": ("学习率", "Learning rate"),
    "no_curve": ("没有训练记录（metrics.jsonl）。", "There is no record of the training (metrics.jsonl)."),
    "best_step": (
        "保留的是第 {step} 步的权重：验证损失最低的一步。",
        "The weights kept are those of step {step}, where validation loss was lowest.",
    ),
    # labels
    "labels": ("混淆矩阵", "Confusions"),
    "fig_confusion": ("{split}，{model}", "{split}, {model}"),
    "answered": ("→ 答出的标签（行为正确的标签）", "→ answered (rows: the right label)"),
    "none": ("无", "none"),
    "named_none": ("没有答出标签", "no label named"),
    "table_confusion": (
        "{split}，{model}：各标签的行被答成什么",
        "{split}, {model}: what the rows of each label were called",
    ),
    "right_label": ("正确的标签", "Right label"),
    "table_classes": ("{split}：各类的成绩", "{split}: each class"),
    "support": ("行数", "Rows"),
    "precision_of": ("精确率，{model}", "Precision, {model}"),
    "recall_of": ("召回率，{model}", "Recall, {model}"),
    "f1_of": ("F1，{model}", "F1, {model}"),
    "labels_note": (
        "颜色越深，占该标签的行越多；对角线上是答对的。答案里没有恰好一个标签词的，算作“无”，也算错。",
        "The darker, the larger the share of the label's rows; right answers are on the diagonal. An answer that "
        "names no label, or several, counts as none, and as wrong.",
    ),
    # spread
    "spread": ("逐行的得分", "Row by row"),
    "fig_spread": (
        "{split}：各行的 {metric}，空心为微调前，实心为微调后",
        "{split}: {metric} of each row; hollow base, filled tuned",
    ),
    "table_spread": ("{split}：各行的 {metric}", "{split}: {metric} of each row"),
    "range": ("范围", "Range"),
    "beyond": ("{edge} 以上", "above {edge}"),
    # examples
    "examples": ("例子", "Examples"),
    "counts": (
        "{split}（按各行的 {metric}）：变好 {fixed} 行，变差 {broken} 行，一直满分 {right} 行，没有变化 {wrong} 行。",
        "{split} (by each row's {metric}): {fixed} better, {broken} worse, {right} perfect both times, {wrong} "
        "unchanged and not perfect.",
    ),
    "counts_binary": (
        "{split}（按 {metric}）：改对 {fixed} 行，改错 {broken} 行，一直对 {right} 行，一直错 {wrong} 行。",
        "{split} (by {metric}): {fixed} fixed, {broken} broken, {right} right both times, {wrong} wrong both times.",
    ),
    "counts_loss": (
        "{split}（按正确答案的损失）：变好 {fixed} 行，变差 {broken} 行，没变 {wrong} 行。",
        "{split} (by the loss of the right answer): {fixed} better, {broken} worse, {wrong} the same.",
    ),
    "kind_fixed": ("改对了", "Fixed by tuning"),
    "kind_broken": ("改错了", "Broken by tuning"),
    "kind_wrong": ("仍然错", "Still wrong"),
    "kind_fixed_graded": ("变好了", "Better after tuning"),
    "kind_broken_graded": ("变差了", "Worse after tuning"),
    "kind_wrong_graded": ("没有变化", "No better, and not right"),
    "shown_of": ("抽取 {shown} 行，共 {n} 行", "{shown} of {n} rows"),
    "examples_note": (
        "每类按种子随机抽取至多 {n} 行，全部在 predictions.jsonl 里。长文本只留首尾。",
        "Of each kind a seeded sample of at most {n}; all are in predictions.jsonl. Of long texts the beginning and "
        "the end are shown.",
    ),
    "marks_note": (
        "答案中参考答案没有的字加了底色。",
        "Characters of an answer that the reference doesn't have are marked.",
    ),
    "search": ("在例子中查找", "Search the examples"),
    "search_hits": ("行符合", "rows match"),
    "no_rows": ("本页只有数字，不含语料的文本。", "This page has figures only, and no text of the corpus."),
    "no_examples": ("没有可以比较的行。", "There are no rows to compare."),
    "prompt": ("提示", "Prompt"),
    "reference": ("参考答案", "Reference"),
    "base_answer": ("微调前的回答", "Base answer"),
    "tuned_answer": ("微调后的回答", "Tuned answer"),
    "empty": ("（空）", "(empty)"),
    "more_references": ("另有 {n} 个", "{n} more"),
    # training
    "training": ("训练了什么", "What was trained"),
    "method": ("方法", "Method"),
    "model": ("基座模型", "Base model"),
    "objective": ("学习目标", "Objective"),
    "learns_sft": ("写出答案（`sft`）", "to write the answer (`sft`)"),
    "learns_classify": ("由分类头给出标签（`classify`）", "a head that gives the label (`classify`)"),
    "learns_regress": ("由回归头给出分数（`regress`）", "a head that gives a score (`regress`)"),
    "parameters": ("训练的参数", "Trained parameters"),
    "of_parameters": ("{trainable} / {total}（{share}）", "{trainable} of {total} ({share})"),
    "data": ("数据", "Data"),
    "of_data": (
        "{samples} 条样本，{tokens} 个词元，其中学习 {learnt} 个",
        "{samples} samples, {tokens} tokens, {learnt} of them learnt",
    ),
    "left_out": (
        "；舍去过长的 {dropped} 条，截短 {truncated} 条",
        "; {dropped} too long and dropped, {truncated} shortened",
    ),
    "steps": ("步数", "Steps"),
    "of_steps": ("{steps} 步，每步 {batch} 条样本，{epochs} 遍", "{steps} steps of {batch} samples, {epochs} epochs"),
    "memory": ("内存", "Memory"),
    "of_memory": ("计划 {planned}，实际最高 {used}", "planned {planned}, peak used {used}"),
    "planned_memory": ("计划 {planned}", "planned {planned}"),
    "speed": ("速度", "Speed"),
    "of_speed": ("每秒 {speed} 个词元", "{speed} tokens a second"),
    "time": ("用时", "Time"),
    "of_time": ("训练 {training}，连评测共 {all}", "{training} of training, {all} with evaluation"),
    "device": ("设备", "Device"),
    "seed": ("种子", "Seed"),
    "settings": ("与默认不同的设置", "Settings that are not the default"),
    "setting": ("设置", "Setting"),
    "value": ("值", "Value"),
    "default": ("默认", "Default"),
    "all_default": ("其余设置均为默认。", "All settings are the default."),
    "all_settings": (
        "全部设置在 `config.lock.yaml` 里。",
        "All settings are in `config.lock.yaml`.",
    ),
    # lineage
    "lineage": ("来历", "Lineage"),
    "corpus": ("语料", "Corpus"),
    "licence": ("许可：{licence}", "Licence: {licence}"),
    "not_stated": ("未说明", "not stated"),
    "recipe": ("配方", "Recipe"),
    "recipe_is": ("`{name}` {version}，sha256 `{sha}`", "`{name}` {version}, sha256 `{sha}`"),
    "run": ("整理好的数据", "Run"),
    "run_is": ("指纹 `{fingerprint}`，种子 {seed}", "fingerprint `{fingerprint}`, seed {seed}"),
    "rows_of": ("{split} {n} 行", "{split} {n} rows"),
    "data_card": ("看它的数据卡", "Its data card"),
    "base_model": ("基座与提示", "Base model and prompt"),
    "base_is": (
        "`{model}`，sha256 `{sha}`；分词器 `{tokenizer}`，提示模板 `{template}`",
        "`{model}`, sha256 `{sha}`; tokenizer `{tokenizer}`, prompt template `{template}`",
    ),
    "result": ("结果", "Result"),
    "result_is": ("`{folder}/`，方法 `{method}`，种子 {seed}", "`{folder}/`, method `{method}`, seed {seed}"),
    "licences_hold": (
        "语料与基座的许可对结果同样有效。",
        "The licences of corpus and base model hold for the result.",
    ),
    "run_unknown": ("数据不在原处，语料与许可不详。", "The run is not at hand, so corpus and licence can't be told."),
    "reproduce": ("复现", "Reproduce"),
    "mixed_of": ("混合的语料", "The corpora of the mixture"),
    "name": ("名称", "Name"),
    "share": ("占比", "Share"),
    "repeats": ("重复", "Repeats"),
    "fingerprint": ("指纹", "Fingerprint"),
    "licence_head": ("许可", "Licence"),
    # scoring
    "scoring": ("如何打分", "How it is scored"),
    "scoring_note": (
        "贪心解码；没有答出标签词的算错。",
        "Greedy decoding; an answer without a label word is wrong.",
    ),
}

_ALL = {**WORDS, **{key: Both(*texts) for key, texts in _TEXTS.items()}}


def words(key: str) -> Both:
    """A text of the report in both languages."""
    return _ALL[key]


def split_words(section: str) -> Both:
    """A section of eval.json as it is called: 测试集 · lcqmc."""
    split, _, corpus = section.partition("/")
    named = words(split) if split in ("train", "validation", "test") else Both(cell(split), cell(split))
    return Both(*(f"{one} · {cell(corpus)}" for one in named)) if corpus else named


def told(key: str, **values: object) -> Any:
    """A text of the report as HTML, its places filled."""
    return safe(prose(words(key).fill(**values)))
