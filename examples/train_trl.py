"""GRPO with TRL on any registered environment, by either of TRL's two ways in.

Run: pip install 'llm-gym[transformers,trl]', then python examples/train_trl.py
On a GPU: python examples/train_trl.py --model Qwen/Qwen3-0.6B --steps 200 --group 8

Without --model a Llama of random weights is made on the spot. It shows in a minute on
a CPU that everything runs; it writes noise, so its reward and its loss stay 0.
"""

import argparse
import tempfile
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    PrinterCallback,
    TrainerCallback,
)
from trl import GRPOConfig, GRPOTrainer, chat_template_utils

from llm_gym.adapters.trl import TRLSpec

SHOWN = ("reward", "loss", "llm_gym/turns", "llm_gym/truncated", "llm_gym/faults")

parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("--env", default="llmgym/MultiStep-v0", help="any id of llm_gym")
parser.add_argument("--path", default="rollout", choices=["rollout", "environment"])
parser.add_argument("--model", help="a name or a folder; trained with LoRA")
parser.add_argument("--level", type=int, default=0)
parser.add_argument("--steps", type=int, default=2)
parser.add_argument("--group", type=int, default=2, help="episodes with one start")
parser.add_argument("--tokens", type=int, help="the most of an episode")
parser.add_argument("--out", default=str(Path(tempfile.gettempdir(), "train_trl")))
options = parser.parse_args()
gpu = torch.cuda.is_available()


def make_tokenizer():
    """Make a tokenizer of bytes, with a chat template that TRL can read calls of."""
    marks = ["<|im_start|>", "<|im_end|>", "<|pad|>"]
    signs = [*marks, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    core = Tokenizer(models.BPE({sign: i for i, sign in enumerate(signs)}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(marks)
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token=marks[1],
        pad_token=marks[2],
        chat_template=chat_template_utils.qwen2_5_chat_template,
    )


def make_model(tokenizer):
    """Make a model of random weights, small enough for a CPU."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=16_384,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


if options.model:
    from peft import LoraConfig

    tokenizer = AutoTokenizer.from_pretrained(options.model)
    numbers = torch.bfloat16 if gpu else torch.float32
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=numbers)
    lora = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear")
else:
    tokenizer = make_tokenizer()
    model, lora = make_model(tokenizer), None

spec = TRLSpec(options.env, path=options.path, level=options.level, prompts=512)
args = GRPOConfig(
    output_dir=options.out,
    max_steps=options.steps,
    num_generations=options.group,
    per_device_train_batch_size=options.group,
    gradient_accumulation_steps=4 if options.model else 1,
    max_completion_length=options.tokens or (1024 if options.model else 64),
    learning_rate=1e-5,
    loss_type="dapo",
    beta=0.0,
    logging_steps=1,
    report_to="none",
    save_strategy="no",
    use_cpu=not gpu,
    bf16=gpu,
    gradient_checkpointing=gpu,
    disable_tqdm=True,
)


class CountingTrainer(GRPOTrainer):
    """Counts the tokens that the loss sees."""

    counted = 0

    def _compute_loss(self, model, inputs):
        mask = inputs["completion_mask"] * inputs.get("tool_mask", 1)
        self.counted += int(mask.sum())
        return super()._compute_loss(model, inputs)


class Printing(TrainerCallback):
    """Prints what each step was trained on."""

    def on_log(self, args, state, control, logs=None, **rest):
        """Print a line for each step."""
        if logs and "reward" in logs:
            said = [f"{key} {float(logs[key]):.3f}" for key in SHOWN if key in logs]
            print(f"step {state.global_step}:", ", ".join(said), end=", ")
            print(f"{trainer.counted} tokens in the loss so far", flush=True)


trainer = CountingTrainer(
    model=model,
    args=args,
    processing_class=tokenizer,
    peft_config=lora,
    **spec.kwargs(callbacks=[Printing()]),
)
trainer.remove_callback(PrinterCallback)
trainer.train()
print(f"{options.env}, path {options.path}: {trainer.counted} tokens in the loss")
