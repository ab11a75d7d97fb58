"""llm_gym: Gymnasium environments for training language models.

An observation is the body of a chat-completions request, an action is the assistant's
reply, and everything else is Gymnasium. Importing the package registers its
environments, as a table of names; nothing heavy is loaded before it is used.
"""

from llm_gym.env import ToolEnv
from llm_gym.episode import Response, Snapshot
from llm_gym.errors import (
    ActionError,
    DefinitionError,
    EnvironmentFault,
    FormatError,
    JudgeFault,
    LLMGymError,
    MissingDependencyError,
    SandboxFault,
    SandboxUnavailable,
    SnapshotError,
    ToolError,
    UnknownTaskError,
    UserFault,
)
from llm_gym.messages import ChatRequest, Message, Reply, ToolCall, Usage
from llm_gym.policies import Policy, ScriptedPolicy
from llm_gym.registration import register_all
from llm_gym.replies import ReadReply
from llm_gym.rollouts.engine import arollout, rollout
from llm_gym.rollouts.plan import Limits
from llm_gym.spaces import ChatSpace, ReplySpace
from llm_gym.tasks import GeneratedTasks, JsonlTasks, ListTasks, Task, TaskSource
from llm_gym.tokens import TokenTrace
from llm_gym.tools import ToolOutput, ToolSpec, tool
from llm_gym.trajectory import CallRecord, Score, StopReason, Trajectory, Turn
from llm_gym.verifiers import GroupVerifier, Rubric, Verifier

__version__ = "0.1.0"

__all__ = [
    "ActionError",
    "CallRecord",
    "ChatRequest",
    "ChatSpace",
    "DefinitionError",
    "EnvironmentFault",
    "FormatError",
    "GeneratedTasks",
    "GroupVerifier",
    "JsonlTasks",
    "JudgeFault",
    "LLMGymError",
    "Limits",
    "ListTasks",
    "Message",
    "MissingDependencyError",
    "Policy",
    "ReadReply",
    "Reply",
    "ReplySpace",
    "Response",
    "Rubric",
    "SandboxFault",
    "SandboxUnavailable",
    "Score",
    "ScriptedPolicy",
    "Snapshot",
    "SnapshotError",
    "StopReason",
    "Task",
    "TaskSource",
    "TokenTrace",
    "ToolCall",
    "ToolEnv",
    "ToolError",
    "ToolOutput",
    "ToolSpec",
    "Trajectory",
    "Turn",
    "UnknownTaskError",
    "Usage",
    "UserFault",
    "Verifier",
    "__version__",
    "arollout",
    "rollout",
    "tool",
]

register_all()
