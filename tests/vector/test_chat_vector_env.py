"""`ChatVectorEnv`: slots that show what single environments show, each on its own."""

from __future__ import annotations

import threading

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers.vector import RecordEpisodeStatistics

from llm_gym import (
    ActionError,
    EnvironmentFault,
    ListTasks,
    Reply,
    Task,
    ToolEnv,
    UnknownTaskError,
    vector,
)
from llm_gym.messages import call_text
from llm_gym.registration import ENVIRONMENTS
from llm_gym.spaces import ReplySpace
from llm_gym.vector import ChatVectorEnv
from tests.sample_envs import AsyncEnv, BrokenEnv, EchoEnv, KitEnv, VaultEnv
from tests.vector.slow_envs import GateEnv, call_wait

each_id = pytest.mark.parametrize("env_id", sorted(ENVIRONMENTS))
ROLL = call_text("roll", {})
CRASH = call_text("crash", {})


@pytest.fixture
def vaults():
    envs = ChatVectorEnv(VaultEnv, 3)
    yield envs
    envs.close()


@pytest.fixture
def gates():
    GateEnv.renew(meeting=3)
    envs = ChatVectorEnv(GateEnv, 3)
    envs.reset(seed=0)
    yield envs
    GateEnv.gate.set()
    envs.close()


def single_episodes(env_id: str, seeds: list[int]) -> list[list[object]]:
    """Play single environments with random replies; return all that they show."""
    pages = []
    for seed in seeds:
        env = gym.make(env_id, disable_env_checker=True)
        shown = [env.reset(seed=seed)]
        replies = ReplySpace(env.action_space.tools, seed)
        while len(shown) == 1 or not (shown[-1][2] or shown[-1][3]):
            shown.append(env.step(replies.sample()))
        pages.append([*shown, env.unwrapped.trajectory.to_json()])
    return pages


@each_id
def test_slots_show_what_single_environments_show(env_id):
    seeds = [11, 5, 8]
    expected = single_episodes(env_id, seeds)
    envs = gym.make_vec(env_id, num_envs=3)
    observations, info = envs.reset(seed=seeds)
    pages = [[(observations[i], info["infos"][i])] for i in range(3)]
    tools = envs.single_action_space.tools
    replies = [ReplySpace(tools, seed) for seed in seeds]
    while envs.active.any():
        ids = np.flatnonzero(envs.active).tolist()
        actions = [replies[i].sample() if i in ids else None for i in range(3)]
        observations, *columns, info = envs.step(actions)
        for i in ids:
            row = [column[i].item() for column in columns]
            pages[i].append((observations[i], *row, info["infos"][i]))
    for page, record in zip(pages, envs.get_attr("trajectory"), strict=True):
        page.append(record.to_json())
    assert pages == expected
    envs.close()


@each_id
def test_an_id_is_made_into_ours_and_stock_ones_where_asked(env_id):
    ours = gym.make_vec(env_id, num_envs=2, split="test")
    assert isinstance(ours, ChatVectorEnv)
    assert ours.spec.id == env_id
    assert ours.metadata["autoreset_mode"] is AutoresetMode.DISABLED
    assert [env.spec.kwargs["split"] for env in ours.envs] == ["test", "test"]
    stock = gym.make_vec(env_id, num_envs=2, vectorization_mode="sync")
    assert isinstance(stock, gym.vector.SyncVectorEnv)
    assert ours.observation_space == stock.observation_space
    assert ours.action_space == stock.action_space
    assert gym.envs.registration.EnvSpec.from_json(gym.spec(env_id).to_json())


def test_an_id_of_ones_own_is_made_with_one_line(monkeypatch):
    monkeypatch.setattr(gym.envs.registration, "registry", dict(gym.registry))
    gym.register(
        "me/Vault-v3",
        entry_point=VaultEnv,
        max_episode_steps=1,
        vector_entry_point="llm_gym.vector:me/Vault-v3",
    )
    monkeypatch.setattr(gym, "registry", gym.envs.registration.registry)
    envs = gym.make_vec("me/Vault-v3", num_envs=2, max_threads=1)
    envs.reset(seed=1)
    assert envs.step([ROLL, ROLL])[3].all()


