#!/usr/bin/env python3
"""Makes crates/chat/tests/golden/sentencepiece: small models, and the ids that Google's library gives with them.

Pinned: sentencepiece 0.2.3.

    sentencepiece_golden.py [--large FOLDER]

The models are trained here on text that stands below, so they are the project's own. Each differs from the others in a
setting that matters to how text is cut. To keep them small, text is mapped by the few rules below; a model with the
library's own map (nmt_nfkc, 240 kB) is what `--large FOLDER` writes, for tokenizer_parity.py.
"""

import argparse
import io
import json
import pathlib
import random
import tempfile

import sentencepiece

OUT = pathlib.Path(__file__).resolve().parents[2] / "crates/chat/tests/golden/sentencepiece"
WORDS = """the harbour opens at high water and the boats go out with the tide under a grey sky while gulls cry above the
quay where ropes lie in coils beside nets and crates of ice a bell rings twice when the pilot comes aboard and once when he
leaves then engines turn slowly and the lamp on the mole swings round 港口 在 高潮 时 开放 船只 随 潮水 出海 海鸥 在 码头 上方 鸣叫 绳索 盘绕
在 渔网 和 冰箱 旁边 领航员 登船 时 钟 响 两声 离开 时 响 一声""".split()
TEXTS = [
    "the harbour opens at high water",
    "  two  spaces   and more    ",
    "港口在高潮时开放，船只随潮水出海。",
    "unknown: 𠮷 ☃ é ё \u0301 \u200b \ufeff x",
    "ﬁsh ½ ① ｆｕｌｌ　ｗｉｄｔｈ ㌔ e\u0301 \u00a0 \u3000 ﾊﾟ 각",
    "tabs\tand\nnewlines\r\n\n end",
    "▁▁ literal ▁marks▁ here",
    "<s></s><unk> <0x0A> <call> the<call>boat [role]",
    "a", " ", "", "\n", "\n\n", "  ", "    boats", "boats    ", "ropesropesropes", "aaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "{\"name\": \"tide\", \"days\": 12345}",
]
RULES = {"ﬁ": "fi", "½": "1⁄2", "①": "1", "\u3000": " ", "\u00a0": " ", "\t": " ", "\n": " ", "\r": "", "\u200b": "", "\ufeff": ""}
RULES |= {"e\u0301": "é", "㌔": "キロ", "ﾊ": "ハ", "ﾊﾟ": "パ", "\u1112\u1161": "하"}
RULES |= {chr(0xFF21 + i): chr(0x41 + i) for i in range(58)}
COMMON = dict(vocab_size=380, character_coverage=0.98, num_threads=1, hard_vocab_limit=False, minloglevel=2)
CASES = {
    "bpe": dict(model_type="bpe"),
    "bpe-bytes": dict(model_type="bpe", byte_fallback=True, vocab_size=500),
    "bpe-bytes-identity": dict(
        model_type="bpe", byte_fallback=True, vocab_size=500, normalization_rule_name="identity",
        remove_extra_whitespaces=False, allow_whitespace_only_pieces=True,
    ),
    "bpe-no-prefix": dict(
        model_type="bpe", add_dummy_prefix=False, remove_extra_whitespaces=False, normalization_rule_name="identity"
    ),
    "bpe-across-words": dict(model_type="bpe", split_by_whitespace=False, normalization_rule_name="identity"),
    "bpe-fixed": dict(
        model_type="bpe", user_defined_symbols=["<call>", "▁▁", "▁▁▁▁", "\n"], remove_extra_whitespaces=False,
        normalization_rule_name="identity", control_symbols=["[role]"],
    ),
    "unigram": dict(model_type="unigram"),
    "unigram-bytes": dict(model_type="unigram", byte_fallback=True, vocab_size=500),
    "unigram-identity": dict(
        model_type="unigram", normalization_rule_name="identity", remove_extra_whitespaces=False,
        add_dummy_prefix=False,
    ),
    "unigram-space-behind": dict(model_type="unigram", treat_whitespace_as_suffix=True),
    "unigram-fixed": dict(
        model_type="unigram", user_defined_symbols=["<call>", "▁▁", "\n"], remove_extra_whitespaces=False,
        normalization_rule_name="identity",
    ),
}


def sentences():
    rng = random.Random(3)
    for _ in range(600):
        line = " ".join(rng.choice(WORDS) for _ in range(rng.randrange(3, 12)))
        yield line + rng.choice([".", "!", "?", "。", "", ":", "  ", " 12", " 345"])


def train(lines, options):
    model = io.BytesIO()
    settings = {**COMMON, **options}
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as rules:
        for text, becomes in RULES.items():
            codes = [" ".join(f"{ord(c):X}" for c in side) for side in (text, becomes)]
            rules.write("\t".join(codes) + "\n")
        rules.flush()
        if "normalization_rule_name" not in settings:
            settings["normalization_rule_tsv"] = rules.name
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=model, **settings)
    return model.getvalue()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", type=pathlib.Path, metavar="FOLDER", help="write models with the full map there")
    args = parser.parse_args()
    lines = list(sentences())
    if args.large:
        for name, options in CASES.items():
            folder = args.large / name
            folder.mkdir(parents=True, exist_ok=True)
            named = {"normalization_rule_name": "nmt_nfkc", **options}
            (folder / "tokenizer.model").write_bytes(train(lines, named))
        return
    OUT.mkdir(parents=True, exist_ok=True)
    rng = random.Random(5)
    texts = list(TEXTS)
    for _ in range(60):
        parts = [rng.choice(WORDS + TEXTS + [" ", "  ", "\n", "é", "深", "▁"]) for _ in range(rng.randrange(1, 6))]
        texts.append("".join(part[: rng.randrange(1, 12)] for part in parts))
    (OUT / "texts.json").write_text(json.dumps(texts, ensure_ascii=False, indent=0) + "\n")
    for name, options in CASES.items():
        model = train(lines, options)
        (OUT / f"{name}.model").write_bytes(model)
        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        expected = {"ids": [processor.encode(text) for text in texts]}
        expected["decoded"] = [processor.decode(ids) for ids in expected["ids"]]
        (OUT / f"{name}.json").write_text(json.dumps(expected, ensure_ascii=False, separators=(",", ":")) + "\n")
        print(name, processor.get_piece_size(), "pieces", len(model), "bytes")


if __name__ == "__main__":
    main()
