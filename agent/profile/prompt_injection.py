"""Prompt injection: instructions to a model within item texts are removed before interests are named.

An injected text could change no more than a name (data never becomes a control token, and a grammar constrains the
reply). The list of patterns is short and known to be incomplete: what it misses still affects only its own cluster.
"""

import re

# No item's text has these: what follows them is meant for a model.
_MARKUP = re.compile(
    r"""<\|.*|\[\[\s*(?:system|user|assistant|keep)\b.*|\{\{.*|\{%.*|\[/?INST\].*|</?(?:system|user|assistant)>.*"""
    r"""|["'](?:keyword|theme|interests?)["']\s*:.*""",
    re.IGNORECASE | re.DOTALL,
)
_SENTENCE = re.compile(r"(?<=[.!?;。！？；…])\s*|\s*\|\s*|\s[–—-]\s|\n")
_PERSON = r"(?:this|that|the) (?:user|customer|client|person|reader|viewer|profile|group|interest)\b"
_TO_A_MODEL = re.compile(
    "|".join(
        (
            r"\b(?:ignore|disregard|forget|override)\b.{0,40}\b(?:instructions?|prompts?|rules|above|previous)\b",
            rf"\b(?:call|label|mark|tag|name|describe|treat|classify|address|rate|rank|list)\b.{{0,20}}{_PERSON}",
            r"\b(?:call|label|mark|describe|classify|tag) (?:me|them|him|her) (?:as|an?)\b",
            rf"\b{_PERSON} (?:is|must|should|shall|has to|needs to|as)\b",
            r"\b(?:keyword|theme)s? (?:is|are|must|should|shall|will)\b",
            r"\b(?:answer|reply|respond|output)(?: only)? (?:with|in)\b",
            r"\byou (?:are|must|should|will)\b.{0,25}\b(?:assistant|model|ai|system|answer|say|write|call)\b",
            r"\bfrom now on,? (?:you|your|the|all|every|each)\b|\byou (?:name|label|output|rename)\b",
            r"\bsystem (?:prompt|message)\b|^\s*(?:system|assistant|user|name|keyword|theme|label)s?\s*[:=]",
            r"(?:忽略|无视|忘记|不要理会).{0,12}(?:指令|指示|提示|规则|要求|以上|之前)",
            r"(?:把|将|称|叫|视|标记|描述|认定).{0,6}(?:这个|这名|该|此|这位|本)(?:用户|顾客|客户|人|读者|兴趣)",
            r"(?:这个|这名|该|此|这位|本)(?:用户|顾客|客户|读者)(?:是|为|应|必须|属于|就叫|叫)",
            r"(?:关键词|关键字|主题|名称|名字)(?:是|为|必须|应该|应为|都叫|写成|写为|填|:|：)",
            r"从现在(?:起|开始)，?.{0,8}(?:叫|称|写|回答|输出|命名)",
            r"你(?:是|现在是|必须|应该|要|只能).{0,10}(?:助手|模型|系统|人工智能|回答|输出|写)",
            r"系统(?:提示|消息|指令)|请?(?:只|直接)?(?:回答|输出|回复)(?:：|:|“|为|只)",
        )
    ),
    re.IGNORECASE,
)


def strip_instructions(text: str) -> str:
    """The text without chat markup and without sentences that instruct a model."""
    plain = _MARKUP.sub("", text)
    parts = _SENTENCE.split(plain)
    kept = [part for part in parts if part and not _TO_A_MODEL.search(part)]
    return text if plain == text and len(kept) == sum(map(bool, parts)) else " ".join(kept).strip(" |{[")


__all__ = ["strip_instructions"]
