//! Tokens of JSON in a block of lines. Every access is checked; what is behind the block is a
//! newline, so that a token that is not finished never goes on.

use crate::kernels::Kernels;

/// None: the line is unusual. What makes it so is not told: the Python encoder finds out again.
pub type Usual<T> = Option<T>;

/// A string, by the positions of its content in the block.
#[derive(Clone, Copy)]
pub struct Str {
    pub start: usize,
    /// Of the closing quote.
    pub end: usize,
    /// Whether it has a backslash.
    pub escaped: bool,
}

/// A block, with the bitmap of its quotes, backslashes and control characters.
#[derive(Clone, Copy)]
pub struct Text<'a> {
    bytes: &'a [u8],
    special: &'a [u32],
    is_ascii: bool,
}

impl<'a> Text<'a> {
    /// `special`: room for the bitmap.
    pub fn new(kernels: &Kernels, bytes: &'a [u8], special: &'a mut Vec<u32>) -> Text<'a> {
        let is_ascii = kernels.classify(bytes, special);
        Text { bytes, special, is_ascii }
    }

    /// The position of the newline of the line that begins at `start`.
    pub fn line_end(&self, start: usize) -> Option<usize> {
        let rest = self.bytes.get(start..)?;
        rest.iter().position(|&byte| byte == b'\n').map(|length| start + length)
    }

    /// The text of a whole line; it is not UTF-8 where it is unusual.
    #[inline(always)]
    pub fn line(&self, start: usize, end: usize) -> Usual<&'a [u8]> {
        let line = self.slice(start, end);
        (self.is_ascii || std::str::from_utf8(line).is_ok()).then_some(line)
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    #[inline(always)]
    pub fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(b'\n')
    }

    #[inline(always)]
    pub fn slice(&self, start: usize, end: usize) -> &'a [u8] {
        &self.bytes[start..end]
    }

    /// The first position that is not a space. Others are white space in JSON, too, but do not
    /// occur in lines: the control characters make a line unusual.
    #[inline(always)]
    pub fn skip_spaces(&self, mut at: usize) -> usize {
        while self.byte(at) == b' ' {
            at += 1;
        }
        at
    }

    /// The string that begins with the quote at `at`.
    #[inline(always)]
    pub fn string(&self, at: usize) -> Usual<Str> {
        if self.byte(at) != b'"' {
            return None;
        }
        let start = at + 1;
        let mut found = self.next_special(start)?;
        if self.byte(found) == b'"' {
            return Some(Str { start, end: found, escaped: false });
        }
        loop {
            match self.byte(found) {
                b'"' => return Some(Str { start, end: found, escaped: true }),
                b'\\' => found = self.next_special(self.after_escape(found)?)?,
                _ => return None,
            }
        }
    }

    /// The first quote, backslash or control character at or after a position.
    #[inline(always)]
    fn next_special(&self, at: usize) -> Usual<usize> {
        let mut index = at / 32;
        let mut word = self.special.get(index)? & (u32::MAX << (at % 32));
        while word == 0 {
            index += 1;
            word = *self.special.get(index)?;
        }
        Some(32 * index + word.trailing_zeros() as usize)
    }

    /// The position behind the escape sequence at `at`.
    fn after_escape(&self, at: usize) -> Usual<usize> {
        match self.byte(at + 1) {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(at + 2),
            b'u' => {
                let code = code_unit(self.bytes.get(at + 2..at + 6)?)?;
                // Surrogates come in pairs, and a half is an error: left to Python.
                (!(0xd800..0xe000).contains(&code)).then_some(at + 6)
            }
            _ => None,
        }
    }

    /// The end of the number at `at`. Of the numbers that Python takes, those without an exponent,
    /// with at most 18 digits before and after the point, and not a negative zero.
    #[inline(always)]
    pub fn number(&self, at: usize) -> Usual<usize> {
        let end = self.integer(at)?;
        if self.byte(end) != b'.' {
            return Some(end);
        }
        let fraction = end + 1;
        let end = self.digits(fraction);
        let is_usual = matches!(end - fraction, 1..=18) && !matches!(self.byte(end), b'e' | b'E');
        is_usual.then_some(end)
    }

    /// The end of the integer at `at`; what follows it is no part of a number, or a point.
    #[inline(always)]
    pub fn integer(&self, at: usize) -> Usual<usize> {
        let is_negative = self.byte(at) == b'-';
        let start = at + usize::from(is_negative);
        let end = self.digits(start);
        let count = end - start;
        let is_usual = match count {
            1 => !is_negative || self.byte(start) != b'0',
            2..=18 => self.byte(start) != b'0',
            _ => false,
        };
        (is_usual && !matches!(self.byte(end), b'e' | b'E')).then_some(end)
    }

    #[inline(always)]
    fn digits(&self, mut at: usize) -> usize {
        while self.byte(at).is_ascii_digit() {
            at += 1;
        }
        at
    }

    /// The end of `true`, `false` or `null` at `at`.
    #[inline(always)]
    pub fn literal(&self, at: usize) -> Usual<usize> {
        let word: &[u8] = match self.byte(at) {
            b't' => b"true",
            b'f' => b"false",
            _ => b"null",
        };
        let end = at + word.len();
        (self.bytes.get(at..end)? == word).then_some(end)
    }
}

/// The number that four hexadecimal digits are.
pub fn code_unit(digits: &[u8]) -> Usual<u32> {
    digits.iter().try_fold(0, |code, &digit| Some(code << 4 | char::from(digit).to_digit(16)?))
}
