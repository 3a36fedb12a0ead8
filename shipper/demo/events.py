"""Generates events as Tetragon exports them: protojson with proto names, in field order.

All kinds of `GetEventsResponse` (api/v1/tetragon/events.proto). Each line contains `--seq=` and
nine digits, so that a receiver can find missing and duplicated lines. The same `random.Random` and
times give the same lines.
"""

import base64
import json
import random
import re
import time

NODE_NAME = "worker-1"

#: The sequence number of a line, also if the line is inside a JSON string.
SEQUENCE = re.compile(rb"--seq=(\d{9})")

#: Weights of the kinds: on a busy node most events are starts and exits of processes.
KINDS = {
    "process_exec": 300,
    "process_exit": 300,
    "process_kprobe": 200,
    "process_tracepoint": 60,
    "process_loader": 40,
    "process_uprobe": 30,
    "process_lsm": 40,
    "process_usdt": 15,
    "process_throttle": 5,
    "rate_limit_info": 5,
    "test": 5,
}

_BINARIES = (
    "/usr/bin/curl",
    "/bin/sh",
    "/usr/bin/python3.11",
    "/usr/local/bin/node",
    "/bin/ls",
    "/usr/sbin/nginx",
    "/usr/local/openjdk-17/bin/java",
)

_ARGUMENTS = tuple(
    # json.dumps(...)[1:-1]: escaped once here, not once a line.
    json.dumps(text, ensure_ascii=False)[1:-1]
    for text in (
        '-c "echo \\"hi\\" | tee /srv/out"',
        "--silent https://api.example/v1/items?q=%C3%A9&x=1",
        "--label=naïve-café-日本語",
        r"-e 's/\\n/\t/g' /etc/hosts",
        "-g 'daemon off;' -c /etc/nginx/nginx.conf",
        "-Xmx512m -XX:+UseG1GC -jar /app/service.jar --spring.profiles.active=prod",
        "tab\there, bell \a, and a line\nbreak",
        '{"json":"inside","n":[1,2,3]}',
        "",
    )
)

_LONG_ARGUMENT = "--include=/var/lib/app/data/2026/very/long/path/name.parquet " * 60

# One event of this number has a very long command line.
_LONG_EVERY = 250

_CALLS = (
    (
        "security_file_permission",
        '[{"file_arg":{"path":"/etc/shadow","permission":"-rw-r-----"}},{"int_arg":4}]',
        "KPROBE_ACTION_POST",
    ),
    (
        "tcp_connect",
        '[{"sock_arg":{"family":"AF_INET","type":"SOCK_STREAM","protocol":"IPPROTO_TCP",'
        '"saddr":"10.0.1.7","daddr":"192.0.2.14","sport":41234,"dport":443,'
        '"cookie":"18446623350112813056","state":"TCP_SYN_SENT"}}]',
        "KPROBE_ACTION_POST",
    ),
    (
        "cap_capable",
        '[{"user_ns_arg":{"uid":0,"gid":0,"ns":{"inum":4026531837,"is_host":true}}},'
        '{"capability_arg":{"value":21,"name":"CAP_SYS_ADMIN"}}]',
        "KPROBE_ACTION_SIGKILL",
    ),
    (
        "__x64_sys_write",
        '[{"int_arg":1},{"bytes_arg":"aGVsbG8gd29ybGQK"},{"size_arg":"12"}]',
        "KPROBE_ACTION_POST",
    ),
)

_NAMESPACES = json.dumps(
    {
        name: {"inum": number, "is_host": True} if number < 4026532000 else {"inum": number}
        for name, number in {
            "uts": 4026531838,
            "ipc": 4026531839,
            "mnt": 4026532610,
            "pid": 4026532611,
            "pid_for_children": 4026532611,
            "net": 4026532520,
            "time": 4026531834,
            "time_for_children": 4026531834,
            "cgroup": 4026532612,
            "user": 4026531837,
        }.items()
    },
    separators=(",", ":"),
)

