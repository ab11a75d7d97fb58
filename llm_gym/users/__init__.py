"""Simulated users: one protocol, a user of rules, a user of any policy.

A scenario says who a user is, what it wants, what it knows and when it may tell it.
`open_talk` begins a conversation, `hear` lets a user answer, and holds each answer to
the contracts that `docs/users.md` states. A broken contract is a `UserFault`.
"""

from llm_gym.users.contracts import broken_contract, invented
from llm_gym.users.model import PolicyUser
from llm_gym.users.protocol import Cue, Line, Speech, User
from llm_gym.users.rule import RuleUser
from llm_gym.users.scenario import Fact, Move, Scenario
from llm_gym.users.talk import TalkState, cue_for, hear, open_talk

__all__ = [
    "Cue",
    "Fact",
    "Line",
    "Move",
    "PolicyUser",
    "RuleUser",
    "Scenario",
    "Speech",
    "TalkState",
    "User",
    "broken_contract",
    "cue_for",
    "hear",
    "invented",
    "open_talk",
]
