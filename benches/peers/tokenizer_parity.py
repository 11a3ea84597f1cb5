#!/usr/bin/env python3
"""Compares the ids of toolsmith's tokenizers with those of the reference implementations.

    tokenizer_parity.py [--count N] FILE...

FILE is a tokenizer.json (reference: Hugging Face's tokenizers), a tiktoken file (tiktoken) or a SentencePiece model
(sentencepiece). Tried with tokenizers 0.23.3, tiktoken 0.14.0, sentencepiece 0.2.3; each is needed for its kind only.
The texts are made here: every script, every kind of white space, controls, marks, emoji, unpaired combinations, code,
JSON, numbers, the names of the added tokens cut and whole, and random mixtures of it all from a fixed seed.

Texts that hold the name of an added token are left out of the comparison: there, ids differ on purpose. What is left is
compared id for id; the program `tokenize` (an example of crates/chat) is run through cargo.
"""

import argparse
import base64
import json
import pathlib
import random
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
SAMPLES = [
    "Hello, world! It's 3.14159 o'clock; don't you'Re WE'LL I'D",
    "深圳今天的天气怎么样？气温25℃，北京—上海。「你好」『世界』",
    "日本語のテキスト、カタカナとひらがな。ﾊﾝｶｸ ﾃｷｽﾄ ㍿ ㌔",
    "한국어 문장입니다. 안녕하세요!",
    "Привет, мир! Ёлка ёжик. Ελληνικά άλφα. עברית שלום العربية مرحبا ‏‎",
    "हिन्दी में पाठ। ไทยภาษา မြန်မာ ქართული Հայերեն አማርኛ ᏣᎳᎩ",
    "e\u0301 e\u0300\u0323 \u00e9 \u1e69 \u0073\u0323\u0307 \u212b A\u030a ﬁ ﬀ ½ ² № ™ Ⅳ ｆｕｌｌ　ｗｉｄｔｈ",
    "👍🏽 👨‍👩‍👧‍👦 🇩🇪🇫🇷 ☃️ 𠮷野家 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 \U000e0041 \ufffd \U0010ffff",
    " \t\n\r\n \n\n\n   \u00a0\u2003\u3000\u200b\u200d\ufeff\u2028\u2029\u0085\v\f end   ",
    "\x00\x01\x07\x1b[0m\x7f\x80\x9f\u00ad",
    'def f(x):\n    return {"a": [1, 2.5e-10, -0], \'b\': None}  # comment\n\n\nclass A_b:\n\tpass\n',
    '{"name": "get_weather", "arguments": {"city": "深圳", "days": 12345678901234567890, "x": [true, null]}}',
    "https://example.com/a?b=c&d=%20#frag user@host.tld C:\\Windows\\system32 /usr/local/bin",
    "0 00 000 0000 00000 1,234,567.89 ٠١٢٣ ৪৫৬ ①②③ Ⅷ ¾",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "                                                                 x",
    "=-=-=-=-=-=-=-=-=-=-====================----------------********",
    "<unk> <s> </s> <pad> <0x0A> <0xFF> ▁ ▁▁ Ġ Ċ <| |> [ ] < > [gMASK sop",
    "ſ K Å ǅ İ ı ß ẞ ŉ ΐ ᾳ 'ſ 'S 'ſtop",
    "",
    " ",
    "\n",
    "a",
]
SEPARATORS = ["", " ", "  ", "\n", "\t", "\u3000", "\u00a0", "'", "1", "é", "深", "<", "\u0301", "\u200d"]