# Four kinds of invalid lines; each contains its number.
_BAD = (
    b'{"process_exec":{"process":{"arguments":"the disk was full %b',
    b'{"process_exec":{"process":{"arguments":"not UTF-8: \xff\xfe %b"}},'
    b'"time":"2026-01-01T00:00:00Z"}',
    b'["an array","%b"]',
    b'time="2026-01-01T00:00:00Z" level=info msg="not an event" %b',
)


def rfc3339(nanoseconds: int) -> str:
    """A Unix time as protojson writes it: UTC, with 0, 3, 6 or 9 digits of a second."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    if not fraction:
        return f"{text}Z"
    digits = f"{fraction:09d}"
    while digits.endswith("000"):
        digits = digits[:-3]
    return f"{text}.{digits}Z"


class EventSource:
    """Generates lines, without newlines."""

    def __init__(self, rng: random.Random, pods: int = 60) -> None:
        self._rng = rng
        self._pods = [self._pod(number) for number in range(pods)]
        self._kinds = tuple(KINDS)
        self._weights = tuple(KINDS.values())

    def line(self, sequence: int, now: int) -> bytes:
        """The event with this number at `now` (Unix time in nanoseconds)."""
        kind = self._rng.choices(self._kinds, self._weights)[0]
        return self.line_of(kind, sequence, now)

    def line_of(self, kind: str, sequence: int, now: int) -> bytes:
        """The same for a given kind. Raises KeyError for an unknown one."""
        if kind not in KINDS:
            raise KeyError(kind)
        mark, stamp = f"--seq={sequence:09d}", rfc3339(now)
        labels = ""
        if kind in ("process_throttle", "rate_limit_info", "test"):
            # No process, so no arguments: the number is in a label of the node.
            body = self._without_process(kind)
            labels = f',"node_labels":{{"generator":"{mark}"}}'
        else:
            body = self._with_process(kind, mark, stamp)
        top = f'"node_name":"{NODE_NAME}","time":"{stamp}"{labels}'
        return f'{{"{kind}":{{{body}}},{top}}}'.encode()

    def bad_line(self, sequence: int) -> bytes:
        """An invalid line: not JSON, not UTF-8, or not an object."""
        return self._rng.choice(_BAD).replace(b"%b", b"--seq=%09d" % sequence)

    def _with_process(self, kind: str, mark: str, stamp: str) -> str:
        rng = self._rng
        arguments = rng.choice(_ARGUMENTS)
        if not rng.randrange(_LONG_EVERY):
            arguments += _LONG_ARGUMENT
        pod = rng.choice(self._pods) if rng.random() < 0.9 else ""
        traced = kind in ("process_kprobe", "process_lsm")
        process = self._process(f"{arguments} {mark}".lstrip(), stamp, pod, traced=traced)
        body = f'"process":{process}'
        if kind == "process_loader":
            library = "/usr/lib/x86_64-linux-gnu/libc.so.6"
            return f'{body},"path":"{library}","buildid":"6Wh1H3yfRXS2SVWSgSxBwYDI9Sg="'
        if rng.random() < 0.95:
            body += f',"parent":{self._process("-l", stamp, pod, refcnt=rng.randint(1, 3))}'
        match kind:
            case "process_exit":
                # protojson leaves out a status of 0.
                ends = ("", "", ',"status":1', ',"signal":"SIGKILL","status":137')
                return f'{body}{rng.choice(ends)},"time":"{stamp}"'
            case "process_kprobe":
                function, args, action = rng.choice(_CALLS)
                return (
                    f'{body},"function_name":"{function}","args":{args},'
                    f'"return":{{"int_arg":0}},"action":"{action}",'
                    '"policy_name":"file-monitoring","return_action":"KPROBE_ACTION_POST",'
                    '"message":"sensitive file","tags":["observability.filesystem"]'
                )
            case "process_lsm":
                return (
                    f'{body},"function_name":"bprm_check_security","policy_name":"lsm",'
                    '"args":[{"linux_binprm_arg":{"path":"/usr/bin/cat",'
                    '"permission":"-rwxr-xr-x"}}],"action":"KPROBE_ACTION_POST",'
                    '"ima_hash":"sha256:3b5d5c3712955042212316173ccf37be8001f2f5e1d3c8f1"'
                )
            case "process_tracepoint":
                return (
                    f'{body},"subsys":"raw_syscalls","event":"sys_exit",'
                    f'"args":[{{"long_arg":"{rng.randrange(450)}"}}],'
                    '"policy_name":"raw-syscalls","action":"KPROBE_ACTION_POST"'
                )
            case "process_uprobe":
                return (
                    f'{body},"path":"/bin/bash","symbol":"readline","policy_name":"uprobe",'
                    '"args":[{"string_arg":"history -c"}],"action":"KPROBE_ACTION_POST"'
                )
            case "process_usdt":
                return (
                    f'{body},"path":"/usr/lib/libpython3.11.so.1.0","provider":"python",'
                    '"name":"function__entry","policy_name":"usdt",'
                    '"args":[{"string_arg":"handler.py"},{"int_arg":42}]'
                )
        return body

    def _without_process(self, kind: str) -> str:
        match kind:
            case "process_throttle":
                way = self._rng.choice(("THROTTLE_START", "THROTTLE_STOP"))
                return f'"type":"{way}","cgroup":"cri-containerd-{self._hex(64)}.scope"'
            case "rate_limit_info":
                # 64-bit numbers are strings in protojson.
                return f'"number_of_dropped_process_events":"{self._rng.randint(1, 5000)}"'
        return '"arg0":"1","arg1":"2","arg2":"3","arg3":"4"'

    def _process(
        self, arguments: str, stamp: str, pod: str, *, refcnt: int = 0, traced: bool = False
    ) -> str:
        rng = self._rng
        pid = rng.randint(1000, 60_000)
        references = f',"refcnt":{refcnt}' if refcnt else ""
        namespaces = f',"ns":{_NAMESPACES}' if traced else ""
        return (
            f'{{"exec_id":"{self._exec_id(pid)}","pid":{pid},"uid":{rng.choice((0, 1000, 2000))},'
            f'"cwd":"/app","binary":"{rng.choice(_BINARIES)}","arguments":"{arguments}",'
            f'"flags":"execve rootcwd clone","start_time":"{stamp}","auid":4294967295'
            f'{pod},"parent_exec_id":"{self._exec_id(pid - 1)}"'
            f'{references}{namespaces},"tid":{pid},"in_init_tree":false}}'
        )

    def _exec_id(self, pid: int) -> str:
        name = f"{NODE_NAME}:{self._rng.getrandbits(46)}:{pid}"
        return base64.b64encode(name.encode()).decode()

    def _pod(self, number: int) -> str:
        """The fields `pod` and `docker` of a process, rendered once."""
        app, container = f"app-{number}", self._hex(64)
        image = f"registry.example/{app}"
        pod = {
            "namespace": f"team-{number % 7}",
            "name": f"{app}-7d9f8b6c5-{number * 7919:05x}",
            "container": {
                "id": f"containerd://{container}",
                "name": "main",
                "image": {"id": f"{image}@sha256:{self._hex(64)}", "name": f"{image}:1.2.{number}"},
                "start_time": "2026-11-20T01:02:03Z",
                "pid": number + 1,
            },
            "pod_labels": {
                "app.kubernetes.io/name": app,
                "class": "backend",
                "pod-template-hash": "7d9f8b6c5",
            },
            "workload": app,
            "workload_kind": "Deployment",
        }
        rendered = json.dumps(pod, separators=(",", ":"))
        return f',"pod":{rendered},"docker":"{container[:31]}"'

    def _hex(self, digits: int) -> str:
        return f"{self._rng.getrandbits(4 * digits):0{digits}x}"
