//! A block of lines into the body of a bulk request: an action and a document for each line.

use xxhash_rust::xxh3::xxh3_64;

use crate::ecs::{Line, Mapping};
use crate::event::line;
use crate::kernels::Kernels;
use crate::out::Out;
use crate::reader::Scratch;
use crate::text::{Text, Usual};

/// The parts of a body that Python renders.
pub struct Template<'a> {
    /// From the end of the document before it to the offset in the id; without ids, to the time.
    pub action: &'a [u8],
    /// Between `log.offset` and the content of the line.
    pub constants: &'a [u8],
    /// The beginning that each time has to have, as the action is for that day or hour.
    pub times: &'a [u8],
    pub with_ids: bool,
}

/// The memory that is used again for each block.
#[derive(Default)]
pub struct Memory {
    special: Vec<u32>,
    reading: Scratch,
}

/// What closes the document before an action; the first action has none before it.
const CLOSING: &[u8] = b"}\n";

/// A line that is unusual, for Python.
pub struct Odd {
    /// Where its document belongs in the body.
    pub position: usize,
    /// Where it is in the block, with its newline.
    pub start: usize,
    pub end: usize,
}

/// What was made of a block.
#[derive(Default)]
pub struct Encoded {
    pub events: usize,
    pub odd: Vec<Odd>,
}

impl Encoded {
    /// Whether there are so many unusual lines that Python is better given the whole block: it takes
    /// longer for a line by itself.
    fn is_odd(&self) -> bool {
        self.odd.len() > 4 + self.events / 8
    }
}

/// Writes the documents of some ranges of a block, of whole lines each, to `out`. None if the block
/// is to be done by Python. `start`: the offset of the block in its file; `mapping`: None for
/// `format: raw`.
pub fn encode(
    kernels: &Kernels,
    mapping: Option<&Mapping>,
    template: &Template,
    (block, start): (&[u8], u64),
    ranges: &[(usize, usize)],
    memory: &mut Memory,
    out: &mut Out,
) -> Option<Encoded> {
    // Positions are kept in 32 bits.
    if block.is_empty() || block.len() > i32::MAX as usize {
        return None;
    }
    let Memory { special, reading } = memory;
    let mut encoder = Encoder {
        kernels,
        mapping,
        template,
        action: template.action.strip_prefix(CLOSING)?,
        text: Text::new(kernels, block, special),
        reading,
        out,
    };
    let mut made = Encoded::default();
    for &(first, end) in ranges {
        if first > end || end > block.len() {
            return None;
        }
        let mut at = first;
        while at < end {
            let position = encoder.out.len();
            let line_end = match encoder.line(at, start.checked_add(at as u64)?) {
                Some(line_end) => {
                    made.events += 1;
                    line_end
                }
                None => {
                    encoder.out.truncate(position);
                    let line_end = encoder.text.line_end(at)?;
                    made.odd.push(Odd { position, start: at, end: line_end + 1 });
                    if made.is_odd() {
                        return None;
                    }
                    line_end
                }
            };
            at = line_end + 1;
        }
        if at != end {
            return None;
        }
    }
    Some(made)
}

/// Encodes the lines of one block.
struct Encoder<'a> {
    kernels: &'a Kernels,
    mapping: Option<&'a Mapping>,
    template: &'a Template<'a>,
    /// The action without what closes the document before it.
    action: &'a [u8],
    text: Text<'a>,
    reading: &'a mut Scratch,
    out: &'a mut Out,
}

impl Encoder<'_> {
    /// Writes the action and the document of the line that begins at `at`; returns the position of
    /// its newline. What it has written of an unusual line is to be taken back.
    #[inline(always)]
    fn line(&mut self, at: usize, offset: u64) -> Usual<usize> {
        let end = match self.mapping {
            None => {
                let found = line(&self.text, at)?;
                let raw = self.text.line(at, found.end)?;
                let time = self.text.slice(found.time.start, found.time.end);
                head(self.template, self.action, offset, raw, time, self.out)?;
                self.out.push(b'"');
                self.out.escaped(self.kernels, raw);
                self.out.push(b'"');
                found.end
            }
            Some(mapping) => {
                let found = Line::read(self.text, mapping, self.reading, at)?;
                let raw = self.text.line(at, found.end)?;
                let time = found.time()?;
                head(self.template, self.action, offset, raw, time, self.out)?;
                found.write(self.kernels, self.out);
                found.end
            }
        };
        self.out.put(CLOSING);
        Some(end)
    }
}

