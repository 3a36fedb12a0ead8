//! Validates a line of `format: raw`, and finds its time.

use crate::text::{Str, Text, Usual};
use crate::time::is_time;

/// Objects and lists within one another; Python takes some hundreds.
const MAX_DEPTH: u32 = 64;

/// A line that is an event.
pub struct Line {
    /// Of its newline.
    pub end: usize,
    pub time: Str,
}

/// The line that begins at `start`: one JSON object with one `time`, and a newline.
pub fn line(text: &Text, start: usize) -> Usual<Line> {
    let mut at = text.skip_spaces(start);
    if text.byte(at) != b'{' {
        return None;
    }
    at = text.skip_spaces(at + 1);
    // One bit for each object or list that is open, the innermost lowest: whether it is an object.
    let mut open: u64 = 1;
    let mut depth = 1;
    let mut time = None;
    loop {
        if open & 1 == 1 {
            let key = text.string(at)?;
            at = after_colon(text, key.end + 1)?;
            if depth == 1 {
                // An escaped name may be `time`, too.
                if key.escaped {
                    return None;
                }
                if text.slice(key.start, key.end) == b"time" {
                    let found = text.string(at)?;
                    let is_usual = !found.escaped && is_time(text.slice(found.start, found.end));
                    if !is_usual || time.replace(found).is_some() {
                        return None;
                    }
                }
            }
        }
        at = match text.byte(at) {
            b'"' => text.string(at)?.end + 1,
            bracket @ (b'{' | b'[') => {
                let inside = text.skip_spaces(at + 1);
                // Both closing brackets are two behind the opening ones.
                if text.byte(inside) == bracket + 2 {
                    inside + 1
                } else {
                    if depth == MAX_DEPTH {
                        return None;
                    }
                    depth += 1;
                    open = open << 1 | u64::from(bracket == b'{');
                    at = inside;
                    continue;
                }
            }
            b'-' | b'0'..=b'9' => text.number(at)?,
            _ => text.literal(at)?,
        };
        // Behind a value: closes what ends here.
        loop {
            at = text.skip_spaces(at);
            let byte = text.byte(at);
            if byte == b',' {
                at = text.skip_spaces(at + 1);
                break;
            }
            if byte != if open & 1 == 1 { b'}' } else { b']' } {
                return None;
            }
            at += 1;
            depth -= 1;
            open >>= 1;
            if depth == 0 {
                let end = text.skip_spaces(at);
                return (end < text.len() && text.byte(end) == b'\n')
                    .then_some(Line { end, time: time? });
            }
        }
    }
}

/// The position of the value behind the name that ends before `at`.
#[inline(always)]
pub fn after_colon(text: &Text, at: usize) -> Usual<usize> {
    let at = text.skip_spaces(at);
    (text.byte(at) == b':').then(|| text.skip_spaces(at + 1))
}
