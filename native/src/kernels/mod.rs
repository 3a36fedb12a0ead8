//! The SIMD kernels, each beside a scalar one that defines what it does.
//!
//! `classify` reads 32 bytes at a time and makes one word of bits of them; `escape` copies text and
//! puts a backslash before each quote and backslash. Slices go in and out, so that nothing outside
//! of this module has to be trusted for memory safety.

#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::sync::OnceLock;

/// Bytes that are classified at once: one word of bits.
///
/// Not 64: LLVM would make one vector of two words of AVX2, bit by bit, which takes ten times longer.
const CHUNK: usize = 32;

/// How much longer than twice the text the room for an escaped text has to be, in bytes: kernels
/// write whole vectors.
pub const ESCAPE_SLACK: usize = 32;

/// For whole chunks: appends a word for each, and returns whether all bytes are ASCII.
type ClassifyChunks = fn(&[u8], &mut Vec<u32>) -> bool;

/// Returns how many bytes it has written. `into` has at least `2 * text.len() + ESCAPE_SLACK`.
type Escape = fn(text: &[u8], into: &mut [u8]) -> usize;

/// The kernels of one instruction set, which this processor has.
#[derive(Clone, Copy)]
pub struct Kernels {
    pub name: &'static str,
    classify: ClassifyChunks,
    escape: Escape,
}

impl Kernels {
    /// The fastest that this processor has; found out once.
    pub fn detect() -> Kernels {
        static FOUND: OnceLock<Kernels> = OnceLock::new();
        *FOUND.get_or_init(|| *Kernels::all().last().expect("there is always the scalar one"))
    }

    /// All that this processor has, the slowest first.
    pub fn all() -> Vec<Kernels> {
        #[allow(unused_mut)]
        let mut found = vec![scalar::KERNELS];
        #[cfg(target_arch = "x86_64")]
        found.extend(x86::available());
        #[cfg(target_arch = "aarch64")]
        found.extend(neon::available());
        found
    }

    /// Sets `special` to one bit for each byte of `text`, the lowest first: whether it is a quote, a
    /// backslash or a control character. Returns whether all of `text` is ASCII.
    pub fn classify(&self, text: &[u8], special: &mut Vec<u32>) -> bool {
        special.clear();
        special.reserve(text.len() / CHUNK + 1);
        let whole = text.len() - text.len() % CHUNK;
        let mut is_ascii = (self.classify)(&text[..whole], special);
        if whole < text.len() {
            // The rest in a chunk of its own: nothing behind the text is ever read.
            let mut last = [b' '; CHUNK];
            last[..text.len() - whole].copy_from_slice(&text[whole..]);
            is_ascii &= (self.classify)(&last, special);
        }
        is_ascii
    }

    /// Writes `text`, with a backslash before each quote and backslash; returns the length. The rest
    /// of `into` is undefined.
    ///
    /// Panics if `into` is shorter than `2 * text.len() + ESCAPE_SLACK`.
    #[inline]
    pub fn escape(&self, text: &[u8], into: &mut [u8]) -> usize {
        assert!(into.len() >= 2 * text.len() + ESCAPE_SLACK);
        (self.escape)(text, into)
    }
}

/// For each set of bytes to escape among eight: the order of a shuffle whose bytes 0 to 7 are the
/// text and whose byte 8 is a backslash.
static SHUFFLES: [[u8; 16]; 256] = shuffles();

const fn shuffles() -> [[u8; 16]; 256] {
    // A byte with its highest bit set gives a zero, on x86 and on ARM.
    let mut table = [[0x80; 16]; 256];
    let mut set = 0;
    while set < 256 {
        let (mut byte, mut place) = (0, 0);
        while byte < 8 {
            if set >> byte & 1 == 1 {
                table[set][place] = 8;
                place += 1;
            }
            table[set][place] = byte as u8;
            place += 1;
            byte += 1;
        }
        set += 1;
    }
    table
}

#[cfg(test)]
mod tests;
