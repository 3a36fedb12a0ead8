"""The ingest pipeline that converts documents of `format: raw` to those of `format: ecs`.

The rules are those of `ecs_rules`, in Painless; a test compares the documents of both on a real
OpenSearch. The pipeline uses features of both Elasticsearch and OpenSearch: the `json` processor
without options, and scripts that move values, as OpenSearch copies values that a script assigns and
has no `copy_from`.
"""

from typing import Any

from shipper.documents.constants import ECS_VERSION
from shipper.documents.ecs_rules import (
    ACTIONS,
    FAILURE_KIND,
    FAILURE_TAG,
    LIFTED,
    MAX_LEVELS,
    NOT_MAPPED,
    WITHOUT_PARENT,
)
from shipper.documents.line import NOT_AN_OBJECT, NOT_JSON, TOO_DEEP
from shipper.documents.loss import ACTION

#: The name of shipper's pipeline; the integration's has another one.
PIPELINE_NAME = "shipper-tetragon"

#: White space of Python's `bytes.split`; Painless has no literals for all of these characters.
_WHITE_SPACE = " \t\n\x0b\f\r"

# Copies the line for the `json` processor. A document without a message, such as one of
# `format: ecs`, is complete.
_PREPARE = """
if (ctx.message instanceof String) {
  String line = ctx.remove('message');
  if (!(ctx.event instanceof Map)) { ctx.event = new HashMap(); }
  if (ctx.event.original == null) { ctx.event.original = line; }
  boolean isEvent = true;
  if (ctx.log instanceof Map && ctx.log.flags instanceof List) {
    isEvent = !ctx.log.flags.contains('truncated');
  }
  if (ctx.error instanceof Map && ctx.error.message instanceof String) {
    for (String problem : params.no_event) {
      if (ctx.error.message.startsWith(problem)) { isEvent = false; }
    }
  }
  ctx._tmp = new HashMap();
  if (isEvent) { ctx._tmp.line = ctx.event.original; }
}
"""

_FUNCTIONS = """
boolean fits(def value, int levels) {
  if (value instanceof Map) {
    return levels > 0 && value.values().stream().allMatch(member -> fits(member, levels - 1));
  }
  if (value instanceof List) {
    return levels > 0 && value.stream().allMatch(item -> fits(item, levels - 1));
  }
  if (value instanceof Double) { return !Double.isInfinite(value) && !Double.isNaN(value); }
  return !(value instanceof BigInteger);
}
boolean becomesEmpty(def value) {
  if (value instanceof Map) {
    value.values().removeIf(member -> becomesEmpty(member));
    return value.isEmpty();
  }
  if (value instanceof List) {
    value.removeIf(item -> becomesEmpty(item));
    return value.isEmpty();
  }
  return value == null || value == '';
}
void put(Map document, List path, def value) {
  Map at = document;
  for (int i = 0; i < path.size() - 1; i++) {
    if (!(at[path[i]] instanceof Map)) { at[path[i]] = new HashMap(); }
    at = at[path[i]];
  }
  at[path[path.size() - 1]] = value;
}
void move(Map source, String name, Map document, List path) {
  if (source.containsKey(name)) { put(document, path, source.remove(name)); }
}
void dropIfEmpty(Map source, String name) {
  if (source[name] instanceof Map && source[name].isEmpty()) { source.remove(name); }
}
Map lift(Map source, String whiteSpace) {
  Map found = new HashMap();
  def arguments = source.remove('arguments');
  if (arguments instanceof String) {
    List parts = new ArrayList();
    StringTokenizer tokens = new StringTokenizer(arguments, whiteSpace);
    while (tokens.hasMoreTokens()) { parts.add(tokens.nextToken()); }
    if (!parts.isEmpty()) { found.args = parts; }
  } else if (arguments != null) {
    found.args = arguments;
  }
  move(source, 'binary', found, ['executable']);
  move(source, 'cwd', found, ['working_directory']);
  move(source, 'pid', found, ['pid']);
  move(source, 'exec_id', found, ['entity_id']);
  move(source, 'tid', found, ['thread', 'id']);
  def uid = source.remove('uid');
  if (uid instanceof Integer || uid instanceof Long) { uid = uid.toString(); }
  if (uid != null) { put(found, ['user', 'id'], uid); }
  move(source, 'start_time', found, ['start']);
  return found;
}
void liftPod(Map pod, Map document) {
  if (pod.container instanceof Map) {
    Map container = pod.container;
    move(container, 'name', document, ['container', 'name']);
    move(container, 'id', document, ['container', 'id']);
    if (container.image instanceof Map) {
      move(container.image, 'name', document, ['container', 'image', 'name']);
      dropIfEmpty(container, 'image');
    }
    dropIfEmpty(pod, 'container');
  }
  move(pod, 'name', document, ['orchestrator', 'resource', 'name']);
  move(pod, 'namespace', document, ['orchestrator', 'namespace']);
  move(pod, 'workload_kind', document, ['orchestrator', 'resource', 'parent', 'type']);
}
void finish(Map document, Map params, boolean failed) {
  if (!(document.error instanceof Map) || document.error.message == null) {
    if (failed) { put(document, ['error', 'message'], params.not_taken_apart); }
  } else if (!(document.event instanceof Map) || document.event.action != params.loss) {
    failed = true;
  }
  if (failed) {
    put(document, ['event', 'kind'], params.failure_kind);
    List tags = new ArrayList();
    if (document.tags instanceof List) { tags.addAll(document.tags); }
    else if (document.tags != null) { tags.add(document.tags); }
    if (!tags.contains(params.failure_tag)) { tags.add(params.failure_tag); }
    document.tags = tags;
  }
  for (String name : new ArrayList(document.keySet())) {
    // What begins with _ is not the document's.
    if (!name.startsWith('_') && becomesEmpty(document[name])) { document.remove(name); }
  }
}
"""

