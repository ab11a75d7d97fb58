"""The environments, one a file; `llm_gym.registration` lists them."""
