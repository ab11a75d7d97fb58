"""Settings of the whole suite: property tests are short and the same on every run."""

import signal

from hypothesis import settings

settings.register_profile(
    "suite", max_examples=60, deadline=None, derandomize=True, database=None
)
settings.register_profile("search", max_examples=2000, deadline=None, database=None)
settings.load_profile("suite")

# A shell starts its background jobs with the interrupt ignored, and what tests start
# would ignore it too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
