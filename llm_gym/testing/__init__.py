"""What tests of policies and environments need, shipped: a script and a real server."""

from llm_gym.policies.scripted import ScriptedPolicy
from llm_gym.testing.faults import Fault, FaultPlan, all_faults
from llm_gym.testing.local_server import LocalServer, ServedRequest
from llm_gym.testing.process import ServerProcess

__all__ = [
    "Fault",
    "FaultPlan",
    "LocalServer",
    "ScriptedPolicy",
    "ServedRequest",
    "ServerProcess",
    "all_faults",
]