def test_an_entry_point_that_is_no_id_is_refused():
    with pytest.raises(AttributeError, match="'me/Nothing-v0', nor is that a registe"):
        getattr(vector, "me/Nothing-v0")


def test_spaces_contain_what_is_shown_and_their_samples_can_be_played(vaults):
    observations, _ = vaults.reset(seed=1)
    assert vaults.observation_space.contains(observations)
    assert vaults.single_observation_space.contains(observations[0])
    vaults.action_space.seed(3)
    actions = vaults.action_space.sample()
    assert vaults.action_space.contains(actions)
    assert not all(action == actions[0] for action in actions)
    assert vaults.observation_space.contains(vaults.step(actions)[0])


def test_seeds_count_up_or_are_given_for_each_slot(vaults):
    vaults.reset(seed=7)
    assert [info["seed"] for info in vaults.infos] == [7, 8, 9]
    vaults.reset(seed=[3, 3, np.int64(4)])
    first, again, other = vaults.get_attr("task")
    assert first == again != other


def test_a_seed_is_the_vector_environments_own_too(vaults):
    vaults.reset(seed=7)
    assert vaults.np_random_seed == 7


def test_a_task_that_many_slots_play_is_looked_up_once(vaults):
    class Counting(ListTasks):
        asked = 0

        def get(self, task_id):
            Counting.asked += 1
            return super().get(task_id)

    tasks = Counting([Task(id="one", prompt="x", data={"codes": {}})])
    envs = ChatVectorEnv(VaultEnv, 3, env_kwargs={"tasks": tasks})
    envs.reset(options={"tasks": ["one", "one", None]})
    assert Counting.asked == 1


def test_a_reset_without_a_seed_goes_on_as_single_environments_do(vaults):
    env = VaultEnv()
    expected = [env.reset(seed=8)[0], env.reset()[0]]
    assert [vaults.reset(seed=7)[0][1], vaults.reset()[0][1]] == expected


def test_tasks_are_given_for_each_slot():
    envs = ChatVectorEnv(EchoEnv, 3)
    own = Task(id="own", prompt="mine")
    envs.reset(seed=1, options={"tasks": ["ho", own, None]})
    first, second, third = envs.get_attr("task")
    assert (first.id, second.id) == ("ho", "own")
    assert third.id in ("hi", "ho")
    envs.reset(options={"task_ids": ["he", "he", "hi"]})
    assert [info["task_id"] for info in envs.infos] == ["he", "he", "hi"]
    envs.reset(options={"task_id": "ho"})
    assert [info["task_id"] for info in envs.infos] == ["ho"] * 3
    envs.reset(options={"task": own})
    assert [info["task_id"] for info in envs.infos] == ["own"] * 3


def test_an_unknown_task_is_refused_before_any_slot_changes():
    envs = ChatVectorEnv(EchoEnv, 2)
    envs.reset(options={"tasks": ["hi", "ho"]})
    for options in ({"tasks": ["he", "hu"]}, {"task_id": "hu"}):
        with pytest.raises(UnknownTaskError, match="hu"):
            envs.reset(options=options)
        assert [task.id for task in envs.get_attr("task")] == ["hi", "ho"]
        assert envs.active.all()


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"seed": [1, 2]}, ValueError, "`seed` must hold one for each of 3 slots, c"),
        ({"seed": [1, 2, -3]}, ValueError, "must not be negative, came -3"),
        ({"seed": 1.5}, TypeError, "float"),
        ({"options": {"tasks": "abc"}}, TypeError, "must be a sequence of one for e"),
        ({"options": {"tasks": [1, 2, 3]}}, TypeError, "tasks, ids or None, not 1"),
        ({"options": {"tasks": [], "task_ids": []}}, ValueError, "not both"),
        (
            {"options": {"tasks": ["a", None, None], "task_id": "b"}},
            ValueError,
            "one task for all slots or one for each",
        ),
        ({"options": {"reset_mask": [True]}}, TypeError, "array of np.bool_, not"),
        ({"options": {"reset_mask": np.ones(2, bool)}}, ValueError, r"shape \(3,\)"),
        ({"options": {"reset_mask": np.zeros(3, bool)}}, ValueError, "a True in it"),
        ({"options": {"envs": ["x", None, None]}}, ValueError, "one of .*came 'x'"),
    ],
)
def test_a_wrong_reset_is_refused_and_changes_nothing(vaults, arguments, error, match):
    vaults.reset(seed=1)
    vaults.step([ROLL] * 3)
    with pytest.raises(error, match=match):
        vaults.reset(**arguments)
    assert vaults.active.all()
    vaults.step([ROLL] * 3)
    assert [info["turn"] for info in vaults.infos] == [2, 2, 2]


