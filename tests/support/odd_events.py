"""Events that Tetragon's kinds and fields allow, and such as it would hardly write.

``odd_events`` takes generated ones and changes them at random; ``NAMED`` has cases that are worth a
name. None of them is anything else than a JSON object in UTF-8.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

from shipper.demo.events import EventSource

TIME = "2026-11-24T04:32:37.123456789Z"
STAMP = 1_795_000_000_123_456_789

EMPTY: tuple[Any, ...] = (None, "", {}, [], {"a": None}, [None, ""], {"a": {"b": [[], {}]}})

#: Values in places where none of them belongs.
STRANGE: tuple[Any, ...] = (
    "text",
    "",
    " \t ",
    "a\u00a0b\u2003c \x1c d\x85e\u3000f",
    "日本語 naïve \U0001f980",
    0,
    -1,
    1.5,
    1e300,
    True,
    False,
    2**63 - 1,
    -(2**63),
    9_007_199_254_740_993,
    [1, "two", None, {"three": 3}],
    ["a  b"],
    {"a": {"b": ""}, "c": 1},
    {"name": "x", "id": 7},
    *EMPTY,
)

KEYS = ("app.kubernetes.io/name", "a.b.c", "process", "unknown", "ünïcode", "process_exec", "name")


def _event(**members: Any) -> bytes:
    return json.dumps({**members, "node_name": "n", "time": TIME}, ensure_ascii=False).encode()


def _exec(**process: Any) -> bytes:
    return _event(process_exec={"process": process})


def _with(members: bytes) -> bytes:
    """An event with a time and these members, as they are written."""
    return b'{"time":"%b",%b}' % (TIME.encode(), members)


def _objects(levels: int) -> bytes:
    """An event with so many objects within one another, itself included."""
    return _with(b'"a":' + b'{"a":' * (levels - 1) + b"1" + b"}" * (levels - 1))


def _lists(levels: int, content: bytes = b"1") -> bytes:
    """An event of so many levels: lists, but for itself."""
    return _with(b'"a":' + b"[" * (levels - 1) + content + b"]" * (levels - 1))


_POD = {
    "namespace": "ns",
    "name": "pod",
    "container": {"id": "c", "name": "main", "image": {"id": "i", "name": "image:1"}, "pid": 1},
    "pod_labels": {"app": "x", "app.kubernetes.io/name": "y"},
    "workload_kind": "Deployment",
}

NAMED: dict[str, bytes] = {
    "all of it": _event(
        process_exec={
            "process": {
                "exec_id": "e",
                "pid": 1,
                "uid": 0,
                "cwd": "/",
                "binary": "/bin/sh",
                "arguments": "-c  'a b'",
                "flags": "execve",
                "start_time": TIME,
                "tid": 1,
                "pod": _POD,
            },
            "parent": {"exec_id": "p", "pid": 0, "uid": 1000, "arguments": "x", "pod": _POD},
        },
        cluster_name="prod",
    ),
    "nothing but what is lifted": _event(
        process_exec={
            "process": {
                "binary": "/b",
                "pod": {
                    "name": "p",
                    "namespace": "n",
                    "workload_kind": "Job",
                    "container": {"name": "c", "id": "i", "image": {"name": "x"}},
                },
            },
            "parent": {"binary": "/p"},
        }
    ),
    "no pod, no parent": _exec(pid=1, binary="/b", flags="f"),
    "a parent alone": _event(process_exec={"parent": {"pid": 1, "flags": "f"}}),
    "no process": _event(process_kprobe={"function_name": "f", "args": [{"int_arg": 0}]}),
    "an empty kind": _event(process_exec={}),
    "an empty kind that ends": _event(process_exit={}),
    "a kind that is null": _event(process_exec=None),
    "a kind that is text": _event(process_exec="text"),
    "a kind that is empty text": _event(process_exit=""),
    "a kind that is a list": _event(process_exit=[{"process": {"pid": 1}}]),
    "a kind that nobody knows": _event(process_dance={"process": {"pid": 1}, "": None}),
    "a kind without a name": _event(**{"": {"process": {"pid": 1, "uid": True}}}),
    "several kinds": _event(
        process_exit={"process": {"pid": 2}, "status": 1}, process_exec={"process": {"pid": 1}}
    ),
    "several kinds, of which one has an empty label": _event(
        process_exec={"process": {"pid": 1}},
        process_usdt={"process": {"pod": {"name": "p", "pod_labels": {"a": ""}}}},
    ),
    "an empty label of a parent's pod": _event(
        process_exit={"process": {"pid": 1, "pod": _POD}, "parent": {"pod": {"labels": {"a": ""}}}}
    ),
    "usdt": _event(process_usdt={"process": {"pid": 1, "pod": _POD}, "parent": {"pod": _POD}}),
    "throttle": _event(process_throttle={"type": "THROTTLE_START", "cgroup": ""}),
    "a loader": _event(process_loader={"process": {"pid": 1, "pod": _POD}, "parent": {"pid": 2}}),
    "a loader's parent that is empty": _event(process_loader={"process": {}, "parent": {}}),
    "an exit with a status": _event(process_exit={"process": {"pid": 1}, "status": 137}),
    "an exit with a status of 0": _event(process_exit={"process": {"pid": 1}, "status": 0}),
    "an exit with a status of text": _event(process_exit={"process": {"pid": 1}, "status": "x"}),
    "an exit with an empty status": _event(process_exit={"status": {}, "signal": "SIGKILL"}),
    "an exit with a status of 1.0": _event(process_exit={"status": 1.0}),
    "a status elsewhere": _event(process_exec={"process": {"pid": 1}, "status": 5}),
    "a process that is text": _event(process_exec={"process": "text", "parent": "text"}),
    "a process that is a list": _event(process_exec={"process": [{"pid": 1}], "parent": [1]}),
    "messages without a field": _event(
        process_exec={
            "process": {"pid": 1, "cap": {}, "ns": {}, "process_credentials": {}},
            "parent": {"binary_properties": {}, "user": {}},
        }
    ),
    "messages with an empty field": _exec(cap={"permitted": []}, user={"name": ""}, ns={"a": {}}),
    "a process of empty messages": _event(process_usdt={"process": {"cap": {}}, "parent": {}}),
    "a pod that is text": _exec(pod="pod"),
    "a pod that is null": _exec(pid=1, pod=None),
    "an empty pod": _exec(pid=1, pod={}),
    "a pod with empty labels": _exec(pid=1, pod={"name": "p", "pod_labels": {"a": ""}}),
    "a pod of 9 kB": _exec(
        pid=1, pod={"name": "p", "pod_labels": {f"l{n}": "x" * 90 for n in range(90)}}
    ),
    "a container that is text": _exec(pod={"container": "c", "name": "p"}),
    "an image that is text": _exec(pod={"container": {"image": "i", "id": "c"}}),
    "arguments that are a list": _exec(arguments=["a  b", "", "c"]),
    "arguments that are a number": _exec(arguments=0),
    "arguments that are an object": _exec(arguments={"a": "b c"}),
    "empty arguments": _exec(arguments="", pid=1),
    "arguments of white space": _exec(arguments=" \t\n\x0b\f\r "),
    "arguments with white space around": _exec(arguments="  a \t b\n\nc  "),
    "arguments with what only others call white space": _exec(
        arguments="a\u00a0b\x85c\u2003d\u3000e\x1cf\x1dg\x1eh\x1fi\u2028j k"
    ),
    "arguments in many letters": _exec(arguments="-m 日本語 'naïve café' \U0001f980"),
    "a pid of text": _exec(pid="42", tid="7", uid="0"),
    "a uid of 1.0": _exec(uid=1.0, pid=1.0),
    "a uid of a fraction": _exec(uid=1.5),
    "a uid that is true": _exec(uid=True),
    "a uid of 64 bits": _exec(uid=2**63 - 1),
    "a uid that is a list": _exec(uid=[1, 2]),
    "a negative uid": _exec(uid=-1),
    "whole numbers that no float has": _exec(pid=9_007_199_254_740_993, auid=2**63 - 1),
    "the least whole number": _exec(auid=-(2**63)),
    "a number of 64 bits": _exec(auid=2**63),
    "a number of 65 bits": _exec(auid=2**64),
    "a number below 64 bits": _exec(auid=-(2**63) - 1),
    "a number too large in a pod": _exec(pod={"name": "p", "pid": 2**64}),
    "a number of 400 digits": _with(b'"a":' + b"1" * 400),
    "a number of 1500 digits": _with(b'"a":' + b"1" * 1500),
    "a number beyond floats": _with(b'"a":1e999'),
    "a number below floats": _with(b'"a":-1e999'),
    "a number next to nothing": _with(b'"a":1e-999,"b":-0,"c":-0.0'),
    "fractions": _exec(a=0.1, b=1e22, c=-1.7976931348623157e308, d=5e-324, e=123456.789),
    "a node without a name": _with(b'"process_exec":{"process":{"pid":1}}'),
    "a node with an empty name": _event(process_exec={})[:-1] + b',"cluster_name":""}',
    "a node whose name is a number": b'{"node_name":7,"time":"%b"}' % TIME.encode(),
    "a node whose name is an object": b'{"node_name":{"a":"","b":1},"time":"%b"}' % TIME.encode(),
    "a cluster alone": b'{"cluster_name":"prod","time":"%b"}' % TIME.encode(),
    "nothing but a time": b'{"time":"%b"}' % TIME.encode(),
    "labels of a node": _event(test={"arg0": "1"}, node_labels={"a": "1", "a.b": "2", "c": ""}),
    "empty values at any depth": _event(
        process_kprobe={"args": [None, "", {}, [], {"a": {"b": [[], [""], {"c": None}]}}, 0, False]}
    ),
    "lists in lists": _event(process_kprobe={"args": [[1, [], [2, [""]]], [[[]]]]}),
    "16 levels": _objects(16),
    "17 levels": _objects(17),
    "300 levels": _objects(300),
    "16 levels of lists": _lists(16),
    "17 levels of lists": _lists(17),
    "17 levels of nothing": _lists(17, b""),
    "keys with dots": _event(
        **{"process_exec.process": {"pid": 1}, "a.b": {"c.d": 1}},
        process_exec={"process": {"pid": 1, "pod": {"pod_labels": {"a": "1", "a.b": "2"}}}},
    ),
    "white space": b' \t{ "process_exec" : { "process" : { "pid" : 1 , "pod" : { } } } ,\t'
    b'"time" : "2026-11-24T04:32:37Z" } ',
    "escapes": _with(
        b'"process_exec":{"process":{"arguments":"a\\u0020b\\tc\\u00a0\\ud83e\\udd80",'
        b'"bin\\u0061ry":"\\/b\\u0000"}}'
    ),
    "no time": b'{"process_exec":{"process":{"pid":1}},"node_name":"n"}',
    "a time that is none": b'{"process_exec":{"process":{"pid":1}},"time":"yesterday"}',
    "a time that is null": b'{"process_exec":{"process":{"pid":1}},"time":null}',
    "a time with a zone": b'{"process_exec":{"process":{}},"time":"2026-11-24T04:32:37+01:00"}',
    "a time with escapes": b'{"test":{"arg0":"1"},"time":"2026\\u002d11-24T04:32:37Z"}',
    "an empty object": b"{}",
}


def odd_events(seed: int, count: int) -> Iterator[bytes]:
    """Yield events of all kinds, a third of them as Tetragon writes them."""
    rng = random.Random(seed)
    source = EventSource(rng)
    for number in range(count):
        line = source.line(number, STAMP + number * 1_000_003)
        yield line if rng.random() < 0.33 else _changed(rng, line)


def _changed(rng: random.Random, line: bytes) -> bytes:
    event = json.loads(line)
    for _ in range(rng.randrange(1, 4)):
        place, key = _somewhere(rng, event)
        match rng.randrange(6):
            case 0:
                del place[key]
            case 1:
                place[key] = copy.deepcopy(rng.choice(EMPTY))
            case 2:
                place[key] = copy.deepcopy(rng.choice(STRANGE))
            case 3 if isinstance(place, dict):
                place[rng.choice(KEYS)] = copy.deepcopy(rng.choice(STRANGE))
            case 4:
                event["cluster_name"] = rng.choice(("prod", "test", ""))
            case _:
                place[key] = {"again": place[key]}
    event["time"] = TIME
    separators = rng.choice(((",", ":"), (", ", ": "), (" ,", " : ")))
    return json.dumps(event, ensure_ascii=rng.random() < 0.3, separators=separators).encode()


def _somewhere(rng: random.Random, event: dict[str, Any]) -> tuple[Any, Any]:
    """A member of some object or list in the event: what it is in, and its key."""
    at: Any = event
    while True:
        keys: list[Any] = list(at) if isinstance(at, dict) else list(range(len(at)))
        if not keys:
            event["x"] = 1
            return event, "x"
        key = rng.choice(keys)
        if not isinstance(at[key], (dict, list)) or not at[key] or rng.random() < 0.3:
            return at, key
        at = at[key]
