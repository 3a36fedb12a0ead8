//! Reads the values of an event into a list, each with its place in the block; fields that are known
//! by name are found by their index.

use crate::event::after_colon;
use crate::shape::{Fields, Kind, MAX_FIELDS};
use crate::text::{code_unit, Str, Text, Usual};

/// No value: the field is not there.
pub const NONE: u32 = u32::MAX;

/// The value of each field, as an index of `Reader::values`.
pub type Slots = [u32; MAX_FIELDS];

/// Members of an object without known names. Each is compared with those before it.
const MAX_MEMBERS: u32 = 128;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Type {
    Text,
    Number,
    Flag,
    Object,
    List,
}

/// A value, by the positions of its JSON in the block.
#[derive(Clone, Copy)]
pub struct Value {
    pub start: u32,
    pub end: u32,
    /// Of the content of its name; 0 in a list.
    pub key: u32,
    pub key_end: u32,
    /// The index of the first value in it, if there is one.
    pub first: u32,
    /// The index of the value behind it and all that is in it.
    pub next: u32,
    pub kind: Type,
    /// Whether it is written as it would be written again: without spaces, and without escape
    /// sequences for what needs none.
    pub is_compact: bool,
}

/// What was read of an event.
pub struct Found {
    pub event: Slots,
    pub body: Slots,
    pub process: Slots,
    pub parent: Slots,
}

impl Default for Found {
    fn default() -> Self {
        let none = [NONE; MAX_FIELDS];
        Found { event: none, body: none, process: none, parent: none }
    }
}

/// The fields of the objects in an event.
pub struct Objects {
    pub event: Fields,
    pub body: Fields,
    pub process: Fields,
    /// The index of `parent` in a body; another process is the process.
    pub parent: usize,
    /// Objects and lists within one another that a value may have.
    pub levels: u32,
}

/// The memory of a reader; used again for each line.
#[derive(Default)]
pub struct Scratch {
    pub values: Vec<Value>,
    pub found: Found,
}

/// Reads one line.
pub struct Reader<'a> {
    text: Text<'a>,
    objects: &'a Objects,
    values: &'a mut Vec<Value>,
    found: &'a mut Found,
    /// What was read that is not compact.
    loose: u32,
}

impl<'a> Reader<'a> {
    /// Reads the line that begins at `start`; returns the position of its newline.
    pub fn read(
        text: Text<'a>,
        objects: &'a Objects,
        scratch: &'a mut Scratch,
        start: usize,
    ) -> Usual<usize> {
        scratch.values.clear();
        scratch.found = Found::default();
        let mut reader = Reader {
            text,
            objects,
            values: &mut scratch.values,
            found: &mut scratch.found,
            loose: 0,
        };
        let at = text.skip_spaces(start);
        let end = text.skip_spaces(reader.event(at)?);
        (end < text.len() && text.byte(end) == b'\n').then_some(end)
    }

    fn event(&mut self, at: usize) -> Usual<usize> {
        let fields = &self.objects.event;
        let mut has_body = false;
        self.members(at, |reader, key, at| {
            let index = known(&reader.found.event, fields, reader.text, key)?;
            let value = reader.values.len();
            let end = match fields.get(index).kind {
                // An event has one kind.
                Kind::Body if has_body => None,
                Kind::Body => {
                    has_body = true;
                    reader.container(Type::Object, key, at, Reader::body)
                }
                kind => reader.field(kind, key, at),
            }?;
            reader.found.event[index] = reader.added(value)?;
            Some(end)
        })
    }

    fn body(&mut self, at: usize) -> Usual<usize> {
        let fields = &self.objects.body;
        self.members(at, |reader, key, at| {
            let index = known(&reader.found.body, fields, reader.text, key)?;
            let value = reader.values.len();
            let end = match fields.get(index).kind {
                Kind::Process => reader.container(Type::Object, key, at, |reader, at| {
                    if index == reader.objects.parent {
                        reader.process(at, |found| &mut found.parent)
                    } else {
                        reader.process(at, |found| &mut found.process)
                    }
                }),
                kind => reader.field(kind, key, at),
            }?;
            reader.found.body[index] = reader.added(value)?;
            Some(end)
        })
    }