def test_an_option_that_no_environment_knows_is_refused(vaults):
    with pytest.raises(ValueError, match="colour"):
        vaults.reset(options={"colour": 1})


def test_a_masked_reset_leaves_the_others_as_they_are(vaults):
    mask = np.array([True, False, False])
    vaults.reset(seed=1)
    vaults.step(["I give up", ROLL, ROLL])
    assert vaults.active.tolist() == [False, True, True]
    options = {"reset_mask": mask}
    observations, info = vaults.reset(seed=[9, 9, 9], options=options)
    assert options == {"reset_mask": mask}
    assert [len(o["messages"]) for o in observations] == [2, 4, 4]
    assert [bool(info) for info in info["infos"]] == [True, False, False]
    assert vaults.active.all()
    vaults.step([ROLL] * 3)
    assert [info["turn"] for info in vaults.infos] == [1, 2, 2]


def test_an_ended_slot_shows_its_final_observation_and_counts_nothing_twice(vaults):
    vaults.reset(seed=1)
    final, rewards, terminated, _, _ = vaults.step(["answer", ROLL, ROLL])
    assert terminated.tolist() == [True, False, False]
    later, rewards, terminated, truncated, info = vaults.step([None, ROLL, ROLL])
    assert later[0] is final[0]
    assert (rewards[0], terminated[0], truncated[0]) == (0.0, False, False)
    assert info["infos"][0] == {}
    assert vaults.infos[0]["stop_reason"] == "answer"
    again, *_ = vaults.step(["ignored", ROLL, ROLL])
    assert again[0] is final[0]


def test_stepping_where_nothing_is_active_is_refused(vaults):
    with pytest.raises(gym.error.ResetNeeded, match="no slot is active: call"):
        vaults.step([ROLL] * 3)


@pytest.mark.parametrize("bad", [None, 5, {"role": "user"}, {"content": 5}])
def test_an_action_that_is_no_reply_is_refused_before_any_slot_changes(vaults, bad):
    vaults.reset(seed=1)
    with pytest.raises(ActionError, match="the action of slot 2: "):
        vaults.step([ROLL, Reply(ROLL), bad])
    assert [len(t.turns) for t in vaults.get_attr("trajectory")] == [0, 0, 0]
    vaults.step([ROLL] * 3)


def test_the_wrong_number_of_actions_is_refused(vaults):
    vaults.reset(seed=1)
    with pytest.raises(ValueError, match="`actions` must hold one for each of 3 slot"):
        vaults.step([ROLL])


def test_a_fault_ends_its_slot_alone_and_is_never_a_zero(vaults):
    vaults.reset(seed=1)
    _, rewards, terminated, truncated, info = vaults.step([ROLL, CRASH, ROLL])
    assert np.isnan(rewards).tolist() == [False, True, False]
    assert not terminated.any()
    assert truncated.tolist() == [False, True, False]
    assert "the tool raised RuntimeError: kaput" in info["fault"][1]
    assert info["infos"][1]["seed"] == 2
    assert "fault" not in info["infos"][0]
    assert vaults.active.tolist() == [True, False, True]
    vaults.reset(seed=1, options={"reset_mask": ~vaults.active})
    assert vaults.active.all()


def test_a_fault_for_an_action_ends_the_slot(vaults):
    vaults.reset(seed=1)
    lost = EnvironmentFault("the server is away")
    _, rewards, _, truncated, info = vaults.step([ROLL, ROLL, lost])
    assert np.isnan(rewards[2])
    assert truncated[2]
    assert info["infos"][2]["fault"] == "the server is away"


