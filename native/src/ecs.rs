//! The document of a line with `format: ecs`, for events of the usual shape. The rules are those of
//! `shipper/documents/ecs_rules.py`, the order of the members that of `ecs_shape.py` and `ecs.py`.

use crate::kernels::Kernels;
use crate::out::Out;
use crate::reader::{Objects, Reader, Scratch, Slots, Type, Value, NONE};
use crate::shape::{Field, Fields};
use crate::text::{code_unit, Text, Usual};
use crate::time::is_time;

/// What a kind of event has of its own.
pub struct EventKind {
    /// The index of its field in an event.
    pub index: usize,
    /// Whether its process is lifted.
    pub is_lifted: bool,
    /// Whether its parent is lifted, too.
    pub lifts_parent: bool,
    /// Whether its status is the exit code.
    pub has_exit_code: bool,
    /// `,"action":"…"`, or nothing.
    pub action: Vec<u8>,
}

/// Parts of all documents of an input: JSON members, each with a comma behind it.
pub struct Constants {
    /// Of `event`, before `original`.
    pub event: Vec<u8>,
    /// Of `host`, before and behind the name of the node.
    pub host_before: Vec<u8>,
    pub host_behind: Vec<u8>,
    /// The whole `"host":{…},` of an event without the name of a node, or nothing.
    pub host: Vec<u8>,
    /// The whole `,"tags":…`, or nothing.
    pub tags: Vec<u8>,
}

/// Everything that the documents of one input depend on.
pub struct Mapping {
    pub objects: Objects,
    pub kinds: Vec<EventKind>,
    pub constants: Constants,
    names: Names,
}

/// The fields that are moved, by their indexes.
struct Names {
    time: usize,
    node_name: usize,
    cluster_name: usize,
    process: usize,
    status: usize,
    pod: usize,
    arguments: usize,
    binary: usize,
    cwd: usize,
    pid: usize,
    exec_id: usize,
    tid: usize,
    uid: usize,
    start_time: usize,
}

impl Mapping {
    /// None if a field is not there that the rules need.
    pub fn new(objects: Objects, kinds: Vec<EventKind>, constants: Constants) -> Option<Mapping> {
        let (event, body, process) = (&objects.event, &objects.body, &objects.process);
        let names = Names {
            time: event.index("time")?,
            node_name: event.index("node_name")?,
            cluster_name: event.index("cluster_name")?,
            process: body.index("process")?,
            status: body.index("status")?,
            pod: process.index("pod")?,
            arguments: process.index("arguments")?,
            binary: process.index("binary")?,
            cwd: process.index("cwd")?,
            pid: process.index("pid")?,
            exec_id: process.index("exec_id")?,
            tid: process.index("tid")?,
            uid: process.index("uid")?,
            start_time: process.index("start_time")?,
        };
        Some(Mapping { objects, kinds, constants, names })
    }
}

/// A line that was read.
pub struct Line<'a> {
    text: Text<'a>,
    mapping: &'a Mapping,
    scratch: &'a Scratch,
    kind: &'a EventKind,
    start: usize,
    /// Of its newline.
    pub end: usize,
}