    fn process(&mut self, at: usize, slots: fn(&mut Found) -> &mut Slots) -> Usual<usize> {
        let fields = &self.objects.process;
        self.members(at, |reader, key, at| {
            let index = known(slots(reader.found), fields, reader.text, key)?;
            let value = reader.values.len();
            let end = reader.field(fields.get(index).kind, key, at)?;
            // Nothing is added for an empty message: it is dropped, in a process only.
            slots(reader.found)[index] = reader.added(value).unwrap_or(NONE);
            Some(end)
        })
    }

    /// `index`, if a value was added there.
    fn added(&self, index: usize) -> Usual<u32> {
        (self.values.len() > index).then_some(index as u32)
    }

    /// A value of a kind; it is added to the values, or nothing is if it is an empty message.
    #[inline(always)]
    fn field(&mut self, kind: Kind, key: Str, at: usize) -> Usual<usize> {
        let levels = self.objects.levels;
        match kind {
            Kind::Text => self.string(key, at),
            Kind::Number => self.number(key, at),
            Kind::Flag => self.flag(key, at),
            Kind::Full => self.value(key, at, levels),
            Kind::Message | Kind::Pod => {
                if self.text.byte(at) != b'{' {
                    return None;
                }
                let inside = self.text.skip_spaces(at + 1);
                if self.text.byte(inside) != b'}' {
                    self.value(key, at, levels + 1)
                } else if kind == Kind::Message {
                    Some(inside + 1)
                } else {
                    None
                }
            }
            Kind::Process | Kind::Body => None,
        }
    }

    /// Any value that is not empty, with so many objects and lists within one another.
    fn value(&mut self, key: Str, at: usize, levels: u32) -> Usual<usize> {
        match self.text.byte(at) {
            b'"' => self.string(key, at),
            b'{' if levels > 0 => self.container(Type::Object, key, at, |reader, at| {
                let first = reader.values.len();
                let mut count = 0;
                let end = reader.members(at, |reader, key, at| {
                    count += 1;
                    if count > MAX_MEMBERS || reader.has_member(first, key) {
                        return None;
                    }
                    reader.value(key, at, levels - 1)
                })?;
                (count > 0).then_some(end)
            }),
            b'[' if levels > 0 => self.container(Type::List, key, at, |reader, at| {
                let mut at = reader.skip(at + 1);
                loop {
                    at = reader.value(NO_KEY, at, levels - 1)?;
                    at = reader.skip(at);
                    match reader.text.byte(at) {
                        b',' => at = reader.skip(at + 1),
                        b']' => return Some(at + 1),
                        _ => return None,
                    }
                }
            }),
            b't' | b'f' => self.flag(key, at),
            _ => self.number(key, at),
        }
    }

    /// Whether an object whose members begin at the index `first` has one of this name already.
    #[inline(always)]
    fn has_member(&self, first: usize, key: Str) -> bool {
        let name = self.text.slice(key.start, key.end);
        let mut index = first;
        while let Some(member) = self.values.get(index) {
            if self.text.slice(member.key as usize, member.key_end as usize) == name {
                return true;
            }
            index = member.next as usize;
        }
        false
    }

    /// The members of the object that begins at `at`, each read by `read`, which returns its end.
    #[inline(always)]
    fn members(
        &mut self,
        at: usize,
        mut read: impl FnMut(&mut Self, Str, usize) -> Usual<usize>,
    ) -> Usual<usize> {
        if self.text.byte(at) != b'{' {
            return None;
        }
        let mut at = self.skip(at + 1);
        if self.text.byte(at) == b'}' {
            return Some(at + 1);
        }
        loop {
            let key = self.text.string(at)?;
            if key.escaped {
                return None;
            }
            let value = after_colon(&self.text, key.end + 1)?;
            self.loose += u32::from(value != key.end + 2);
            at = read(self, key, value)?;
            at = self.skip(at);
            match self.text.byte(at) {
                b',' => at = self.skip(at + 1),
                b'}' => return Some(at + 1),
                _ => return None,
            }
        }
    }

