"""A model2vec model made on the spot: a token is a character, and what means the same has one vector."""

from __future__ import annotations

from pathlib import Path

import numpy as np

#: Characters that mean the same in the tests' language.
SAME = ("好佳棒优", "店馆", "大巨", "快速捷", "吃食")
CHARS = (
    "天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏闰余成岁律吕调阳云腾致雨露结为霜元这家很离站近房间干净早餐也不错"
)


def small_model(folder: Path, chars: str = CHARS, dim: int = 32, seed: int = 0) -> Path:
    """Save such a model; every other character has a vector of its own."""
    from model2vec import StaticModel
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers

    known = "".join(SAME) + "".join(char for char in dict.fromkeys(chars) if char not in "".join(SAME))
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, **{char: 1 + i for i, char in enumerate(known)}}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")  # type: ignore[assignment]
    vectors = np.random.default_rng(seed).standard_normal((len(known) + 1, dim)).astype(np.float32)
    for word in SAME:
        vectors[[1 + known.index(char) for char in word]] = vectors[1 + known.index(word[0])]
    StaticModel(vectors, tokenizer).save_pretrained(folder)
    return folder