def test_a_slot_that_cannot_be_reset_is_not_active():
    envs = ChatVectorEnv([VaultEnv, lambda: BrokenEnv("begin")])
    observations, info = envs.reset(seed=3)
    assert observations[1] is None
    assert "`begin` raised KeyError" in info["infos"][1]["fault"]
    assert envs.active.tolist() == [True, False]
    assert envs.step([ROLL, None])[0][1] is None


def test_another_error_is_raised_when_the_other_slots_are_up_to_date():
    class Odd(gym.Wrapper):
        def step(self, action):
            raise LookupError("a wrapper's bug")

    envs = ChatVectorEnv([VaultEnv, lambda: Odd(VaultEnv()), VaultEnv])
    envs.reset(seed=3)
    with pytest.raises(LookupError, match="a wrapper's bug"):
        envs.step([ROLL] * 3)
    assert envs.active.tolist() == [True, False, True]
    assert [info.get("turn") for info in envs.infos] == [1, None, 1]


def test_an_action_that_only_the_environment_can_refuse_leaves_its_slot_running():
    class Words(gym.Wrapper):
        def __init__(self, env):
            super().__init__(env)
            self.action_space = gym.spaces.Text(9)

        def step(self, action):
            return self.env.step(action if action != "odd" else 5)

    envs = ChatVectorEnv(lambda: Words(VaultEnv()), 2)
    envs.reset(seed=3)
    with pytest.raises(ActionError, match="an action must be"):
        envs.step(["odd", ROLL])
    assert envs.active.all()
    observations, *_ = envs.step([ROLL, ROLL])
    assert [len(o["messages"]) for o in observations] == [4, 6]


def test_an_interrupt_stops_at_once():
    class LightEnv(KitEnv):
        blocking = False

    envs = ChatVectorEnv(LightEnv, 2)
    envs.reset(seed=1)
    with pytest.raises(KeyboardInterrupt):
        envs.step([call_text("leave", {"how": "interrupt"})] * 2)
    assert envs.active.tolist() == [False, True]


def test_batched_info_loses_nothing_and_keeps_gymnasiums_form(vaults):
    _, info = vaults.reset(seed=1)
    assert info["seed"].tolist() == [1, 2, 3]
    assert info["seed"].dtype == np.int64
    assert info["_seed"].all()
    info = vaults.step(["x", ROLL, ROLL])[-1]
    assert info["score"]["value"].tolist() == [0.0, 0.0, 0.0]
    assert info["_score"].tolist() == [True, False, False]
    assert info["calls"][1][0]["name"] == "roll"


def test_attributes_are_read_set_and_called(vaults):
    vaults.set_attr("max_turns", [1, 2, 3])
    assert vaults.get_attr("max_turns") == (1, 2, 3)
    vaults.set_attr("max_turns", 4)
    assert vaults.get_attr("max_turns") == (4, 4, 4)
    with pytest.raises(ValueError, match="`values` must hold one for each of 3 slots"):
        vaults.set_attr("max_turns", [1])
    vaults.reset(seed=1)
    assert "open" in vaults.call("oracle")[0] or "lookup" in vaults.call("oracle")[0]


def test_every_slot_is_rendered():
    envs = gym.make_vec("llmgym/SingleTool-v0", num_envs=2, render_mode="ansi")
    envs.reset(seed=1)
    assert envs.render_mode == "ansi"
    assert all(isinstance(page, str) for page in envs.render())


def test_episode_statistics_of_gymnasium_are_right():
    envs = RecordEpisodeStatistics(ChatVectorEnv(EchoEnv, 2))
    for _ in range(2):
        envs.reset(seed=1, options={"tasks": ["hi", "ho"]})
        _, _, _, _, info = envs.step(["hi", "wrong"])
        assert info["episode"]["r"].tolist() == [1.0, 0.0]
    assert list(envs.length_queue) == [1, 1, 1, 1]


def test_a_mask_goes_through_episode_statistics():
    envs = RecordEpisodeStatistics(ChatVectorEnv(VaultEnv, 2))
    envs.reset(seed=1)
    envs.step([ROLL, "x"])
    envs.step([ROLL, None])
    envs.reset(options={"reset_mask": ~envs.unwrapped.active})
    info = envs.step(["x", "x"])[-1]
    assert info["episode"]["l"].tolist() == [3, 1]


