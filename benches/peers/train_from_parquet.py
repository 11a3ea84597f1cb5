"""Does what `toolsmith prepare` wrote train as it is, with transformers' Trainer and with TRL's SFTTrainer?

Pinned: Python 3.11, torch 2.15.0, transformers 5.23.0, datasets 5.2.0, trl 1.16.0.

    python benches/peers/train_from_parquet.py OUT.parquet [OUT-00001-of-00002.parquet …]

Loads the files with Hugging Face datasets and trains one step from their `input_ids` and `labels`, without a tokenizer,
on a tiny random Qwen2 on the CPU. Checks that the loss each trainer reports is what the model gives for these labels.
"""

import argparse
import importlib.util
import math
import tempfile

import torch
from datasets import load_dataset
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM, Trainer, TrainingArguments

PAD = 0
SAMPLES = 4


def collate(samples):
    longest = max(len(sample["input_ids"]) for sample in samples)

    def padded(key, value):
        return torch.tensor([list(sample[key]) + [value] * (longest - len(sample[key])) for sample in samples])

    mask = [[1] * len(sample["input_ids"]) + [0] * (longest - len(sample["input_ids"])) for sample in samples]
    return {"input_ids": padded("input_ids", PAD), "labels": padded("labels", -100), "attention_mask": torch.tensor(mask)}


def model_for(vocabulary):
    torch.manual_seed(0)
    config = Qwen2Config(vocab_size=vocabulary, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                         num_attention_heads=2, num_key_value_heads=2, pad_token_id=PAD)
    return Qwen2ForCausalLM(config)


def check(name, loss, expected):
    assert math.isfinite(loss) and abs(loss - expected) < 1e-3, f"{name}: loss {loss}, expected {expected}"
    print(f"{name}: one step, loss {loss:.4f} (computed apart: {expected:.4f})")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="+")
    files = parser.parse_args().files
    data = load_dataset("parquet", data_files=files, split="train")
    print(data)
    few = data.select(range(SAMPLES)).select_columns(["input_ids", "labels"])
    vocabulary = max(max(sample["input_ids"]) for sample in few) + 1
    with torch.no_grad():
        expected = model_for(vocabulary)(**collate(list(few))).loss.item()
    with tempfile.TemporaryDirectory() as folder:
        common = {"output_dir": folder, "max_steps": 1, "per_device_train_batch_size": SAMPLES, "logging_steps": 1,
                  "use_cpu": True, "report_to": [], "save_strategy": "no", "bf16": False}
        trainer = Trainer(model_for(vocabulary), TrainingArguments(**common), train_dataset=few, data_collator=collate)
        check("transformers Trainer", trainer.train().training_loss, expected)
        if importlib.util.find_spec("trl") is None:
            return print("TRL is not installed: SFTTrainer left out")
        from trl import SFTConfig, SFTTrainer

        options = {"dataset_kwargs": {"skip_prepare_dataset": True}, "max_length": None}
        trainer = SFTTrainer(model_for(vocabulary), SFTConfig(**common, **options), train_dataset=few,
                             data_collator=collate, processing_class=bare_tokenizer())
        check("TRL SFTTrainer", trainer.train().training_loss, expected)


def bare_tokenizer():
    """Stands where TRL wants a tokenizer, which data that is prepared needs no more."""
    words = Tokenizer(WordLevel({"<pad>": PAD}, unk_token="<pad>"))
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<pad>")


if __name__ == "__main__":
    main()