_TAKE_APART = """
Map tmp = ctx.remove('_tmp');
put(ctx, ['ecs', 'version'], params.ecs_version);
boolean failed = false;
if (tmp.containsKey('line')) {
  if (tmp.event instanceof Map && fits(tmp.event, params.levels)) {
    Map event = tmp.event;
    String kind = null;
    for (String name : params.lifted) {
      if (kind == null && event[name] != null) { kind = name; }
    }
    if (kind != null && params.actions[kind] != null) {
      put(ctx, ['event', 'action'], params.actions[kind]);
    }
    becomesEmpty(event);
    if (kind != null && event[kind] instanceof Map) {
      Map body = event[kind];
      Map lifted = new HashMap();
      if (body.process instanceof Map) {
        lifted = lift(body.process, params.white_space);
        if (body.process.pod instanceof Map) {
          liftPod(body.process.pod, ctx);
          dropIfEmpty(body.process, 'pod');
        }
        dropIfEmpty(body, 'process');
      }
      if (body.parent instanceof Map && !params.without_parent.contains(kind)) {
        Map above = lift(body.parent, params.white_space);
        if (!above.isEmpty()) { lifted.parent = above; }
        dropIfEmpty(body, 'parent');
      }
      if (kind == 'process_exit' && body.status != null) { lifted.exit_code = body.status; }
      for (def entry : lifted.entrySet()) { put(ctx, ['process', entry.key], entry.value); }
      dropIfEmpty(event, kind);
    }
    if (event.node_name != null) { put(ctx, ['host', 'name'], event.node_name); }
    if (event.cluster_name != null) {
      put(ctx, ['orchestrator', 'cluster', 'name'], event.cluster_name);
    }
    if (!event.isEmpty()) { put(ctx, ['cilium_tetragon', 'log'], event); }
  } else {
    failed = true;
  }
}
finish(ctx, params, failed);
"""

# The script fails for a number that OpenSearch cannot represent in an ingest document.
_FAILED = "finish(ctx, params, true);"


def pipeline() -> dict[str, Any]:
    """The body of `PUT _ingest/pipeline/NAME`, without the description."""
    failure = {
        "not_taken_apart": NOT_MAPPED,
        "failure_kind": FAILURE_KIND,
        "failure_tag": FAILURE_TAG,
        # Its `error.message` says what was lost: nothing is wrong with the document.
        "loss": ACTION,
    }
    rules = {
        "ecs_version": ECS_VERSION,
        "levels": MAX_LEVELS,
        "lifted": list(LIFTED),
        "without_parent": sorted(WITHOUT_PARENT),
        "actions": dict(ACTIONS),
        "white_space": _WHITE_SPACE,
    }
    return {
        "processors": [
            _script(_PREPARE, {"no_event": [NOT_JSON, NOT_AN_OBJECT, TOO_DEEP]}),
            {
                "json": {
                    "if": "ctx._tmp?.line != null",
                    "field": "_tmp.line",
                    "target_field": "_tmp.event",
                    "ignore_failure": True,
                }
            },
            _script(_FUNCTIONS + _TAKE_APART, rules | failure, condition="ctx._tmp != null"),
        ],
        "on_failure": [
            {"remove": {"field": ["_tmp", "cilium_tetragon"], "ignore_missing": True}},
            _script(_FUNCTIONS + _FAILED, failure),
        ],
    }


def _script(source: str, params: dict[str, Any], condition: str = "") -> dict[str, Any]:
    body: dict[str, Any] = {"lang": "painless", "source": source.strip(), "params": params}
    return {"script": {"if": condition, **body} if condition else body}
