"""Feedback on the cluster's load for the limiter, from answers of `_bulk`. Pure functions."""

from shipper.output.congestion import Feedback
from shipper.output.elasticsearch.answers import ItemResults, RequestFailed, TooLarge, Verdict

#: Reasons of `RequestFailed` that mean overload.
_OVERLOAD = frozenset({"429", "503", "504", "timeout"})


def feedback_of(verdict: Verdict) -> Feedback:
    """The feedback on an answer."""
    match verdict:
        case ItemResults():
            return Feedback.REJECTED if "item_429" in verdict.retry_counts else Feedback.ACCEPTED
        case RequestFailed():
            return Feedback.REJECTED if verdict.reason in _OVERLOAD else Feedback.FAILED
        case TooLarge():
            return Feedback.FAILED


def without_time(verdict: Verdict) -> Feedback:
    """The same for a permit that was kept during a wait: its duration says nothing of the load."""
    feedback = feedback_of(verdict)
    return feedback if feedback is Feedback.REJECTED else Feedback.FAILED
