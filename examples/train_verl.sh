#!/usr/bin/env bash
# GRPO on any environment id with VeRL's own trainer, on one GPU.
#
# NOT RUN by the authors: it needs an accelerator and vLLM. What stands before VeRL's
# trainer (data set, agent loop, batches, advantages, loss) is tested on a CPU; see
# docs/train_verl.md. Needs VeRL 0.9.1 with its servers and its queue, and llm_gym:
#
#   pip install 'verl[vllm]==0.9.1' 'llm-gym[verl]'
#
#   examples/train_verl.sh Qwen/Qwen3-0.6B llmgym/MultiStep-v0 runs/verl
#
# More arguments go to VeRL: trainer.n_gpus_per_node=8, trainer.logger='[console,wandb]'.
# `--cfg job` as the last one prints VeRL's whole configuration and trains nothing.
set -euo pipefail

MODEL=${1:-Qwen/Qwen3-0.6B}
ENV_ID=${2:-llmgym/MultiStep-v0}
OUT=${3:-runs/verl}
shift $(($# < 3 ? $# : 3))
export TRAIN_ROWS=${TRAIN_ROWS:-4096} VAL_ROWS=${VAL_ROWS:-128}
# VeRL 0.8 knows no entry points.
export VERL_USE_EXTERNAL_MODULES=${VERL_USE_EXTERNAL_MODULES:-llm_gym.adapters.verl.plugin}

# Rows of episodes and the settings that follow from them. The tokenizer measures first
# prompts: the longest one decides data.max_prompt_length.
python - "$MODEL" "$ENV_ID" "$OUT/data" <<'PYTHON'
import os
import sys

import llm_gym  # registers the environments
from llm_gym.adapters.verl import export_verl

model, env_id, out = sys.argv[1:]
files = export_verl(
    env_id,
    out,
    train=int(os.environ["TRAIN_ROWS"]),
    val=int(os.environ["VAL_ROWS"]),
    group_size=8,
    tokenizer=model,
    max_response_length=2048,
)
print(f"{files.tasks} tasks, prompts of at most {files.longest_prompt} tokens")
PYTHON

mapfile -t SETTINGS <"$OUT/data/overrides.txt"

python -m verl.trainer.main_ppo \
	"${SETTINGS[@]}" \
	data.train_batch_size=64 \
	actor_rollout_ref.model.path="$MODEL" \
	actor_rollout_ref.rollout.name=vllm \
	actor_rollout_ref.rollout.tensor_model_parallel_size=1 \
	actor_rollout_ref.rollout.gpu_memory_utilization=0.5 \
	actor_rollout_ref.rollout.agent.num_workers=4 \
	actor_rollout_ref.actor.optim.lr=1e-6 \
	actor_rollout_ref.actor.ppo_mini_batch_size=64 \
	actor_rollout_ref.actor.use_dynamic_bsz=True \
	actor_rollout_ref.actor.ppo_max_token_len_per_gpu=16384 \
	actor_rollout_ref.actor.use_kl_loss=False \
	actor_rollout_ref.rollout.log_prob_use_dynamic_bsz=True \
	actor_rollout_ref.rollout.log_prob_max_token_len_per_gpu=32768 \
	trainer.n_gpus_per_node=1 \
	trainer.nnodes=1 \
	trainer.total_epochs=1 \
	trainer.test_freq=10 \
	trainer.save_freq=50 \
	trainer.default_local_dir="$OUT/checkpoints" \
	trainer.logger='[console]' \
	"$@"