def random_text(rng):
    kind = rng.randrange(4)
    if kind == 0:
        ranges = [(0x20, 0x7F), (0xA0, 0x24F), (0x300, 0x36F), (0x370, 0x5FF), (0x4E00, 0x9FFF), (0x1F300, 0x1FAFF)]
        low, high = rng.choice(ranges)
        return "".join(chr(rng.randrange(low, high)) for _ in range(rng.randrange(1, 60)))
    if kind == 1:
        characters = (chr(c) for c in (rng.randrange(0x110000) for _ in range(rng.randrange(1, 40))))
        return "".join(c for c in characters if not 0xD800 <= ord(c) < 0xE000)
    if kind == 2:
        return "".join(rng.choice(" \n\t\r'a1.,é中-_=") for _ in range(rng.randrange(1, 80)))
    parts = []
    for _ in range(rng.randrange(1, 8)):
        sample = rng.choice(SAMPLES)
        start = rng.randrange(len(sample) + 1)
        parts += [sample[start : start + rng.randrange(1, 30)], rng.choice(SEPARATORS)]
    return "".join(parts)


def texts(names, count):
    rng = random.Random(20261122)
    made = list(SAMPLES)
    for name in names:
        made += [name[:-1], name[1:], f"a{name[:-1]}a", f" {name[1:]}\n"]
    while len(made) < count:
        made.append(random_text(rng))
    return made


class HuggingFace:
    def __init__(self, path):
        from tokenizers import Tokenizer

        self.tokenizer = Tokenizer.from_file(str(path))
        self.names = [added.content for added in self.tokenizer.get_added_tokens_decoder().values()]

    def encode(self, text):
        return self.tokenizer.encode(text, add_special_tokens=False).ids


class Tiktoken:
    """The pattern is the one given: a tiktoken file does not hold it."""

    WORDS = {
        "ChatGLM4Tokenizer": r"\p{N}{1,3}",
        "QWenTokenizer": r"\p{N}",
    }

    def __init__(self, path):
        import tiktoken
        import unicodedata

        config = json.loads(path.with_name("tokenizer_config.json").read_text())["tokenizer_class"]
        pattern = (
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|" + self.WORDS[config]
            + r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        )
        lines = (line.split() for line in path.read_bytes().splitlines() if line)
        ranks = {base64.b64decode(piece): int(rank) for piece, rank in lines}
        self.encoding = tiktoken.Encoding(path.name, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
        compose = config == "QWenTokenizer"
        self.normalize = (lambda text: unicodedata.normalize("NFC", text)) if compose else (lambda text: text)
        self.names = []

    def encode(self, text):
        return self.encoding.encode_ordinary(self.normalize(text))


class SentencePiece:
    def __init__(self, path):
        import sentencepiece

        self.model = sentencepiece.SentencePieceProcessor(model_file=str(path))
        ids = range(self.model.get_piece_size())
        self.names = [self.model.id_to_piece(i) for i in ids if self.model.is_control(i) or self.model.is_unknown(i)]

    def encode(self, text):
        return self.model.encode(text)


def reference(path):
    begins = path.read_bytes()[:1]
    if begins == b"{":
        return HuggingFace(path)
    return SentencePiece(path) if begins == b"\n" else Tiktoken(path)


def ours(path, made):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(made, file)
        file.flush()
        run = ["cargo", "run", "--release", "-q", "-p", "toolsmith-chat", "--example", "tokenize", "--"]
        done = subprocess.run([*run, str(path), file.name], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{path}: {done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr.strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=pathlib.Path, metavar="FILE")
    parser.add_argument("--count", type=int, default=12000, help="how many texts")
    args = parser.parse_args()
    failed = False
    for path in args.files:
        path = path.resolve()
        peer = reference(path)
        made = texts(peer.names, args.count)
        ids, said = ours(path, made)
        compared = [i for i, text in enumerate(made) if not any(name in text for name in peer.names)]
        different = [i for i in compared if peer.encode(made[i]) != ids[i]]
        name = f"{path.parent.name}/{path.name}"
        print(f"{name}: {len(compared) - len(different)} of {len(compared)} texts equal; {said}")
        for i in different[:5]:
            print(f"  {made[i]!r}\n    reference {peer.encode(made[i])}\n    toolsmith {ids[i]}")
        failed |= bool(different)
    sys.exit(failed)


if __name__ == "__main__":
    main()