def test_a_mixture_draws_from_the_seed_alone_and_by_weight():
    weights = {"llmgym/SingleTool-v0": 3, "llmgym/MultiStep-v0": 1}
    envs, other = ChatVectorEnv(weights, 64), ChatVectorEnv(weights, 64)
    envs.reset(seed=5)
    other.reset(seed=90)
    other.reset(seed=5)
    assert envs.env_names == other.env_names
    assert 4 < envs.env_names.count("llmgym/MultiStep-v0") < 30
    assert envs.mixture == weights
    single = gym.make(envs.env_names[9]).reset(seed=14)[0]
    assert envs.reset(seed=5)[0][9] == single
    one, two = envs.reset(), other.reset()
    assert one[0] == two[0]
    assert one[1]["infos"] == two[1]["infos"]


def test_a_mixture_may_be_told_what_to_play():
    envs = ChatVectorEnv({"llmgym/SingleTool-v0": 1, "llmgym/MultiStep-v0": 0}, 2)
    observations, _ = envs.reset(seed=1, options={"envs": ["llmgym/MultiStep-v0", 0]})
    assert envs.env_names == ("llmgym/MultiStep-v0", "llmgym/SingleTool-v0")
    names = {t["function"]["name"] for t in envs.single_action_space.tools}
    both = [{t["function"]["name"] for t in o["tools"]} for o in observations]
    assert names == both[0] | both[1]
    envs.reset()
    assert envs.env_names == ("llmgym/SingleTool-v0",) * 2
    envs.close()


def test_a_mixture_goes_on_drawing_from_the_seeds_of_its_slots():
    weights = {"llmgym/SingleTool-v0": 1, "llmgym/MultiStep-v0": 1}
    envs, other = ChatVectorEnv(weights, 12), ChatVectorEnv(weights, 12)
    for one in (envs, other):
        one.reset(seed=list(range(12)))
    with pytest.raises(UnknownTaskError, match="nowhere"):
        other.reset(options={"task_ids": [None] * 11 + ["nowhere"]})
    assert envs.reset()[0] == other.reset()[0]
    third = envs.reset()[0]
    assert third == other.reset()[0]
    assert third != envs.reset()[0]


def test_an_environment_that_left_its_slot_is_used_again():
    ids = ["llmgym/SingleTool-v0", "llmgym/MultiStep-v0"]
    envs = ChatVectorEnv(dict.fromkeys(ids, 1), 1)
    used = []
    for env_id in ids * 2:
        envs.reset(options={"envs": [env_id]})
        used.append(envs.env_of(0))
    assert used[0] is used[2] is not used[1]
    assert used[1] is used[3]


def test_a_mixture_without_a_seed_can_be_reset():
    envs = ChatVectorEnv({"llmgym/SingleTool-v0": 1, "llmgym/MultiStep-v0": 1}, 1)
    envs.reset()
    assert envs.active.all()


def test_slots_may_have_an_environment_each():
    envs = ChatVectorEnv(
        [VaultEnv, "llmgym/MultiStep-v0", gym.spec("llmgym/MultiStep-v0")]
    )
    envs.reset(seed=1)
    assert envs.env_names[1:] == ("llmgym/MultiStep-v0",) * 2
    assert envs.mixture == {}
    with pytest.raises(ValueError, match="slot 0 plays 'VaultEnv' only, not 'llmgym/M"):
        envs.reset(options={"envs": ["llmgym/MultiStep-v0", None, None]})


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ((VaultEnv,), ValueError, "`num_envs` must be at least 1 unless .*not None"),
        ((VaultEnv, 0), ValueError, "`num_envs` must be at least 1 .*not 0"),
        (([VaultEnv], 2), ValueError, "expected 2, came 1"),
        (([],), ValueError, "expected at least 1, came 0"),
        ((5, 2), TypeError, "an id, a spec or a function .*not 5"),
        (({"a": -1}, 2), ValueError, "weights must be finite and not below 0"),
        (([VaultEnv, lambda: gym.make("CartPole-v1")],), ValueError, "observe and act"),
    ],
)
def test_what_no_environment_can_be_made_from_is_refused(arguments, error, match):
    with pytest.raises(error, match=match):
        ChatVectorEnv(*arguments)


