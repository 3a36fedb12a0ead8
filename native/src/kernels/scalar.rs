//! What the kernels do, byte by byte; the way on processors without the vector instructions.

use super::{Kernels, CHUNK};

pub(super) const KERNELS: Kernels = Kernels { name: "scalar", classify, escape };

pub(super) fn is_special(byte: u8) -> bool {
    byte == b'"' || byte == b'\\' || byte < 0x20
}

fn classify(text: &[u8], special: &mut Vec<u32>) -> bool {
    for chunk in text.chunks_exact(CHUNK) {
        let mut word = 0;
        for (bit, &byte) in chunk.iter().enumerate() {
            word |= u32::from(is_special(byte)) << bit;
        }
        special.push(word);
    }
    text.is_ascii()
}

pub(super) fn escape(text: &[u8], into: &mut [u8]) -> usize {
    let mut at = 0;
    for &byte in text {
        if byte == b'"' || byte == b'\\' {
            into[at] = b'\\';
            at += 1;
        }
        into[at] = byte;
        at += 1;
    }
    at
}