impl<'a> Line<'a> {
    /// Reads the line that begins at `start`.
    pub fn read(
        text: Text<'a>,
        mapping: &'a Mapping,
        scratch: &'a mut Scratch,
        start: usize,
    ) -> Usual<Line<'a>> {
        let end = Reader::read(text, &mapping.objects, scratch, start)?;
        let scratch = &*scratch;
        let kind = mapping.kinds.iter().find(|kind| scratch.found.event[kind.index] != NONE)?;
        Some(Line { text, mapping, scratch, kind, start, end })
    }

    /// Its time, without quotes.
    pub fn time(&self) -> Usual<&'a [u8]> {
        let value = self.value(*self.scratch.found.event.get(self.mapping.names.time)?)?;
        let time = self.content(value);
        is_time(time).then_some(time)
    }

    /// What the line contributes to its document: members of an object.
    pub fn write(&self, kernels: &Kernels, out: &mut Out) {
        let found = &self.scratch.found;
        let names = &self.mapping.names;
        let constants = &self.mapping.constants;
        let cluster = self.value(found.event[names.cluster_name]);
        let pod = self.value(found.process[names.pod]).filter(|_| self.kind.is_lifted);
        let has_orchestrator = pod.is_some_and(|pod| self.write_lifted_pod(pod, cluster, out));
        if self.kind.is_lifted {
            self.write_lifted(out);
        }
        out.put(b"\"event\":{");
        out.put(&constants.event);
        out.put(b"\"original\":\"");
        out.escaped(kernels, self.text.slice(self.start, self.end));
        out.push(b'"');
        out.put(&self.kind.action);
        out.put(b"},");
        if let Some(node) = self.value(found.event[names.node_name]) {
            out.put(b"\"host\":{");
            out.put(&constants.host_before);
            out.put(b"\"name\":");
            self.write_value(node, out);
            out.push(b',');
            out.put(&constants.host_behind);
            out.close(b'}');
            out.push(b',');
        } else {
            out.put(&constants.host);
        }
        if let (Some(cluster), false) = (cluster, has_orchestrator) {
            out.put(b"\"orchestrator\":{");
            self.write_cluster(cluster, out);
            out.close(b'}');
            out.push(b',');
        }
        out.put(b"\"cilium_tetragon\":{\"log\":");
        self.write_event(out);
        out.push(b'}');
        out.put(&constants.tags);
    }

    /// `container` and `orchestrator` of a pod; returns whether there is the latter.
    fn write_lifted_pod(&self, pod: Value, cluster: Option<Value>, out: &mut Out) -> bool {
        if let Some(container) = self.member(pod, b"container").filter(is_object) {
            let mark = out.len();
            out.put(b"\"container\":{");
            let before = out.len();
            self.write_named(b"\"name\":", self.member(container, b"name"), out);
            self.write_named(b"\"id\":", self.member(container, b"id"), out);
            if let Some(image) = self.member(container, b"image").filter(is_object) {
                if let Some(name) = self.member(image, b"name") {
                    out.put(b"\"image\":{\"name\":");
                    self.write_value(name, out);
                    out.put(b"},");
                }
            }
            close_or_drop(out, mark, before);
        }
        let name = self.member(pod, b"name");
        let workload = self.member(pod, b"workload_kind");
        let namespace = self.member(pod, b"namespace");
        if name.or(workload).or(namespace).is_none() {
            return false;
        }
        out.put(b"\"orchestrator\":{");
        if name.or(workload).is_some() {
            out.put(b"\"resource\":{");
            self.write_named(b"\"name\":", name, out);
            if let Some(workload) = workload {
                out.put(b"\"parent\":{\"type\":");
                self.write_value(workload, out);
                out.put(b"},");
            }
            out.close(b'}');
            out.push(b',');
        }
        self.write_named(b"\"namespace\":", namespace, out);
        if let Some(cluster) = cluster {
            self.write_cluster(cluster, out);
        }
        out.close(b'}');
        out.push(b',');
        true
    }

    fn write_cluster(&self, name: Value, out: &mut Out) {
        out.put(b"\"cluster\":{\"name\":");
        self.write_value(name, out);
        out.put(b"},");
    }

    /// `process`, with its parent and its exit code.
    fn write_lifted(&self, out: &mut Out) {
        let found = &self.scratch.found;
        let mark = out.len();
        out.put(b"\"process\":{");
        let before = out.len();
        self.write_process_fields(&found.process, out);
        if self.kind.has_exit_code {
            let status = self.value(found.body[self.mapping.names.status]);
            self.write_named(b"\"exit_code\":", status, out);
        }
        if self.kind.lifts_parent {
            let mark = out.len();
            out.put(b"\"parent\":{");
            let before = out.len();
            self.write_process_fields(&found.parent, out);
            close_or_drop(out, mark, before);
        }
        close_or_drop(out, mark, before);
    }

    fn write_process_fields(&self, slots: &Slots, out: &mut Out) {
        let names = &self.mapping.names;
        if let Some(arguments) = self.value(slots[names.arguments]) {
            self.write_arguments(arguments, out);
        }
        for (name, index) in [
            (&b"\"executable\":"[..], names.binary),
            (b"\"working_directory\":", names.cwd),
            (b"\"pid\":", names.pid),
            (b"\"entity_id\":", names.exec_id),
        ] {
            self.write_named(name, self.value(slots[index]), out);
        }
        if let Some(tid) = self.value(slots[names.tid]) {
            out.put(b"\"thread\":{\"id\":");
            self.write_value(tid, out);
            out.put(b"},");
        }
        if let Some(uid) = self.value(slots[names.uid]) {
            out.put(b"\"user\":{\"id\":\"");
            self.write_value(uid, out);
            out.put(b"\"},");
        }
        self.write_named(b"\"start\":", self.value(slots[names.start_time]), out);
    }

    /// `args`: a command line, split at white space; nothing if that is all of it.
    fn write_arguments(&self, value: Value, out: &mut Out) {
        let loose = (!value.is_compact).then(|| {
            let mut made = Out::default();
            write_text(self.content(value), &mut made);
            made
        });
        let content = loose.as_ref().map_or(self.content(value), Out::written);
        let mark = out.len();
        out.put(b"\"args\":[");
        let before = out.len();
        let mut at = 0;
        while at < content.len() {
            let start = at;
            // The end of the word, and of the white space behind it.
            let mut white = 0;
            while let Some(&byte) = content.get(at) {
                if byte == b' ' || byte == b'\\' {
                    white = white_space(&content[at..]);
                    if white > 0 {
                        break;
                    }
                    at += usize::from(byte == b'\\');
                }
                at += 1;
            }
            if at > start {
                out.push(b'"');
                out.put(&content[start..at]);
                out.put(b"\",");
            }
            at += white;
        }
        if out.len() == before {
            out.truncate(mark);
        } else {
            out.close(b']');
            out.push(b',');
        }
    }

    /// The event without what was moved.
    fn write_event(&self, out: &mut Out) {
        out.push(b'{');
        for (index, field) in self.mapping.objects.event.iter() {
            let Some(value) = self.value(self.scratch.found.event[index]) else { continue };
            if index == self.kind.index {
                self.write_body(field, out);
            } else {
                self.write_named(&field.member, Some(value), out);
            }
        }
        out.close(b'}');
    }

    fn write_body(&self, field: &Field, out: &mut Out) {
        let found = &self.scratch.found;
        let objects = &self.mapping.objects;
        let mark = out.len();
        out.put(&field.member);
        out.push(b'{');
        let before = out.len();
        for (index, field) in objects.body.iter() {
            let Some(value) = self.value(found.body[index]) else { continue };
            if index == self.mapping.names.process {
                self.write_process(field, &found.process, self.kind.is_lifted, true, out);
            } else if index == objects.parent {
                let is_lifted = self.kind.is_lifted && self.kind.lifts_parent;
                self.write_process(field, &found.parent, is_lifted, false, out);
            } else {
                self.write_named(&field.member, Some(value), out);
            }
        }
        close_or_drop(out, mark, before);
    }

    /// A process or a parent without what was moved.
    fn write_process(
        &self,
        field: &Field,
        slots: &Slots,
        is_lifted: bool,
        lifts_pod: bool,
        out: &mut Out,
    ) {
        let names = &self.mapping.names;
        let fields: &Fields = &self.mapping.objects.process;
        let mark = out.len();
        out.put(&field.member);
        out.push(b'{');
        let before = out.len();
        for (index, field) in fields.iter() {
            let Some(value) = self.value(slots[index]) else { continue };
            let is_moved = index == names.arguments
                || index == names.binary
                || index == names.cwd
                || index == names.pid
                || index == names.exec_id
                || index == names.tid
                || index == names.uid
                || index == names.start_time;
            if is_lifted && is_moved {
                continue;
            }
            if index == names.pod && is_lifted && lifts_pod {
                self.write_pod_rest(field, value, out);
            } else {
                self.write_named(&field.member, Some(value), out);
            }
        }
        close_or_drop(out, mark, before);
    }

    /// A pod without what was moved.
    fn write_pod_rest(&self, field: &Field, pod: Value, out: &mut Out) {
        let mark = out.len();
        out.put(&field.member);
        out.push(b'{');
        let before = out.len();
        for member in self.members(pod) {
            match self.name(member) {
                b"name" | b"workload_kind" | b"namespace" => {}
                b"container" if is_object(&member) => {
                    let mark = out.len();
                    out.put(b"\"container\":{");
                    let before = out.len();
                    for part in self.members(member) {
                        match self.name(part) {
                            b"name" | b"id" => {}
                            b"image" if is_object(&part) => {
                                let mark = out.len();
                                out.put(b"\"image\":{");
                                let before = out.len();
                                for each in self.members(part) {
                                    if self.name(each) != b"name" {
                                        self.write_member(each, out);
                                    }
                                }
                                close_or_drop(out, mark, before);
                            }
                            _ => self.write_member(part, out),
                        }
                    }
                    close_or_drop(out, mark, before);
                }
                _ => self.write_member(member, out),
            }
        }
        close_or_drop(out, mark, before);
    }

    /// A member with its name and a comma.
    fn write_member(&self, member: Value, out: &mut Out) {
        out.push(b'"');
        out.put(self.name(member));
        out.put(b"\":");
        self.write_value(member, out);
        out.push(b',');
    }

    /// A value, if it is there, behind `"name":`, and a comma.
    #[inline(always)]
    fn write_named(&self, member: &[u8], value: Option<Value>, out: &mut Out) {
        if let Some(value) = value {
            out.put(member);
            self.write_value(value, out);
            out.push(b',');
        }
    }

    #[inline(always)]
    fn write_value(&self, value: Value, out: &mut Out) {
        let json = self.text.slice(value.start as usize, value.end as usize);
        if value.is_compact {
            out.put(json);
        } else {
            write_compact(json, out);
        }
    }

    #[inline(always)]
    fn value(&self, index: u32) -> Option<Value> {
        self.scratch.values.get(index as usize).copied()
    }

    /// The content of a text, without quotes.
    fn content(&self, value: Value) -> &'a [u8] {
        self.text.slice(value.start as usize + 1, value.end as usize - 1)
    }

    #[inline(always)]
    fn name(&self, member: Value) -> &'a [u8] {
        self.text.slice(member.key as usize, member.key_end as usize)
    }

    fn members(&self, object: Value) -> impl Iterator<Item = Value> + '_ {
        let mut index = object.first;
        std::iter::from_fn(move || {
            let found = self.value(index).filter(|_| index < object.next)?;
            index = found.next;
            Some(found)
        })
    }

    fn member(&self, object: Value, name: &[u8]) -> Option<Value> {
        self.members(object).find(|member| self.name(*member) == name)
    }
}

