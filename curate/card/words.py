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

#: What reasons of rejects and flags, kinds of change and metrics mean.
_MEANINGS: dict[str, tuple[str, str]] = {
    # Reading.
    "too_few_columns": ("列数不够", "fewer columns than the layout has"),
    "too_many_columns": ("列数过多", "more columns than the layout has"),
    "label_outside_list": ("标签不在配方的列表里", "a label that the recipe doesn't list"),
    "unclosed_quote": ("引号没有结束", "a quote that never ends"),
    "stray_carriage_return": ("字段里有孤立的回车符", "a carriage return inside a field"),
    "bad_json": ("不是合法的 JSON", "not valid JSON"),
    "empty_dialogue": ("对话为空", "a dialogue without turns"),
    "not_a_dialogue": ("不是对话的列表", "not a list of utterances"),
    "no_question": ("缺少问题", "no question"),
    "ids_differ": ("同一块里的编号不一致", "the lines of a block carry different ids"),
    "no_summary": ("缺少摘要", "no summary"),
    "unreadable_file": ("空白的或不是文本的文件", "a file that is blank or no text"),
    # Steps.
    "not_in_split": ("语料自己的定义不把它算进这个划分", "the corpus's own definition leaves it out of this split"),
    "empty_field": ("必需的字段为空", "a field the task needs is empty"),
    "answer_not_in_context": ("答案不在篇章中", "no answer stands in the context"),
    "some_answers_not_in_context": ("部分答案不在篇章中", "some of the answers don't stand in the context"),
    "too_short": ("文本太短", "a text is too short"),
    "too_long": ("文本太长", "a text is too long"),
    "unlabelled": ("没有答案", "no answer to learn from"),
    "not_an_utterance": ("不是一条话语", "not an utterance"),
    "bad_label": ("标签不是文本", "the label is no text"),
    "bad_slots": ("槽位不是名与值", "slots that are no names with values"),
    "too_few_turns": ("少于两轮", "fewer than two turns"),
    "empty_turn": ("有空的一轮", "an utterance is blank"),
    "template_error": ("模板无法套用", "the template failed on this row"),
    "conflicting_labels": ("同一文本带有不同标签", "the same text carries different labels"),
    "same_text": ("与另一行文本相同，不计全半角和空白", "the same text as another row, width and white space aside"),
    "swapped": ("与另一行相同，两句互换", "the same pair as another row, the other way round"),
    "same_key": (
        "与另一行只差大小写、标点或空白",
        "differs from another row only in case, punctuation or white space",
    ),
    "near_text": ("与另一行几乎相同", "nearly the same as another row"),
    "same_meaning": ("与另一行意思相同", "means the same as another row"),
    "no_known_word": (
        "模型不认识其中任何一个词，不与别的行比较",
        "the model knows none of its words: compared with no row",
    ),
    "in_test": ("也在测试集中", "also stands in test"),
    "in_validation": ("也在验证集中", "also stands in validation"),
    "in_train": ("也曾在训练集中", "also stood in train"),
    "near_test": ("与测试集的一行几乎相同", "nearly the same as a row of test"),
    "near_validation": ("与验证集的一行几乎相同", "nearly the same as a row of validation"),
    "near_train": ("与训练集曾有的一行几乎相同", "nearly the same as a row that stood in train"),
    "covers_test": ("含有测试集一段文本的大部分", "holds much of a text of test"),
    "covers_validation": ("含有验证集一段文本的大部分", "holds much of a text of validation"),
    "covered_by_train": ("大部分曾包含在训练集的一段文本里", "much of it stood in a text of train"),
    "in_benchmark": ("也在外部评测集中", "also stands in a benchmark"),
    "near_benchmark": ("与外部评测集的一段文本几乎相同", "nearly the same as a text of a benchmark"),
    "covers_benchmark": ("含有外部评测集一段文本的大部分", "holds much of a text of a benchmark"),
    "over_cap": ("同类的行已经够多", "enough rows of its kind were kept"),
    "same_id": ("同一行在两份语料中，只算一次", "the same row stands in two of the runs and is counted once"),
    "in_other_corpus": (
        "与另一份语料中的一行相同，不计大小写、标点和空白",
        "the same as a row of another corpus, case, punctuation and white space aside",
    ),
    "not_chosen": ("未被选中", "not among the rows that were chosen"),
    "over_ratio": ("标签太常见，按比例减少", "its label is frequent and was thinned"),
    "not_sampled": ("没有抽中", "not drawn"),
    # Personal details: places masked, or rows rejected or flagged for them.
    "mobile": ("手机号", "mobile numbers"),
    "landline": ("座机号", "landline numbers"),
    "id_card": ("身份证号", "identity card numbers"),
    "bank_card": ("银行卡号", "bank card numbers"),
    "email": ("邮箱地址", "e-mail addresses"),
    "qq": ("QQ 号", "QQ numbers"),
    "wechat": ("微信号", "WeChat ids"),
    "ip": ("IP 地址", "IP addresses"),
    "url": ("网址", "web addresses"),
    "details_reported": ("只报告、没有改动的个人信息（处）", "personal details reported and left (places)"),
    # Words of a blocklist, languages, quality.
    "blocked_word": ("含有屏蔽词", "holds a word of the blocklist"),
    "words_masked": ("屏蔽词改为星号（处）", "words of the blocklist made asterisks (places)"),
    "lang_zh": ("中文", "Chinese"),
    "lang_ja": ("日文", "Japanese"),
    "lang_ko": ("韩文", "Korean"),
    "lang_latin": ("拉丁字母的文本（如英文）", "text in Latin letters, such as English"),
    "lang_cyrillic": ("西里尔字母的文本（如俄文）", "text in Cyrillic letters, such as Russian"),
    "lang_other": ("其他文字", "text in another script"),
    "repeated_characters": ("同一个字连写占了大半", "mostly runs of one character"),
    "repeated_phrases": ("大半是重复的词句", "mostly phrases said again"),
    "little_han": ("汉字太少", "few Han characters"),
    "garbled": ("乱码", "garbled characters"),
    "boilerplate": ("大半是套话（版权声明、点击提示等）", "mostly boilerplate: copyright lines, calls to click"),
    # Kinds of change.
    "full_width": ("全角字母和数字改为半角（字符）", "full-width letters and digits folded (characters)"),
    "ideographic_space": ("全角空格改为空格（字符）", "ideographic spaces made spaces (characters)"),
    "line_ends": ("换行符统一（处）", "line ends made uniform (places)"),
    "control": ("控制字符删除（字符）", "control characters removed (characters)"),
    "zero_width": ("零宽字符删除（字符）", "zero-width characters removed (characters)"),
    "words_joined": ("去掉词间空格的文本", "texts whose words were joined"),
    "edge_space": ("首尾空白删除（处）", "white space at the ends removed (places)"),
    "odd_turn_dropped": (
        "末尾无人回复的一句（轮数为奇数）不用（条）",
        "last turn, which nobody answers, left out (dialogues)",
    ),
    "texts_cut": ("太长而截断的文本", "texts that were too long and cut"),
    "characters_cut": ("截去的字符", "characters cut away"),
    "dialogues_shortened": ("去掉最早几轮的对话", "dialogues without their earliest turns"),
    "turns_dropped": ("去掉的轮数", "turns left out"),
    "characters_converted": ("繁体换成简体（字）", "Traditional characters made Simplified"),
    "answers_as_in_context": ("随原文转换的答案", "answers converted as in their context, not alone"),
    "variant": ("繁简转换标记（处）", "wiki variant marks (places)"),
    "braces": ("残留的花括号（处）", "left-over braces (places)"),
    "empty_brackets": ("空括号（处）", "empty brackets (places)"),
    "tag": ("HTML 标签（处）", "HTML tags (places)"),
    "repost": ("微博转发链（处）", "chains of reposts (places)"),
    "reply": ("微博回复前缀（处）", "reply prefixes (places)"),
    "emoticon": ("表情标记（处）", "emoticon marks (places)"),
    "offsets_right": ("答案位置正确", "answer offsets that were right"),
    "offsets_mended": ("答案位置已更正", "answer offsets mended"),
    "offsets_added": ("答案位置已补上", "answer offsets added"),
    "answers_not_found": ("答案不在篇章中", "answers not found in their context"),
    # Repairs while reading.
    "header": ("表头", "header lines"),
    "blank_lines": ("空行", "blank lines"),
    "undecodable_chars": ("无法解码的字符", "undecodable characters"),
    "nul": ("NUL 字符", "NUL characters"),
    "header_lines": ("文献头的行（标题留下）", "lines of bibliographic headers (titles are kept)"),
    "lines_joined": ("接回的折行", "lines joined to the one before, which had been cut at a width"),
    "spaced_joined": ("去掉字间空格的文本", "texts whose spaced characters were joined"),
    "pieces_joined": ("拼回分词和子词的文本", "texts whose words and subword pieces were joined"),
    "placeholder_answers": ("占位答案", "placeholder answers"),
    "numeric_answers": ("数字答案改为文本", "numbers as answers made text"),
    "no_answers_key": ("没有答案字段的问题", "questions without an answers field"),
    "triples": ("未使用的三元组", "triples, which are left aside"),
    "stray_lines": ("多余的行", "stray lines"),
    "bad_scores": ("无法识别的评分", "scores that can't be read"),
    "lone_surrogates": ("残缺的代理字符", "texts with half a surrogate pair"),
    # Metrics.
    "accuracy": ("准确率：输出与标签词完全一致的比例", "accuracy: the share of outputs equal to the label word"),
    "f1": ("F1：以标签 1 为正类", "F1 of the class with label 1"),
    "macro_f1": ("宏平均 F1：各类 F1 的平均", "macro F1: the mean of the classes' F1"),
    "cmrc_em": ("EM：与任一参考答案完全一致的比例（CMRC 2018 官方算法）", "exact match, by CMRC 2018's own rule"),
    "cmrc_f1": ("F1：与最接近的参考答案的字重合（CMRC 2018 官方算法）", "character F1, by CMRC 2018's own rule"),
    "drcd_em": ("EM：与任一参考答案完全一致的比例（DRCD 的算法）", "exact match, by DRCD's rule"),
    "drcd_f1": ("F1：与最接近的参考答案的字重合，不计次序（DRCD 的算法）", "F1 over the characters, by DRCD's rule"),
    "rouge1": ("ROUGE-1，按字", "ROUGE-1 by character"),
    "rouge2": ("ROUGE-2，按字", "ROUGE-2 by character"),
    "rougeL": ("ROUGE-L，按字", "ROUGE-L by character"),
    "bleu2": ("BLEU-2，按字", "BLEU-2 by character"),
    "bleu4": ("BLEU-4，按字", "BLEU-4 by character"),
    "dist1": ("Dist-1：不同的字所占比例", "Dist-1: distinct characters over all"),
    "dist2": ("Dist-2：不同的字对所占比例", "Dist-2: distinct pairs of characters over all"),
    "perplexity": ("困惑度：只计答案部分", "perplexity of the answers"),
}


def words(lang: str) -> dict[str, str]:
    """The card's texts in a language."""
    return {key: texts[LANGUAGES.index(lang)] for key, texts in _TEXTS.items()}


def meaning(name: str, lang: str) -> str:
    """What a reason, a kind of change or a metric means; a name without an entry is its own meaning."""
    texts = _MEANINGS.get(name)
    return texts[LANGUAGES.index(lang)] if texts else name.replace("_", " ")
