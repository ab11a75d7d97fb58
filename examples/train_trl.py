"""GRPO with TRL on any registered environment, by either of TRL's two ways in.

Run: pip install 'llm-gym[transformers,trl]', then python examples/train_trl.py
On a GPU: python examples/train_trl.py --model Qwen/Qwen3-0.6B --steps 200 --group 8
"""

import argparse
import tempfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer, chat_template_utils

from llm_gym.adapters.trl import TRLSpec
from llm_gym.policies.embedded import embedded_model_path

SHOWN = ("reward", "loss", "llm_gym/turns", "llm_gym/truncated", "llm_gym/faults")

parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("--env", default="llmgym/MultiStep-v0", help="any id of llm_gym")
parser.add_argument("--path", default="rollout", choices=["rollout", "environment"])
parser.add_argument("--model", help="a model's name or folder, default the embedded")
parser.add_argument("--level", type=int, default=0)
parser.add_argument("--steps", type=int, default=2)
parser.add_argument("--group", type=int, default=2, help="episodes with one start")
parser.add_argument("--tokens", type=int, help="the most of an episode")
parser.add_argument("--out", default=str(Path(tempfile.gettempdir(), "train_trl")))
options = parser.parse_args()

gpu = torch.cuda.is_available()
name = options.model or embedded_model_path()
tokenizer = AutoTokenizer.from_pretrained(name)
if options.model is None and options.path == "environment":
    # TRL's own loop must know how a model writes calls; this one's template has none.
    tokenizer.chat_template = chat_template_utils.qwen2_5_chat_template
model = AutoModelForCausalLM.from_pretrained(
    name, dtype=torch.bfloat16 if gpu else torch.float32
)

adapter = None
if options.model is not None:
    from peft import LoraConfig

    adapter = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear")

spec = TRLSpec(options.env, path=options.path, level=options.level, prompts=512)
args = GRPOConfig(
    output_dir=options.out,
    max_steps=options.steps,
    num_generations=options.group,
    per_device_train_batch_size=options.group,
    gradient_accumulation_steps=4 if options.model else 1,
    max_completion_length=options.tokens or (1024 if options.model else 48),
    learning_rate=1e-5 if options.model else 1e-6,
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


class Printing(TrainerCallback):
    """Prints what each step was trained on."""

    def on_log(self, args, state, control, logs=None, **rest):
        """Print a line for each step."""
        if logs and "reward" in logs:
            said = [f"{key} {float(logs[key]):.3f}" for key in SHOWN if key in logs]
            print(f"step {state.global_step}:", ", ".join(said))


class CountingTrainer(GRPOTrainer):
    """Counts the tokens that the loss sees."""

    trained = 0

    def _compute_loss(self, model, inputs):
        mask = inputs["completion_mask"] * inputs.get("tool_mask", 1)
        self.trained += int(mask.sum())
        return super()._compute_loss(model, inputs)


trainer = CountingTrainer(
    model=model,
    args=args,
    processing_class=tokenizer,
    peft_config=adapter,
    **spec.kwargs(callbacks=[Printing()]),
)
trainer.train()
print(f"{options.env}, path {options.path}: {trainer.trained} tokens in the loss")
