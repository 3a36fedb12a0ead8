//! The output buffer: all of it is initialised once and used again, so that a line is copied into it
//! without a check of each byte.

use crate::kernels::{Kernels, ESCAPE_SLACK};

#[derive(Default)]
pub struct Out {
    bytes: Vec<u8>,
    used: usize,
}

impl Out {
    /// With a buffer that was used before; `room`: how much is likely to be needed, in bytes.
    pub fn new(mut bytes: Vec<u8>, room: usize) -> Out {
        if bytes.len() < room {
            bytes.resize(room, 0);
        }
        Out { bytes, used: 0 }
    }

    /// The buffer, and how much of it is used.
    pub fn into_parts(self) -> (Vec<u8>, usize) {
        (self.bytes, self.used)
    }

    pub fn len(&self) -> usize {
        self.used
    }

    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    pub fn written(&self) -> &[u8] {
        &self.bytes[..self.used]
    }

    /// Takes back all that was written after the first `length` bytes.
    pub fn truncate(&mut self, length: usize) {
        self.used = self.used.min(length);
    }

    #[inline(always)]
    pub fn put(&mut self, part: &[u8]) {
        self.room(part.len())[..part.len()].copy_from_slice(part);
        self.used += part.len();
    }

    #[inline(always)]
    pub fn push(&mut self, byte: u8) {
        self.room(1)[0] = byte;
        self.used += 1;
    }

    /// Puts `text` with its quotes and backslashes escaped.
    pub fn escaped(&mut self, kernels: &Kernels, text: &[u8]) {
        let room = self.room(2 * text.len() + ESCAPE_SLACK);
        self.used += kernels.escape(text, room);
    }

    /// A number in decimal digits.
    pub fn decimal(&mut self, mut number: u64) {
        let mut digits = [0; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.put(&digits[at..]);
    }

    /// A number in hexadecimal digits, at least `width` (16 at most).
    pub fn hexadecimal(&mut self, mut number: u64, width: usize) {
        let mut digits = [b'0'; 16];
        let mut at = digits.len();
        while number > 0 {
            at -= 1;
            digits[at] = b"0123456789abcdef"[(number & 15) as usize];
            number >>= 4;
        }
        self.put(&digits[at.min(digits.len() - width)..]);
    }

    /// The closing bracket of an object or list whose members each have a comma behind them.
    #[inline(always)]
    pub fn close(&mut self, bracket: u8) {
        match self.bytes[..self.used].last_mut() {
            Some(last @ b',') => *last = bracket,
            _ => self.push(bracket),
        }
    }

    /// At least `needed` bytes to write to.
    #[inline(always)]
    fn room(&mut self, needed: usize) -> &mut [u8] {
        if self.bytes.len() - self.used < needed {
            self.grow(needed);
        }
        &mut self.bytes[self.used..]
    }

    #[cold]
    fn grow(&mut self, needed: usize) {
        let length = self.bytes.len();
        self.bytes.resize((self.used + needed).max(length + length / 2), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::Out;

    #[test]
    fn numbers_are_written_as_python_writes_them() {
        let mut out = Out::default();
        for number in [0, 9, 10, u64::MAX] {
            out.decimal(number);
            out.push(b' ');
            out.hexadecimal(number, 10);
            out.push(b' ');
        }
        let expected = "0 0000000000 9 0000000009 10 000000000a \
                        18446744073709551615 ffffffffffffffff ";
        assert_eq!(out.written(), expected.as_bytes());
    }

    #[test]
    fn an_empty_object_is_closed_behind_its_bracket() {
        let mut out = Out::default();
        out.put(b"{");
        out.close(b'}');
        out.put(b"[1,");
        out.close(b']');
        assert_eq!(out.written(), b"{}[1]");
    }
}
