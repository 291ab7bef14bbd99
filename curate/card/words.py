"""The words of a card, in Chinese and in English. Every figure's name is here; both languages fill one template."""

from __future__ import annotations

from jingtiao.both import LANGUAGES

_TEXTS: dict[str, tuple[str, str]] = {
    # Headings and connecting text.
    "intro": (
        "由 jingtiao（精调）按配方 `{name}` {version} 从公开语料整理而成的中文指令数据。",
        "Chinese instruction data, curated by jingtiao from a published corpus with the recipe `{name}` {version}.",
    ),
    "findings": ("要点", "In short"),
    "about": ("来源与许可", "What this is"),
    "task": ("任务", "Task"),
    "license": ("许可", "Licence"),
    "homepage": ("主页", "Homepage"),
    "citation": ("引用", "Citation"),
    "not_stated": ("未说明", "not stated"),
    "funnel": ("每一步之后剩下多少行", "Where the rows went"),
    "funnel_note": (
        "每一列自上而下相加：读入的行减去各步剔除的行，就是写出的行。被剔除的行都在 rejected.jsonl 里。"
        "验证集和测试集的行只标记，不剔除，除非无法成为样本。",
        "Each column adds up: rows read, less what each step removed, are the rows written. Every row removed is in "
        "rejected.jsonl. Rows of validation and test are flagged, never removed, unless they can't become a sample.",
    ),
    "leaks": ("划分之间的重叠", "Overlap between the splits"),
    "leaks_note": (
        "以 {key} 为准，忽略大小写、标点和空白。“之前”指去重和查漏之前，“之后”指写出的数据。",
        "By {key}, case, punctuation and white space set aside. “Before” is before any row was removed for its "
        "content, “after” is the data as written.",
    ),
    "overlap": ("重叠", "Overlap"),
    "overlap_pair": ("{split} 的行也在 {other} 中", "rows of {split} that also stand in {other}"),
    "before": ("之前", "Before"),
    "after": ("之后", "After"),
    "of": ("总行数", "Of"),
    "other_label": ("标签不同（之前）", "Other label (before)"),
    "sentences": ("句子重叠（之前）", "Sentences shared (before)"),
    "sentences_after": ("句子重叠（之后）", "Sentences shared (after)"),
    "contexts": ("篇章重叠（之前）", "Contexts shared (before)"),
    "contexts_after": ("篇章重叠（之后）", "Contexts shared (after)"),
    "leak_near_before": ("几乎相同（之前）", "Nearly the same (before)"),
    "leak_near_after": ("几乎相同（之后）", "Nearly the same (after)"),
    "leak_covered_before": ("被覆盖（之前）", "Covered (before)"),
    "leak_covered_after": ("被覆盖（之后）", "Covered (after)"),
    "leak_covered_tenth_before": ("覆盖一成以上（之前）", "A tenth covered (before)"),
    "leak_covered_tenth_after": ("覆盖一成以上（之后）", "A tenth covered (after)"),
    "leak_rule": ("与对方完全相同的行见上一张表，这里不计。", "Rows that are the same are in the table above only. "),
    "leak_rule_near": (
        "几乎相同：评测文本不超过 200 字，按“近似重复”的规则相似度不低于 {least}，数字也相同；超过 60 字的，"
        "其按字的 13 元组有这样大的比例在一条文本里，也算被覆盖。",
        "Nearly the same: an evaluation text of up to 200 characters, from a similarity of {least} on by the rules of "
        "near_dedup, numbers alike; one above 60 is covered where one text holds this share of its 13-character "
        "n-grams. ",
    ),
    "leak_rule_coverage": (
        "被覆盖：评测文本超过 200 字，其 13 元组至少有 {least} 在对方的同一条文本里；覆盖一成只统计，不算泄漏。",
        "Covered: of the 13-grams of an evaluation text above 200 characters at least {least} stand in one text of "
        "the other split; a tenth is told and is no leak.",
    ),
    "benchmarks": ("外部评测集", "Benchmarks outside the corpus"),
    "benchmark": ("文件", "File"),
    "benchmarks_note": (
        "每个文件的文本在语料的多少行中出现（相同、几乎相同或被覆盖）；训练集的这些行已剔除，其他划分只标记。",
        "In how many rows texts of each file were met: the same, nearly the same or covered. Those of train were "
        "removed, others are flagged.",
    ),
    "no_leaks": ("只有一个划分，没有可以比较的。", "There is nothing to compare: the data has no evaluation split."),
    "labels": ("标签", "Labels"),
    "label": ("标签", "Label"),
    "unlabelled": ("（无标签）", "(unlabelled)"),
    "conflicts": (
        "同一文本带有不同标签：训练集剔除 {rejected} 行，验证集和测试集标记 {flagged} 行。",
        "One text with different labels: {rejected} training rows removed, {flagged} evaluation rows flagged.",
    ),
    "duplicates": ("重复", "Duplicates"),
    "duplicates_note": (
        "同一划分之内，重复了前面某一行的行（去重之前统计）。",
        "Rows that repeat an earlier one of their own split (counted before any were removed).",
    ),
    "near": ("近似重复", "Near-duplicates"),
    "near_rows": ("近似重复的行", "Rows that nearly repeat another"),
    "near_clusters": ("簇", "Clusters"),
    "near_largest": ("最大的簇（其中最低相似度）", "Largest cluster (least similarity in it)"),
    "near_weakest": ("最低相似度", "Least similarity of all"),
    "near_note": (
        "两段文本的 n 元组集合的 Jaccard 相似度不低于 {threshold} 即为近似重复，以较短的一方所在的档为准："
        "{by}。{digits}每一对都在文本上验证过；恰在阈值上的一对，漏掉的机会不到千分之一。"
        "相似度都是对留下的那一行而言，簇见 clusters.parquet。",
        "Two texts are near-duplicates from a Jaccard similarity of their n-gram sets of {threshold} on, by the rule "
        "of the shorter one: {by}. {digits}Every pair was verified on the texts; one just at the threshold is missed "
        "less than once in a thousand times. Similarities are to the row that stays; clusters.parquet has the "
        "clusters.",
    ),
    "near_to": ("{from}–{to} 字", "{from}–{to} characters "),
    "near_from": ("{from} 字以上", "from {from} characters on "),
    "near_ngram": ("按字的 {ngram} 元组", "by {ngram} characters at a time"),
    "near_exact": ("只看是否相同", "only where they are the same"),
    "near_edit": ("相同或只差一字", "the same or one character apart"),
    "near_join": ("；", "; "),
    "near_digits_count": ("其中的数字不同，就不算近似。", "Texts with other numbers are never near. "),
    "near_digits_ignore": ("数字不论大小都算相同。", "Any number counts as any other. "),
    "semantic": ("语义近似重复", "Near-duplicates by meaning"),
    "semantic_note": (
        "两段文本的句向量（静态词向量模型，sha256 前 16 位为 {sha}）的余弦不低于 {threshold}、其中的数字也相同，"
        "即算意思相同。这样的模型不看词序，也分不清肯定与否定：结果值得抽查。"
        "相似度都是对留下的那一行而言，簇见 clusters.parquet。",
        "Two texts mean the same from a cosine of {threshold} on between their vectors (a static embedding model; its "
        "sha256 begins with {sha}), if the numbers in them are the same. Such a model sees no order of words and "
        "takes a text and its negation for alike: look at some of what it found. Similarities are to the row that "
        "stays; clusters.parquet has the clusters.",
    ),
    "repeated": ("重复的行", "Repeated rows"),
    "share": ("占比", "Share"),
    "lengths": ("长度（字符）", "Lengths in characters"),
    "lengths_note": (
        "写出的行，规范化之后、套用模板之前。p50 为中位数。",
        "Of the rows written, after normalising and before templates. p50 is the median.",
    ),
    "tokens": ("长度（词元）", "Lengths in tokens"),
    "tokens_note": (
        "写出的样本，套用模板和对话格式之后，含答案及其结束符。在右边截断时，超过某一长度的样本会失去答案的末尾；"
        "提示本身已达到这一长度的，会失去整个答案。",
        "Of the samples written, in their template and chat format, the answer and its end included. Cut on the "
        "right, a sample above a limit loses the end of its answer; where the prompt alone reaches it, all of it.",
    ),
    "limit": ("截断长度", "Cut at"),
    "answer_cut": ("答案被截断", "Answer cut"),
    "answer_lost": ("其中整个丢失", "of these all of it"),
    "found_tokens": (
        "训练集 {of} 条样本中有 {rows} 条（{share}）超过 {limit} 个词元，截断时会伤及答案。",
        "{rows} of the {of} training samples ({share}) are longer than {limit} tokens: cut there, they lose of "
        "their answers.",
    ),
    "field": ("字段", "Field"),
    "segmentation": ("分词", "Segmentation"),
    "words_line": (
        "{texts} 条文本共 {words} 个词，平均每条 {mean} 个；词表 {vocabulary} 个词，其中 {once} 个只出现一次。",
        "{words} words in {texts} texts, {mean} a text; {vocabulary} distinct words, {once} of which occur once.",
    ),
    "top": ("最常见的词（两个字以上）：", "Commonest words of two characters or more: "),
    "changes": ("对文本的改动", "Changes to the text"),
    "change": ("改动", "Change"),
    "no_changes": ("没有改动任何文本。", "No text was changed."),
    "repairs": ("读取时的处理：", "While reading:"),
    "templates": ("模板", "Templates"),
    "template": ("模板", "Template"),
    "samples": ("样本数", "Samples"),
    "example": ("示例", "Example"),
    "flags": ("标记", "Flags"),
    "flags_note": (
        "带标记的行仍在数据中（meta.flags），评测时可自行取舍。",
        "Flagged rows are still in the data (meta.flags); an evaluation may leave them out.",
    ),
    "rejects": ("剔除的行", "Rejected rows"),
    "no_rejects": ("没有剔除任何行。", "No row was rejected."),
    "step": ("步骤", "Step"),
    "reason": ("原因", "Reason"),
    "meaning": ("含义", "Meaning"),
    "id": ("编号", "Id"),
    "text": ("内容", "Text"),
    "examples_of": ("{step}: {reason} 的例子", "Examples of {step}: {reason}"),
    "not_chosen": ("（未被选中，不保留内容）", "(not chosen; kept without its text)"),
    "sources": ("数据文件", "Source files"),
    "sources_note": (
        "多个文件合为一行时，括号中是文件数，sha256 取自每个文件一行（其 sha256、两个空格、路径）并按路径排序的清单；"
        "逐个文件见 manifest.json。",
        "Where files are told together, their number stands in brackets, and the sha256 is that of a list with one "
        "line a file (its sha256, two spaces, its path) in the order of the paths; manifest.json has each of them.",
    ),
    "split": ("划分", "Split"),
    "file": ("文件", "File"),
    "rows": ("行数", "Rows"),
    "reader": ("读取方式", "Reader"),
    "encoding": ("编码", "Encoding"),
    "bytes": ("字节", "Bytes"),
    "ignored": ("未使用的文件：", "Files left aside: "),
    "ignored_more": ("等 {n} 个（全部见 manifest.json）", " and more, {n} in all (manifest.json names them)"),
    "scoring": ("如何评分", "How it is scored"),
    "reproduce": ("如何重现", "How to make it again"),
    "reproduce_note": (
        "文件名按上表；指纹 `{fingerprint}`，随机种子 {seed}，版本：{versions}。",
        "File names as above; fingerprint `{fingerprint}`, seed {seed}, versions: {versions}.",
    ),
    "read": ("读入", "read"),
    "moved": ("移动或切分", "moved"),
    "written": ("写出", "written"),
    "flagged": ("其中有标记", "of these flagged"),
    "unreadable": ("无法读取", "unreadable"),
    "unformattable": ("无法成为样本", "unformattable"),
    # Findings.
    "found_rows": (
        "读入 {read} 行，写出 {written} 条样本，剔除 {rejected} 行，每一行的去向都有记录。",
        "{read} rows read, {written} samples written, {rejected} rows rejected; every one is accounted for.",
    ),
    "found_leak": (
        "{split} {of} 行中有 {rows} 行（{share}）的{what}在{other}中出现过",
        "{rows} of the {of} rows of {split} ({share}) have a {what} that also stands in {other}",
    ),
    "found_sentences": (
        "{split} {of} 个句子中有 {rows} 个（{share}）在{other}的某个句对中出现过；只有整个{what}相同的行才算重叠。",
        "{rows} of the {of} sentences of {split} ({share}) stand in some pair of {other}; rows count as "
        "overlap only where the whole {what} is the same.",
    ),
    "leak_removed": ("；这些训练行已移除。", "; those training rows were removed."),
    "leak_kept": ("；写出的数据中仍有 {rows} 行。", "; {rows} are still there in the data as written."),
    "found_near_leak": (
        "{split}另有 {rows} 行与{other}的某一行几乎相同，或大部分包含在其中；这些训练行已移除。",
        "{rows} more rows of {split} are not in {other}, but nearly the same as a text there or largely inside one; "
        "those training rows were removed.",
    ),
    "found_no_leak": (
        "没有发现训练集与评测集的重叠。",
        "No overlap between training and evaluation rows was found.",
    ),
    "found_conflicts": (
        "训练集中有 {rows} 行的文本带有互相矛盾的标签，已全部剔除。",
        "{rows} training rows carried contradictory labels for one text; all were removed.",
    ),
    "found_duplicates": (
        "训练集 {of} 行中有 {rows} 行（{share}）是重复的。",
        "{rows} of the {of} training rows ({share}) repeat an earlier one.",
    ),
    "found_moved": (
        "语料没有自带的{split}由本配方从训练集划出，共 {rows} 行；内容相同的行在同一划分。",
        "The corpus has no {split} split; {rows} training rows were made one. Rows of the same key stay together.",
    ),
    "found_unlabelled": (
        "{split}的 {rows} 行没有公开答案。",
        "{rows} rows of {split} come without a published answer.",
    ),
    "train": ("训练集", "train"),
    "validation": ("验证集", "validation"),
    "test": ("测试集", "test"),
    "what_pair": ("句对", "pair"),
    "what_classification": ("文本", "text"),
    "what_mrc": ("篇章", "context"),
    "what_summarization": ("原文", "text"),
    "what_dialogue": ("对话", "dialogue"),
    "what_key": ("内容", "key"),
    "task_pair": ("句对匹配", "sentence-pair matching"),
    "task_classification": ("文本分类", "text classification"),
    "task_mrc": ("机器阅读理解", "machine reading comprehension"),
    "task_summarization": ("自动摘要", "summarization"),
    "task_dialogue": ("对话", "dialogue"),
}


def words(lang: str) -> dict[str, str]:
    """The card's texts in a language."""
    return {key: texts[LANGUAGES.index(lang)] for key, texts in _TEXTS.items()}