/// A document up to the content of its line.
#[inline(always)]
fn head(
    template: &Template,
    action: &[u8],
    offset: u64,
    line: &[u8],
    time: &[u8],
    out: &mut Out,
) -> Usual<()> {
    if !time.starts_with(template.times) {
        return None;
    }
    out.put(action);
    if template.with_ids {
        out.hexadecimal(offset, 10);
        out.push(b'-');
        out.hexadecimal(xxh3_64(line), 16);
        out.put(b"\"}}\n{\"@timestamp\":");
    }
    out.push(b'"');
    out.put(time);
    out.put(b"\",\"log\":{\"offset\":");
    out.decimal(offset);
    out.put(template.constants);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::{encode, Encoded, Memory, Template};
    use crate::ecs::{Constants, EventKind, Mapping};
    use crate::kernels::Kernels;
    use crate::out::Out;
    use crate::random::Random;
    use crate::reader::Objects;
    use crate::shape::{Fields, Kind};

    const TEMPLATE: Template = Template {
        action: b"}\n{\"create\":{\"_id\":\"i-",
        constants: b",\"file\":{}},\"message\":",
        times: b"",
        with_ids: true,
    };

    /// Fewer under Miri, which is slow.
    const ROUNDS: usize = if cfg!(miri) { 60 } else { 4_000 };

    const LINE: &[u8] = br#"{"process_exec":{"process":{"pid":1,"uid":0,"arguments":"-c \"a\\b\" \u000b c","binary":"/b","cap":{},"pod":{"name":"p","container":{"id":"c","image":{"name":"x"}},"labels":{"a":["b", {"c": true}]}}},"parent":{"pid": 2}},"node_name":"n","time":"2026-11-24T04:32:37.1Z"}"#;

    fn encoded(mapping: Option<&Mapping>, block: &[u8]) -> Option<(Encoded, Vec<u8>)> {
        let mut out = Out::default();
        let ranges = [(0, block.len())];
        let kernels = Kernels::detect();
        let memory = &mut Memory::default();
        let made = encode(&kernels, mapping, &TEMPLATE, (block, 7), &ranges, memory, &mut out)?;
        Some((made, out.written().to_vec()))
    }

    fn fields(named: &[(&str, Kind)]) -> Fields {
        let named: Vec<_> = named.iter().map(|(name, kind)| (name.to_string(), *kind)).collect();
        Fields::new(&named).expect("they are plain")
    }

    fn mapping() -> Mapping {
        let event = fields(&[
            ("time", Kind::Text),
            ("process_exec", Kind::Body),
            ("node_name", Kind::Text),
            ("cluster_name", Kind::Text),
        ]);
        let body = fields(&[
            ("process", Kind::Process),
            ("parent", Kind::Process),
            ("status", Kind::Number),
        ]);
        let process = fields(&[
            ("exec_id", Kind::Text),
            ("pid", Kind::Number),
            ("uid", Kind::Number),
            ("cwd", Kind::Text),
            ("binary", Kind::Text),
            ("arguments", Kind::Text),
            ("start_time", Kind::Text),
            ("pod", Kind::Pod),
            ("tid", Kind::Number),
            ("cap", Kind::Message),
        ]);
        let kind = EventKind {
            index: 1,
            is_lifted: true,
            lifts_parent: true,
            has_exit_code: false,
            action: b",\"action\":\"executed\"".to_vec(),
        };
        let constants = Constants {
            event: Vec::new(),
            host_before: Vec::new(),
            host_behind: Vec::new(),
            host: Vec::new(),
            tags: Vec::new(),
        };
        let objects = Objects { event, body, process, parent: 1, levels: 4 };
        Mapping::new(objects, vec![kind], constants).expect("all fields are there")
    }

    #[test]
    fn an_ordinary_line_is_a_document() {
        let line = b"{\"a\":\"\\\"\",\"time\":\"2026-11-24T04:32:37Z\"}\n";
        let (made, body) = encoded(None, line).expect("it is taken");
        assert_eq!((made.events, made.odd.len()), (1, 0));
        let body = String::from_utf8(body).expect("it is UTF-8");
        assert!(body.starts_with("{\"create\":{\"_id\":\"i-0000000007-"), "{body}");
        let end = "\"@timestamp\":\"2026-11-24T04:32:37Z\",\"log\":{\"offset\":7,\"file\":{}},\
                   \"message\":\"{\\\"a\\\":\\\"\\\\\\\"\\\",\\\"time\\\":\\\"2026-11-24T04:32:37Z\\\"}\"}\n";
        assert!(body.ends_with(end), "{body}");
    }

    #[test]
    fn an_unusual_line_is_left_out_and_said() {
        let block = [LINE, b"\nno JSON\n", LINE, b"\n"].concat();
        for mapping in [None, Some(&mapping())] {
            let (made, body) = encoded(mapping, &block).expect("it is taken");
            assert_eq!((made.events, made.odd.len()), (2, 1));
            let odd = &made.odd[0];
            assert_eq!(&block[odd.start..odd.end], b"no JSON\n");
            assert!(body[odd.position..].starts_with(b"{\"create\""));
        }
    }

    /// A panic would be caught, but there should be none; and the other lines are as without it.
    #[test]
    fn no_damaged_line_does_any_harm() {
        let mapping = mapping();
        let mut random = Random(0x1234_5678_9abc_def1);
        let parts: [&[u8]; 12] =
            [b"\"", b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\\u00", b"null", b"\x80", b" "];
        for round in 0..ROUNDS {
            let mut line = LINE.to_vec();
            for _ in 0..1 + random.below(4) {
                let at = random.below(line.len());
                match random.below(4) {
                    0 => line[at] = random.next() as u8,
                    1 => line.truncate(at + 1),
                    2 => drop(line.drain(at..(at + random.below(9)).min(line.len()))),
                    _ => drop(line.splice(at..at, parts[random.below(parts.len())].to_vec())),
                }
                if line.is_empty() {
                    line.push(b' ');
                }
            }
            let last = if round % 5 == 0 { &b""[..] } else { b"\n" };
            let block = [&line[..], b"\n", LINE, last].concat();
            for mapping in [None, Some(&mapping)] {
                if let Some((made, body)) = encoded(mapping, &block) {
                    assert!(made.events + made.odd.len() >= 2 || last.is_empty());
                    assert_eq!(body.iter().filter(|&&byte| byte == b'\n').count(), 2 * made.events);
                    assert!(std::str::from_utf8(&body).is_ok());
                }
            }
        }
    }
}