    #[inline(always)]
    fn container(
        &mut self,
        kind: Type,
        key: Str,
        at: usize,
        read: impl FnOnce(&mut Self, usize) -> Usual<usize>,
    ) -> Usual<usize> {
        let (index, loose) = (self.values.len(), self.loose);
        self.add(kind, key, at, at, true);
        let end = read(self, at)?;
        let (next, is_compact) = (self.values.len() as u32, self.loose == loose);
        let value = &mut self.values[index];
        value.end = end as u32;
        value.next = next;
        value.is_compact = is_compact;
        Some(end)
    }

    #[inline(always)]
    fn string(&mut self, key: Str, at: usize) -> Usual<usize> {
        let found = self.text.string(at)?;
        if found.start == found.end {
            return None;
        }
        let is_compact = !found.escaped || is_compact_text(self.text.slice(found.start, found.end));
        self.loose += u32::from(!is_compact);
        self.add(Type::Text, key, at, found.end + 1, is_compact);
        Some(found.end + 1)
    }

    #[inline(always)]
    fn number(&mut self, key: Str, at: usize) -> Usual<usize> {
        let end = self.text.integer(at)?;
        // Fractions are written again in their shortest form: left to Python.
        if self.text.byte(end) == b'.' {
            return None;
        }
        self.add(Type::Number, key, at, end, true);
        Some(end)
    }

    #[inline(always)]
    fn flag(&mut self, key: Str, at: usize) -> Usual<usize> {
        if !matches!(self.text.byte(at), b't' | b'f') {
            return None;
        }
        let end = self.text.literal(at)?;
        self.add(Type::Flag, key, at, end, true);
        Some(end)
    }

    #[inline(always)]
    fn add(&mut self, kind: Type, key: Str, start: usize, end: usize, is_compact: bool) {
        self.values.push(Value {
            start: start as u32,
            end: end as u32,
            key: key.start as u32,
            key_end: key.end as u32,
            first: self.values.len() as u32 + 1,
            next: self.values.len() as u32 + 1,
            kind,
            is_compact,
        });
    }

    #[inline(always)]
    fn skip(&mut self, at: usize) -> usize {
        let found = self.text.skip_spaces(at);
        self.loose += u32::from(found != at);
        found
    }
}

const NO_KEY: Str = Str { start: 0, end: 0, escaped: false };

/// The index of a field that is known, and has no value yet.
#[inline(always)]
fn known(slots: &Slots, fields: &Fields, text: Text, key: Str) -> Usual<usize> {
    let index = fields.find(text.slice(key.start, key.end))?;
    (slots[index] == NONE).then_some(index)
}

/// Whether the content of a string has no escape sequence but those with which it would be written
/// again.
fn is_compact_text(content: &[u8]) -> bool {
    let mut rest = content;
    while let Some(at) = rest.iter().position(|&byte| byte == b'\\') {
        match rest.get(at + 1) {
            Some(b'u') => {
                let Some(digits) = rest.get(at + 2..at + 6) else { return false };
                let is_short = matches!(digits, b"0008" | b"0009" | b"000a" | b"000c" | b"000d");
                let is_small = code_unit(digits).is_some_and(|code| code < 0x20);
                if !is_small || is_short || digits.iter().any(u8::is_ascii_uppercase) {
                    return false;
                }
                rest = &rest[at + 6..];
            }
            Some(b'/') | None => return false,
            Some(_) => rest = &rest[at + 2..],
        }
    }
    true
}
