//! NEON, which every aarch64 has that Rust's standard targets are for.
#![allow(unsafe_code)]

use std::arch::aarch64::*;

use super::{scalar, Kernels, CHUNK, ESCAPE_SLACK, SHUFFLES};

pub(super) fn available() -> Vec<Kernels> {
    vec![Kernels { name: "neon", classify, escape }]
}

/// The weight of each byte in a word of bits.
const BITS: [u8; 16] = [1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128];

fn classify(text: &[u8], special: &mut Vec<u32>) -> bool {
    // SAFETY: NEON is part of the target. A load is of 16 bytes at most 16 bytes into a chunk of 32
    // or of the 16 bytes of BITS, and needs no alignment.
    unsafe {
        let bits = vld1q_u8(BITS.as_ptr());
        let mut seen = vdupq_n_u8(0);
        for chunk in text.chunks_exact(CHUNK) {
            let mut masks = [vdupq_n_u8(0); 2];
            for (part, mask) in masks.iter_mut().enumerate() {
                let bytes = vld1q_u8(chunk.as_ptr().add(16 * part));
                seen = vorrq_u8(seen, bytes);
                let found = vorrq_u8(
                    vorrq_u8(vceqq_u8(bytes, vdupq_n_u8(b'"')), vceqq_u8(bytes, vdupq_n_u8(b'\\'))),
                    vcltq_u8(bytes, vdupq_n_u8(0x20)),
                );
                *mask = vandq_u8(found, bits);
            }
            // Adding neighbours three times makes one byte of bits of eight bytes.
            let pairs = vpaddq_u8(masks[0], masks[1]);
            let fours = vpaddq_u8(pairs, pairs);
            let word = vreinterpretq_u32_u8(vpaddq_u8(fours, fours));
            special.push(vgetq_lane_u32::<0>(word));
        }
        vmaxvq_u8(seen) < 0x80
    }
}

fn escape(text: &[u8], into: &mut [u8]) -> usize {
    assert!(into.len() >= 2 * text.len() + ESCAPE_SLACK);
    let chunks = text.chunks_exact(8);
    let rest = chunks.remainder();
    let mut at = 0;
    for chunk in chunks {
        // SAFETY: NEON is part of the target. The load is of the 8 bytes of the chunk. Each chunk
        // before this one has moved `at` by 16 at most, so the 16 bytes of the store are within
        // twice the text up to the end of this chunk. A shuffle is 16 bytes of the table, whose
        // index is below 256. None needs alignment.
        unsafe {
            let bytes = vld1_u8(chunk.as_ptr());
            let found = vorr_u8(vceq_u8(bytes, vdup_n_u8(b'"')), vceq_u8(bytes, vdup_n_u8(b'\\')));
            let set = vaddv_u8(vand_u8(found, vld1_u8(BITS.as_ptr())));
            let with_backslash = vcombine_u8(bytes, vdup_n_u8(b'\\'));
            let shuffle = vld1q_u8(SHUFFLES[set as usize].as_ptr());
            vst1q_u8(into.as_mut_ptr().add(at), vqtbl1q_u8(with_backslash, shuffle));
            at += 8 + set.count_ones() as usize;
        }
    }
    at + scalar::escape(rest, &mut into[at..])
}
