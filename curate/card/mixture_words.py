"""The words of a mixture's card beside those of every card, in Chinese and in English."""

from __future__ import annotations

TEXTS: dict[str, tuple[str, str]] = {
    "mixture_intro": (
        "由 jingtiao（精调）按混合配方 `{name}` {version} 把 {n} 份语料合成的中文指令数据；"
        "每一行都标明出自哪份语料、属于哪个任务、如何评分。",
        "Chinese instruction data made of {n} corpora by jingtiao with the mixture `{name}` {version}; every row "
        "names its corpus, its task and its metrics.",
    ),
    "found_mixture": (
        "读入 {n} 份语料的 {read} 行，写出 {written} 条样本（训练集 {train} 条），{rejected} 行未写出，"
        "每一行的去向都有记录。",
        "{read} rows of {n} corpora read, {written} samples written ({train} in train), {rejected} rows left out; "
        "every one is accounted for.",
    ),
    "found_shared": (
        "训练集有 {duplicates} 行与另一份语料重复，{leaks} 行在另一份语料的评测集中出现，"
        "{conflicts} 行与另一份语料的标签矛盾：都已移除。",
        "{duplicates} training rows stand in another corpus too, {leaks} in the evaluation rows of another, and the "
        "labels of {conflicts} are contradicted by another: all were removed.",
    ),
    "found_apart": (
        "没有发现一份语料的训练行出现在另一份语料中。",
        "No training row of one corpus was found in another.",
    ),
    "found_repeats": (
        "训练集有 {rows} 条是重复使用的样本（编号带 ~）。",
        "{rows} samples of train are repeats (their ids have a ~).",
    ),
    "shares": ("训练集的构成", "The shares of train"),
    "shares_note": (
        "“可用”指去掉跨语料的重复和泄漏之后、上限之内互不相同的训练行；各份语料取编号哈希最小的行。",
        "“Available” are the different training rows left after the comparison across corpora, up to the cap; of "
        "each corpus those rows are taken whose ids hash smallest.",
    ),
    "by_weights": ("按权重分配，共 {total} 行。", "Shared out by weights, {total} rows in all."),
    "by_temperature": (
        "按规模分配，温度 {temperature}（份额与行数的 1/{temperature} 次方成正比），共 {total} 行。",
        "Shared out by size at temperature {temperature} (in proportion to rows to the power of 1/{temperature}), "
        "{total} rows in all.",
    ),
    "by_caps": ("取所有行，以上限为限，共 {total} 行。", "All rows up to the caps, {total} in all."),
    "corpus": ("语料", "Corpus"),
    "weight": ("权重", "Weight"),
    "cap": ("上限", "Cap"),
    "available": ("可用", "Available"),
    "asked": ("应占", "Asked"),
    "realised": ("实占", "Realised"),
    "repeats": ("重复使用", "repeats"),
    "corpora": ("各份语料", "The corpora"),
    "recipe": ("配方", "Recipe"),
    "metrics": ("评分", "Metrics"),
    "name": ("名称", "Name"),
    "prompt": ("提示", "prompt"),
    "output": ("回答", "answer"),
    "mixture_lengths_note": (
        "写出的样本：提示是指令加输入，不含多轮对话的历史。p50 为中位数。",
        "Of the samples written; a prompt is instruction and input, without a dialogue's history. p50 is the median.",
    ),
    "across": ("语料之间的重叠", "Overlap between the corpora"),
    "across_pair": ("{one} 的行也在 {other} 中", "rows of {one} that also stand in {other}"),
    "across_duplicates": ("训练行在对方训练集中：之前", "Train in train: before"),
    "across_leaks": ("评测行在对方训练集中：之前", "Evaluation in train: before"),
    "across_after": ("之后", "after"),
    "across_note": (
        "只在同类任务之间比较，忽略大小写、标点和空白；表中没有列出的语料两两之间没有重叠。"
        "同一份语料内部的重复由它自己的配方处理。",
        "Compared within one family of tasks, case, punctuation and white space set aside; corpora that no table "
        "names share nothing. What stands twice within one corpus is left to its own recipe.",
    ),
    "compared_none": (
        "没有两份语料属于同一类任务，无从比较。",
        "No two corpora are of one family of tasks: there was nothing to compare.",
    ),
    "compared": ("互相比较的语料：{groups}。", "Corpora that were compared with one another: {groups}."),
    "families": ("模板族", "Templates of"),
    "used": ("用到的模板", "Templates used"),
}