def test_functions_are_given_their_arguments():
    envs = ChatVectorEnv(VaultEnv, 2, env_kwargs={"max_turns": 1})
    assert envs.get_attr("max_turns") == (1, 1)


def test_an_environment_that_is_no_tool_env_is_played_too():
    envs = ChatVectorEnv(lambda: gym.make("CartPole-v1"), 2)
    observations, _ = envs.reset(seed=1)
    assert envs.observation_space.contains(observations)
    observations, rewards, *_ = envs.step([0, 1])
    assert rewards.tolist() == [1.0, 1.0]
    assert np.array_equal(
        gym.make("CartPole-v1").reset(seed=2)[0], envs.reset(seed=1)[0][1]
    )


def test_blocking_tools_run_at_the_same_time_in_threads(gates):
    _, _, _, truncated, _ = gates.step([call_text("meet", {})] * 3)  # else it breaks
    assert not truncated.any()
    gates.step([call_wait(0)] * 3)
    names = {name for state in gates.get_attr("state") for name in state["threads"]}
    assert all(name.startswith("llm_gym-vector-") for name in names)


def test_async_tools_run_in_threads_and_light_ones_here():
    envs = ChatVectorEnv([AsyncEnv, AsyncEnv])
    assert envs.blocks
    envs.reset(seed=1)
    call = call_text("guess", {"number": 3})
    assert envs.step([call, call])[2].all()
    assert not ChatVectorEnv(VaultEnv, 1).blocks
    envs.close()


def test_what_is_ready_is_received_without_waiting_for_the_slow(gates):
    gates.send([call_text("wait", {}), call_wait(0), "answer"], [0, 1, 2])
    batch = gates.recv(min_n=2, timeout=5)
    assert sorted(batch.ids.tolist()) == [1, 2]
    rows = dict(zip(batch.ids.tolist(), batch.rewards.tolist(), strict=True))
    assert rows == {1: 0.0, 2: 1.0}
    assert gates.active.tolist() == [True, True, False]
    assert gates.recv(timeout=0.01).ids.tolist() == []
    GateEnv.gate.set()
    last = gates.recv(min_n=9)
    assert (last.ids.tolist(), last.infos[0]["turn"]) == ([0], 1)
    assert last.observations[0]["messages"][-1]["content"] == "true"
    assert not last.terminated.any()
    assert not last.truncated.any()


def test_sent_turns_of_light_slots_are_received(vaults):
    vaults.reset(seed=1)
    vaults.send([ROLL, CRASH], np.array([2, 0]))
    batch = vaults.recv()
    assert batch.ids.tolist() == [2, 0]
    assert np.isnan(batch.rewards).tolist() == [False, True]
    assert "fault" in batch.infos[1]
    with pytest.raises(gym.error.NoAsyncCallError, match="`send` actions first"):
        vaults.recv()


def test_what_is_sent_wrongly_is_refused(vaults):
    vaults.reset(seed=1)
    for ids in ([0], [0, 0], [0, 3]):
        with pytest.raises(ValueError, match="a different slot below 3 for each of 2"):
            vaults.send([ROLL, ROLL], ids)
    with pytest.raises(ActionError, match="the action of slot 1"):
        vaults.send([ROLL, None], [0, 1])
    vaults.send(["x"], [0])
    for act in (
        lambda: vaults.send([ROLL], [0]),
        lambda: vaults.step([ROLL] * 3),
        lambda: vaults.reset(),
    ):
        with pytest.raises(gym.error.AlreadyPendingCallError, match=r"slots \[0\] are"):
            act()
    vaults.recv()
    with pytest.raises(gym.error.ResetNeeded, match=r"slots \[0\] are not active"):
        vaults.send([ROLL], [0])


def test_other_slots_are_reset_while_one_is_at_work(gates):
    gates.send([call_text("wait", {})], [0])
    gates.reset(seed=5, options={"reset_mask": np.array([False, True, True])})
    GateEnv.gate.set()
    assert gates.recv().ids.tolist() == [0]


def test_an_error_is_raised_when_received_and_the_others_are_kept():
    class Odd(gym.Wrapper):
        def step(self, action):
            raise LookupError("a wrapper's bug")

    envs = ChatVectorEnv([lambda: Odd(VaultEnv()), VaultEnv])
    envs.reset(seed=1)
    envs.send([ROLL, ROLL], [0, 1])
    with pytest.raises(LookupError, match="a wrapper's bug"):
        envs.recv(2)
    assert envs.recv().ids.tolist() == [1]
    assert envs.active.tolist() == [False, True]


