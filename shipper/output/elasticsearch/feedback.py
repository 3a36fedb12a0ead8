"""What an answer of `_bulk` says of the cluster's load: for the limiter. Pure functions."""

from shipper.output.congestion import Feedback
from shipper.output.elasticsearch.answers import Again, Taken, TooLarge, Verdict

#: Reasons of `Again` that say that there is too much to do.
_OVERLOAD = frozenset({"429", "503", "504", "timeout"})


def feedback_of(verdict: Verdict) -> Feedback:
    """What the answer says of the cluster's load."""
    match verdict:
        case Taken():
            return Feedback.REJECTED if "item_429" in verdict.reasons else Feedback.TAKEN
        case Again():
            return Feedback.REJECTED if verdict.reason in _OVERLOAD else Feedback.FAILED
        case TooLarge():
            return Feedback.FAILED


def without_time(verdict: Verdict) -> Feedback:
    """The same for a permit that was kept meanwhile: how long that took says nothing."""
    feedback = feedback_of(verdict)
    return feedback if feedback is Feedback.REJECTED else Feedback.FAILED
