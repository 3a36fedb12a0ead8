//! The fields of events as Tetragon writes them. Which there are, of which kind, and in which order
//! they are written, Python says (`shipper/documents/ecs_shape.py`): a field that is added there is
//! known here.

/// What a field may hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Text that is not empty.
    Text,
    /// An integer.
    Number,
    /// `true` or `false`.
    Flag,
    /// Any value without empty ones.
    Full,
    /// An object without empty values, or an empty one, which is dropped.
    Message,
    /// A pod: an object without empty values.
    Pod,
    /// A process, or a parent.
    Process,
    /// The content of an event's kind.
    Body,
}

impl Kind {
    /// By the name that Python has for it.
    pub fn of(name: &str) -> Option<Kind> {
        Some(match name {
            "text" => Kind::Text,
            "number" => Kind::Number,
            "flag" => Kind::Flag,
            "full" => Kind::Full,
            "message" => Kind::Message,
            "pod" => Kind::Pod,
            "process" => Kind::Process,
            "body" => Kind::Body,
            _ => return None,
        })
    }
}

/// A field of an object, with its name.
pub struct Field {
    pub name: Box<[u8]>,
    /// `"name":`
    pub member: Box<[u8]>,
    pub kind: Kind,
}

/// The most fields that an object may have.
pub const MAX_FIELDS: usize = 48;

const SLOTS: usize = 256;
const FREE: u8 = u8::MAX;

/// The fields of one object, in the order in which they are written.
pub struct Fields {
    fields: Vec<Field>,
    /// A hash table with open addressing: indexes of fields.
    slots: [u8; SLOTS],
}

impl Fields {
    /// None if there are too many, or a name needs an escape.
    pub fn new(named: &[(String, Kind)]) -> Option<Fields> {
        let mut made = Fields { fields: Vec::new(), slots: [FREE; SLOTS] };
        if named.len() > MAX_FIELDS {
            return None;
        }
        for (index, (name, kind)) in named.iter().enumerate() {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            if name.is_empty() || !name.bytes().all(is_plain) {
                return None;
            }
            let mut slot = hash(name.as_bytes());
            while made.slots[slot] != FREE {
                slot = (slot + 1) % SLOTS;
            }
            made.slots[slot] = index as u8;
            made.fields.push(Field {
                name: name.as_bytes().into(),
                member: format!("\"{name}\":").into_bytes().into(),
                kind: *kind,
            });
        }
        Some(made)
    }

    /// The index of the field of a name.
    #[inline(always)]
    pub fn find(&self, name: &[u8]) -> Option<usize> {
        if name.is_empty() {
            return None;
        }
        let mut slot = hash(name);
        loop {
            let index = self.slots[slot];
            // Most slots are free, so this ends.
            let field = self.fields.get(index as usize)?;
            if *field.name == *name {
                return Some(index as usize);
            }
            slot = (slot + 1) % SLOTS;
        }
    }

    pub fn index(&self, name: &str) -> Option<usize> {
        self.find(name.as_bytes())
    }

    pub fn iter(&self) -> impl Iterator<Item = (usize, &Field)> {
        self.fields.iter().enumerate()
    }

    #[inline(always)]
    pub fn get(&self, index: usize) -> &Field {
        &self.fields[index]
    }
}

/// Of a name that is not empty.
#[inline(always)]
fn hash(name: &[u8]) -> usize {
    let (first, middle, last) = (name[0], name[name.len() / 2], name[name.len() - 1]);
    let mixed = name.len() * 53 + usize::from(first) * 31 + usize::from(middle) * 11;
    (mixed + usize::from(last) * 5) % SLOTS
}

#[cfg(test)]
mod tests {
    use super::{Fields, Kind, MAX_FIELDS};

    #[test]
    fn each_field_is_found_by_its_name_and_no_other_is() {
        let names: Vec<_> = (0..MAX_FIELDS).map(|n| (format!("name_{n}"), Kind::Text)).collect();
        let fields = Fields::new(&names).expect("they are plain");
        for (index, (name, _)) in names.iter().enumerate() {
            assert_eq!(fields.find(name.as_bytes()), Some(index));
        }
        for other in ["", "name", "name_", "name_48", "Name_1", "name_1 "] {
            assert_eq!(fields.find(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn names_that_need_an_escape_and_too_many_are_refused() {
        for name in ["", "a\"b", "ä"] {
            assert!(Fields::new(&[(name.to_string(), Kind::Text)]).is_none());
        }
        let many = vec![("a".to_string(), Kind::Text); MAX_FIELDS + 1];
        assert!(Fields::new(&many).is_none());
    }
}
