"""GRPO with Unsloth: LoRA on one GPU, on any environment id.

    pip install 'llm-gym[unsloth]'
    python examples/train_unsloth.py --model Qwen/Qwen3-0.6B --out runs/unsloth

NOT RUN by the authors on a GPU, for want of one. On a CPU it was, with the embedded
model of 135M parameters, in the environment that `make .venv-unsloth/.done` makes:

    python examples/train_unsloth.py --model embedded --steps 2 --groups 1 --group 2 \
        --completion 64
"""

import unsloth  # first: it changes trl, transformers and peft as they are imported

# isort: split
import argparse

from trl import GRPOConfig, GRPOTrainer

import llm_gym  # registers the environments
from llm_gym.adapters.trl import TRLSpec
from llm_gym.adapters.unsloth import check
from llm_gym.policies.embedded import embedded_model_path


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--model", default="Qwen/Qwen3-0.6B", help="name, folder, embedded"
    )
    parser.add_argument("--env", default="llmgym/MultiStep-v0")
    parser.add_argument("--level", type=int, default=0)
    parser.add_argument("--path", choices=["rollout", "environment"], default="rollout")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--groups", type=int, default=8, help="tasks in a step")
    parser.add_argument("--group", type=int, default=8, help="episodes of a task")
    parser.add_argument(
        "--prompt", type=int, default=1024, help="tokens of a first prompt"
    )
    parser.add_argument("--completion", type=int, default=1024, help="all after it")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--vllm", action="store_true", help="generate with vLLM")
    parser.add_argument("--out", help="where the adapter goes")
    return parser.parse_args()


args = arguments()
spec = TRLSpec(
    args.env, path=args.path, level=args.level, prompts=args.steps * args.groups
)
model, tokenizer = unsloth.FastLanguageModel.from_pretrained(
    str(embedded_model_path()) if args.model == "embedded" else args.model,
    max_seq_length=args.prompt + args.completion,  # what is longer would be cut
    load_in_4bit=False,
    fast_inference=args.vllm,
    max_lora_rank=args.rank,
)
model = unsloth.FastLanguageModel.get_peft_model(
    model,
    r=args.rank,
    lora_alpha=args.rank,
    max_seq_length=args.prompt + args.completion,
)
config = GRPOConfig(
    output_dir=args.out or "runs/unsloth",
    max_steps=args.steps,
    num_generations=args.group,
    per_device_train_batch_size=args.group,
    gradient_accumulation_steps=args.groups,
    max_completion_length=args.completion,
    learning_rate=1e-5,
    warmup_steps=0,
    optim="adamw_torch",  # Unsloth's default of 8 bits gains nothing on an adapter
    logging_steps=1,
    save_strategy="no",
    report_to="none",
)
trainer = GRPOTrainer(
    model=model, processing_class=tokenizer, args=config, **spec.kwargs()
)
check(trainer)
trainer.train()

for row in trainer.state.log_history:
    if "reward" in row:
        print(
            f"step {row['step']}: reward {row['reward']:.3f}, {row['step_time']:.0f} s"
        )
if args.out:
    model.save_pretrained(args.out)
    tokenizer.save_pretrained(args.out)
    print("adapter:", args.out)
print(f"llm_gym {llm_gym.__version__}, {type(trainer).__name__}, {unsloth.DEVICE_TYPE}")