fn is_object(value: &Value) -> bool {
    value.kind == Type::Object
}

/// Closes an object that was begun at `mark` and has members from `before` on; takes it back if it
/// has none.
#[inline(always)]
fn close_or_drop(out: &mut Out, mark: usize, before: usize) {
    if out.len() == before {
        out.truncate(mark);
    } else {
        out.close(b'}');
        out.push(b',');
    }
}

/// The length of the white space with which the content of a compact string begins: one character of
/// it, or 0. White space is what Java's regular expressions take for it.
fn white_space(content: &[u8]) -> usize {
    match content {
        [b' ', ..] => 1,
        [b'\\', b't' | b'n' | b'f' | b'r', ..] => 2,
        [b'\\', b'u', b'0', b'0', b'0', b'b', ..] => 6,
        _ => 0,
    }
}

/// Valid JSON, written as it would be written again.
fn write_compact(json: &[u8], out: &mut Out) {
    let mut at = 0;
    while at < json.len() {
        match json[at] {
            b' ' => at += 1,
            b'"' => {
                let start = at + 1;
                at = start;
                while json[at] != b'"' {
                    at += if json[at] == b'\\' { 2 } else { 1 };
                }
                out.push(b'"');
                write_text(&json[start..at], out);
                out.push(b'"');
                at += 1;
            }
            byte => {
                out.push(byte);
                at += 1;
            }
        }
    }
}

/// The content of a string, with escape sequences only for what needs one.
fn write_text(content: &[u8], out: &mut Out) {
    let mut at = 0;
    while at < content.len() {
        if content[at] != b'\\' {
            out.push(content[at]);
            at += 1;
            continue;
        }
        match content[at + 1] {
            b'/' => out.push(b'/'),
            b'u' => {
                let code = code_unit(&content[at + 2..at + 6]);
                // The reader has let no surrogate pass.
                let character =
                    code.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER);
                write_character(character, out);
                at += 4;
            }
            other => out.put(&[b'\\', other]),
        }
        at += 2;
    }
}

fn write_character(character: char, out: &mut Out) {
    match character {
        '"' => out.put(b"\\\""),
        '\\' => out.put(b"\\\\"),
        '\u{8}' => out.put(b"\\b"),
        '\t' => out.put(b"\\t"),
        '\n' => out.put(b"\\n"),
        '\u{c}' => out.put(b"\\f"),
        '\r' => out.put(b"\\r"),
        control if control < ' ' => {
            out.put(b"\\u");
            out.put(format!("{:04x}", u32::from(control)).as_bytes());
        }
        other => out.put(other.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}
