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
