"""What documents are made of: formats, bad lines, filters, processors."""

from __future__ import annotations

import yaml

from tests.golden.lines import BAD, EVENTS, MAX_LINE, ODD, TOO_LONG, shorts
from tests.golden.scenarios_files import compress
from tests.golden.stage import Stage

LOG = "tetragon.log"


async def raw_gzip(stage: Stage) -> None:
    """The defaults: events of each kind, lines that come later, a restart with nothing new."""
    stage.append(LOG, [*EVENTS[:11], *shorts(0, 20)])
    await stage.start()
    await stage.ship(31)
    stage.append(LOG, shorts(20, 30))
    await stage.ship(41)
    await stage.commit()
    await stage.stop()
    await stage.start()
    await stage.look()
    await stage.stop("a second life")


async def raw_plain(stage: Stage) -> None:
    """Two inputs and several files without compression; a rotated one, a gzip, bad lines."""
    tagged = {"tags": ["a", "b"], "fields": {"team": "x", "deep": {"n": 1}}, "exclude": ["*-x.log"]}
    inputs = [
        stage.input("tetragon", "*.log", max_line_bytes=MAX_LINE, exclude=["b*.log"]),
        stage.input("tagged", "b*.log", **tagged),
    ]
    stage.configure({"inputs": inputs, "output": {"compression": "none"}})
    stage.append(LOG, [*EVENTS[:4], *BAD, *TOO_LONG, *shorts(0, 3)])
    stage.append("tetragon-2026-11-24T04-00-00.000.log", shorts(10, 16))
    compress(stage.append("tetragon-2026-11-24T03-00-00.000.log", shorts(20, 26)))
    stage.append("b.log", shorts(30, 34))
    stage.append("b-x.log", shorts(40, 44))
    await stage.start()
    lines = 4 + len(BAD) + len(TOO_LONG) + 3 + 6 + 6 + 4
    await stage.ship(lines)
    # Each kind of bad line alone, too: the others of its block are not ordinary then.
    for count, line in enumerate(BAD[:16:3], 1):
        stage.append(LOG, [line])
        await stage.ship(lines + count)
    await stage.stop()


async def ecs(stage: Stage) -> None:
    """Lines taken apart: events of each kind, odd ones, bad ones; with tags and fields."""
    more = {"format": "ecs", "tags": ["mine"], "fields": {"team": "x", "empty": ""}}
    inputs = [
        stage.input("tetragon", "*.log", max_line_bytes=MAX_LINE, **more),
        stage.input("root", "*.root", format="ecs", fields_under_root=True, fields=_ROOT),
    ]
    stage.configure({"inputs": inputs, "name": "edge-1"})
    stage.append(LOG, [*EVENTS[:11], *shorts(0, 5)])
    stage.append("odd.log", [*ODD[::4], *BAD, TOO_LONG[0]])
    stage.append("a.root", [*EVENTS[11:13], *ODD[:5]])
    await stage.start()
    await stage.ship(11 + 5 + len(ODD[::4]) + len(BAD) + 1 + 7)
    await stage.stop()


_ROOT = {
    "host": {"name": "mine", "rack": "r1"},
    "process": {"group": "g"},
    "event": {"category": ["process"]},
    "labels": {"a.b": "c"},
    "cilium_tetragon": {"log": {"mine": True}},
}


async def invalid_lines(stage: Stage) -> None:
    """What is no event goes to the dead letters, or nowhere."""
    inputs = [
        stage.input("letters", "a*.log", on_invalid="dead_letter"),
        stage.input("nowhere", "b*.log", on_invalid="drop"),
        stage.input("ecs", "c*.log", on_invalid="dead_letter", format="ecs"),
    ]
    stage.configure({"inputs": inputs})
    for name in ("a.log", "b.log", "c.log"):
        stage.append(name, [*shorts(0, 2), *BAD])
    await stage.start()
    await stage.ship(3 * (2 + len(BAD)))
    await stage.stop()


async def plain_index(stage: Stage) -> None:
    """An index by each event's date, ids of the server's, a pipeline, credentials, headers."""
    fields = {"team": "platform", "host": {"rack": "r1"}}
    inputs = [
        stage.input("root", "a*.log", fields=fields, fields_under_root=True),
        stage.input("fields", "b*.log", fields=fields),
    ]
    output = {
        "index": _INDEX,
        "ids": "auto",
        "pipeline": "p-1",
        "username": "elastic",
        "password": "secret",
        "headers": {"X-Team": "${TEAM}"},
    }
    stage.configure({"inputs": inputs, "output": output})
    stage.append("a.log", [*EVENTS[:4], *BAD[:4], *shorts(0, 6), BAD[18], BAD[24]])
    stage.append("b.log", shorts(10, 14))
    await stage.start()
    await stage.ship(20)
    await stage.stop()


_INDEX = "t-%{[fields.team]:none}-%{[host.name]:x}-%{+yyyy.MM.dd}"


async def ecs_processors(stage: Stage) -> None:
    """Processors of one input and of all, on lines that are taken apart; an index by date."""
    mine = yaml.safe_load(
        """
- add_tags: {tags: [edge]}
- drop_event.when.equals.process.executable: /usr/bin/runc
- rename: {fields: [{from: process.pid, to: process.number}], ignore_missing: true}
"""
    )
    every = yaml.safe_load(
        """
- add_fields: {target: '', fields: {team: platform}}
- include_fields:
    fields: [process, event, log, host, team, tags, agent.type]
    when.not.equals.event.action: end
- drop_fields: {fields: [cilium_tetragon.log.process_exit.process.flags], ignore_missing: true}
"""
    )
    stage.configure(
        {
            "inputs": [stage.input("tetragon", "*.log", format="ecs", processors=mine)],
            "processors": every,
            "output": {"index": "tetragon-%{+xxxx.ww}"},
        }
    )
    stage.append(LOG, [*EVENTS[:6], *shorts(0, 20), *ODD[:8], *BAD[:6]])
    await stage.start()
    await stage.ship(40)
    await stage.stop()


async def filters(stage: Stage) -> None:
    """Rules of which events are shipped, `drop_event` after them, and what no rule applies to."""
    events = {
        "include": [
            {"type": ["process_exec"], "namespace": ["?*"]},
            {"type": ["process_kprobe", "process_l*"]},
            {"pod": ["pod-1"], "binary": ["*/sh"]},
        ],
        "exclude": [
            {"name": "runc", "binary": ["*/runc"]},
            {"namespace": ["kube-*"], "type": ["process_exec"]},
        ],
    }
    drop = [{"drop_event": {"when": {"contains": {"message": "team-1"}}}}]
    inputs = [
        stage.input("tetragon", "a*.log", events=events, processors=drop, max_line_bytes=MAX_LINE),
        stage.input("drop", "b*.log", events={"exclude": [{"type": ["*"]}]}, on_invalid="drop"),
        stage.input("ecs", "c*.log", events=events, format="ecs"),
    ]
    stage.configure({"inputs": inputs})
    stage.append("a.log", [*EVENTS[:4], *shorts(0, 40), *BAD, TOO_LONG[0]])
    stage.append("b.log", [*shorts(40, 50), *BAD[:6]])
    stage.append("c.log", [*EVENTS[4:9], *shorts(50, 70)])
    await stage.start()
    lines = 4 + 40 + len(BAD) + 1 + 16 + 25
    await stage.ship(lines)
    stage.append("a.log", shorts(70, 80))
    await stage.ship(lines + 10)
    await stage.stop()
