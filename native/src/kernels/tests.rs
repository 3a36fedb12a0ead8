//! Each kernel beside the scalar one, and an obvious one, on text of all lengths and contents.

use super::{scalar, Kernels, ESCAPE_SLACK};
use crate::random::Random;

/// Bytes at the bounds of what the kernels look for.
const NOTABLE: [u8; 16] =
    [b'"', b'\\', b'\n', 0, 0x1f, 0x20, 0x21, 0x23, 0x5b, 0x5d, 0x7f, 0x80, 0x9f, 0xa2, 0xdc, 0xff];

fn text(random: &mut Random, length: usize) -> Vec<u8> {
    let share = random.below(4);
    (0..length)
        .map(|_| match random.below(4) {
            place if place < share => NOTABLE[random.below(NOTABLE.len())],
            _ if share == 3 => random.next() as u8,
            _ => b'a' + random.below(26) as u8,
        })
        .collect()
}

/// Fewer under Miri, which is slow.
const ROUNDS: usize = if cfg!(miri) { 150 } else { 20_000 };

#[test]
fn each_kernel_classifies_as_it_is_said() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for round in 0..ROUNDS {
        let text = text(&mut random, round % 331);
        let expected: Vec<bool> = text.iter().map(|&byte| scalar::is_special(byte)).collect();
        for kernels in Kernels::all() {
            let mut special = vec![7; 3];
            let is_ascii = kernels.classify(&text, &mut special);
            assert_eq!(is_ascii, text.is_ascii(), "{}", kernels.name);
            assert_eq!(special.len(), text.len().div_ceil(32));
            let bits: Vec<bool> =
                (0..special.len() * 32).map(|at| special[at / 32] >> (at % 32) & 1 == 1).collect();
            assert_eq!(bits[..text.len()], expected, "{}: {text:?}", kernels.name);
            assert!(!bits[text.len()..].contains(&true), "{}", kernels.name);
        }
    }
}

#[test]
fn each_kernel_escapes_as_it_is_said() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for round in 0..ROUNDS {
        let text = text(&mut random, round % 331);
        let mut expected = Vec::new();
        for &byte in &text {
            if byte == b'"' || byte == b'\\' {
                expected.push(b'\\');
            }
            expected.push(byte);
        }
        for kernels in Kernels::all() {
            // Exactly as much room as is promised: one byte less is an error.
            let mut into = vec![0; 2 * text.len() + ESCAPE_SLACK];
            let length = kernels.escape(&text, &mut into);
            assert_eq!(into[..length], expected, "{}: {text:?}", kernels.name);
        }
    }
}

#[test]
fn all_quotes_are_the_longest_escaped_text() {
    for length in 0..200 {
        let text = vec![b'"'; length];
        for kernels in Kernels::all() {
            let mut into = vec![0; 2 * length + ESCAPE_SLACK];
            assert_eq!(kernels.escape(&text, &mut into), 2 * length, "{}", kernels.name);
        }
    }
}

#[test]
#[should_panic(expected = "into.len()")]
fn too_little_room_is_an_error_and_not_an_overflow() {
    Kernels::detect().escape(b"text", &mut [0; 2 * 4 + ESCAPE_SLACK - 1]);
}

/// Text whose last byte is the last one of a page, before one that may not be touched.
#[cfg(all(target_os = "linux", not(miri)))]
#[allow(unsafe_code)]
mod at_the_end_of_a_page {
    use super::{text, Kernels, ESCAPE_SLACK};
    use crate::random::Random;
    use std::ffi::{c_int, c_long, c_void};

    extern "C" {
        fn mmap(
            at: *mut c_void,
            len: usize,
            prot: c_int,
            flags: c_int,
            fd: c_int,
            from: c_long,
        ) -> *mut c_void;
        fn mprotect(at: *mut c_void, len: usize, prot: c_int) -> c_int;
    }

    const READ_WRITE: c_int = 3;
    const PRIVATE_ANONYMOUS: c_int = 0x22;
    /// A multiple of each architecture's pages.
    const PAGE: usize = 65536;

    /// A page before one without access. It is never unmapped: the process ends soon.
    fn guarded() -> &'static mut [u8] {
        // SAFETY: a new mapping of two pages, of which the second is closed; the slice is the first.
        unsafe {
            let at = mmap(std::ptr::null_mut(), 2 * PAGE, READ_WRITE, PRIVATE_ANONYMOUS, -1, 0);
            assert!(at as isize != -1);
            let second = at.cast::<u8>().add(PAGE);
            assert_eq!(mprotect(second.cast(), PAGE, 0), 0);
            std::slice::from_raw_parts_mut(at.cast(), PAGE)
        }
    }

    #[test]
    fn no_kernel_touches_what_is_behind_its_slices() {
        let mut random = Random(42);
        let (from, to) = (guarded(), guarded());
        for length in 0..600 {
            let made = text(&mut random, length);
            let room = 2 * length + ESCAPE_SLACK;
            from[PAGE - length..].copy_from_slice(&made);
            for kernels in Kernels::all() {
                kernels.classify(&from[PAGE - length..], &mut Vec::new());
                kernels.escape(&from[PAGE - length..], &mut to[PAGE - room..]);
            }
        }
    }
}