def test_a_slot_that_hangs_is_abandoned(gates):
    stuck = gates.envs[0]
    gates.send([call_text("wait", {}), call_wait(0)], [0, 1])
    assert gates.recv().ids.tolist() == [1]
    gates.abandon(range(3))
    assert gates.envs[0] is not stuck
    assert gates.active.tolist() == [False, True, True]
    gates.reset(seed=[4, 4, 4], options={"reset_mask": ~gates.active})
    gates.step([call_wait(0)] * 3)
    GateEnv.gate.set()
    gates.send(["x"], [1])
    assert gates.recv(9).ids.tolist() == [1]  # what came of the stuck one is nobody's


def test_a_reset_that_was_given_up_changes_nothing_later(gates):
    tasks = [Task(id="at the gate"), None, None]
    resetting = threading.Thread(
        target=gates.reset, kwargs={"options": {"tasks": tasks}}
    )
    resetting.start()
    assert GateEnv.arrived.wait(5)
    gates.abandon([0])
    GateEnv.gate.set()
    resetting.join(5)
    assert gates.active.tolist() == [False, True, True]


def test_a_light_slot_is_abandoned_before_its_result_is_fetched(vaults):
    vaults.reset(seed=1)
    vaults.send([ROLL], [0])
    kept = vaults.envs[0]
    vaults.abandon([0])
    assert vaults.envs[0] is kept
    vaults.reset(seed=1)
    vaults.send([ROLL], [1])
    assert vaults.recv(2, timeout=1).ids.tolist() == [1]


def test_a_callback_tells_that_something_is_ready(gates):
    told = threading.Event()
    gates.when_ready(told.set)
    gates.send([call_wait(0)], [1])
    assert told.wait(5)
    assert gates.recv(1, 0).ids.tolist() == [1]


def test_closing_closes_every_environment_and_leaves_no_thread(gates):
    gates.step([call_wait(0)] * 3)
    gates.close()
    gates.close()
    assert len(GateEnv.closed) == 3
    assert not [t for t in threading.enumerate() if t.name.startswith("llm_gym-vector")]


def test_closing_leaves_the_hung_to_their_thread(gates, monkeypatch):
    monkeypatch.setattr("llm_gym.vector.chat_vector_env._GRACE_SECONDS", 0.01)
    gates.send([call_text("wait", {})], [0])
    assert GateEnv.arrived.wait(5)
    gates.close()
    assert len(GateEnv.closed) == 2
    stuck = next(
        t for t in threading.enumerate() if t.name.startswith("llm_gym-vector")
    )
    GateEnv.gate.set()
    stuck.join(5)
    assert len(GateEnv.closed) == 3


def test_work_that_had_not_begun_is_told_of_when_it_is_closed(monkeypatch):
    monkeypatch.setattr("llm_gym.vector.chat_vector_env._GRACE_SECONDS", 0.01)
    GateEnv.renew()
    envs = ChatVectorEnv(GateEnv, 2, max_threads=1)
    envs.reset(seed=1)
    envs.send([call_text("wait", {})] * 2, [0, 1])
    assert GateEnv.arrived.wait(5)
    envs.close()
    with pytest.raises(RuntimeError, match="the vector environment was closed"):
        envs.recv(1, timeout=5)
    GateEnv.gate.set()


def test_a_reset_in_a_thread_raises_what_the_environment_raises():
    class Bad(GateEnv):
        def reset(self, **arguments):
            raise LookupError("a bug in reset")

    envs = ChatVectorEnv([GateEnv, Bad])
    with pytest.raises(LookupError, match="a bug in reset"):
        envs.reset(seed=1)
    assert envs.active.tolist() == [True, False]
    envs.close()


def test_all_registered_ids_are_tool_envs():
    envs = ChatVectorEnv(list(ENVIRONMENTS))
    assert all(isinstance(env.unwrapped, ToolEnv) for env in envs.envs)
    envs.reset(seed=1)
    assert envs.active.all()
