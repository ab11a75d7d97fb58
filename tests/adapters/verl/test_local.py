import asyncio
from pathlib import Path

import pytest

from llm_gym.adapters.verl import export_verl
from llm_gym.adapters.verl.local import TransformersServer, local_config
from tests.adapters.verl.speaking import VAULT, vault_tokenizer
from tests.policies.tiny import tiny_model


@pytest.fixture(scope="module")
def server() -> TransformersServer:
    tokenizer = vault_tokenizer()
    return TransformersServer(tiny_model(tokenizer), tokenizer)


def generate(server: TransformersServer, **sampling: object) -> object:
    told = {"max_tokens": 5, "logprobs": True, "temperature": 1.0, **sampling}
    return asyncio.run(
        server.generate("id", prompt_ids=[1, 2, 3], sampling_params=told, priority=1)
    )


def test_server_samples_tokens_with_their_logprobs(server: TransformersServer) -> None:
    output = generate(server)
    assert 1 <= len(output.token_ids) <= 5
    assert len(output.log_probs) == len(output.token_ids)


def test_server_tells_no_logprobs_unasked(server: TransformersServer) -> None:
    assert generate(server, logprobs=False).log_probs is None


def test_server_draws_anew_each_time(server: TransformersServer) -> None:
    drawn = {tuple(generate(server).token_ids) for _ in range(8)}
    assert len(drawn) > 1


def test_server_refuses_a_temperature_that_it_was_not_made_for(
    server: TransformersServer,
) -> None:
    with pytest.raises(ValueError, match=r"`temperature` must be 1\.0, not 0"):
        generate(server, temperature=0)


def test_server_forgets_what_other_weights_said(server: TransformersServer) -> None:
    server.forget()
    assert generate(server).token_ids


def test_configuration_is_verls_with_the_settings_of_an_export(tmp_path: Path) -> None:
    vault_tokenizer().save_pretrained(tmp_path)
    files = export_verl(VAULT, tmp_path / "data", train=1, val=1, group_size=4)
    config = local_config(tmp_path, files.overrides.read_text().split())
    rollout = config.actor_rollout_ref.rollout
    assert rollout.n == 4
    assert rollout.agent.default_agent_loop == "llm_gym"
    assert rollout.agent.agent_loop_config_path == str(files.agent_loop)
    assert config.data.train_files == str(files.train)
