//! SSE2, which every x86-64 has; SSSE3 and AVX2 where the processor says so.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::{scalar, Kernels, CHUNK, ESCAPE_SLACK, SHUFFLES};

pub(super) fn available() -> Vec<Kernels> {
    let mut found = vec![Kernels { name: "sse2", classify: classify_sse2, escape: scalar::escape }];
    if is_x86_feature_detected!("ssse3") && is_x86_feature_detected!("popcnt") {
        let escape = |text: &[u8], into: &mut [u8]| {
            // SAFETY: the processor has both, as was just found out.
            unsafe { escape_ssse3(text, into) }
        };
        found.push(Kernels { name: "ssse3", classify: classify_sse2, escape });
        if is_x86_feature_detected!("avx2") {
            let classify = |text: &[u8], special: &mut Vec<u32>| {
                // SAFETY: as above.
                unsafe { classify_avx2(text, special) }
            };
            found.push(Kernels { name: "avx2", classify, escape });
        }
    }
    found
}

fn classify_sse2(text: &[u8], special: &mut Vec<u32>) -> bool {
    // SAFETY: SSE2 is part of x86-64. A load is of 16 bytes at most 16 bytes into a chunk of 32, and
    // needs no alignment.
    unsafe {
        let quote = _mm_set1_epi8(b'"' as i8);
        let backslash = _mm_set1_epi8(b'\\' as i8);
        let control = _mm_set1_epi8(0x1f);
        let mut seen = _mm_setzero_si128();
        for chunk in text.chunks_exact(CHUNK) {
            let mut word = 0;
            for part in 0..2 {
                let bytes = _mm_loadu_si128(chunk.as_ptr().add(16 * part).cast());
                seen = _mm_or_si128(seen, bytes);
                let escaped =
                    _mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, backslash));
                let is_control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, control), bytes);
                let mask = _mm_movemask_epi8(_mm_or_si128(escaped, is_control)) as u32;
                word |= mask << (16 * part);
            }
            special.push(word);
        }
        _mm_movemask_epi8(seen) == 0
    }
}

/// # Safety
/// The processor has AVX2.
#[target_feature(enable = "avx2")]
unsafe fn classify_avx2(text: &[u8], special: &mut Vec<u32>) -> bool {
    // SAFETY: the caller promises AVX2. A load is of the 32 bytes of a chunk, and needs no
    // alignment.
    unsafe {
        let quote = _mm256_set1_epi8(b'"' as i8);
        let backslash = _mm256_set1_epi8(b'\\' as i8);
        let control = _mm256_set1_epi8(0x1f);
        let mut seen = _mm256_setzero_si256();
        for chunk in text.chunks_exact(CHUNK) {
            let bytes = _mm256_loadu_si256(chunk.as_ptr().cast());
            seen = _mm256_or_si256(seen, bytes);
            let escaped = _mm256_or_si256(
                _mm256_cmpeq_epi8(bytes, quote),
                _mm256_cmpeq_epi8(bytes, backslash),
            );
            let is_control = _mm256_cmpeq_epi8(_mm256_min_epu8(bytes, control), bytes);
            special.push(_mm256_movemask_epi8(_mm256_or_si256(escaped, is_control)) as u32);
        }
        _mm256_movemask_epi8(seen) == 0
    }
}

/// # Safety
/// The processor has SSSE3 and POPCNT.
#[target_feature(enable = "ssse3,popcnt")]
unsafe fn escape_ssse3(text: &[u8], into: &mut [u8]) -> usize {
    assert!(into.len() >= 2 * text.len() + ESCAPE_SLACK);
    let chunks = text.chunks_exact(16);
    let rest = chunks.remainder();
    let mut at = 0;
    for chunk in chunks {
        // SAFETY: the caller promises the instructions. The load is of the 16 bytes of the chunk.
        // Each chunk before this one has moved `at` by 32 at most, so `at + 32` is at most twice the
        // text up to the end of this chunk, which `into` has room for. The second store begins at
        // most 16 bytes behind `at`, and is of 16 bytes. A shuffle is 16 bytes of the table, whose
        // index is below 256. None needs alignment.
        unsafe {
            let bytes = _mm_loadu_si128(chunk.as_ptr().cast());
            let backslash = _mm_set1_epi8(b'\\' as i8);
            let quote = _mm_set1_epi8(b'"' as i8);
            let found =
                _mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, backslash));
            let set = _mm_movemask_epi8(found) as usize;
            let (low, high) = (set & 0xff, set >> 8);
            // Eight bytes of text, and backslashes behind them.
            let first = _mm_unpacklo_epi64(bytes, backslash);
            let second = _mm_unpackhi_epi64(bytes, backslash);
            let first = _mm_shuffle_epi8(first, _mm_loadu_si128(SHUFFLES[low].as_ptr().cast()));
            let second = _mm_shuffle_epi8(second, _mm_loadu_si128(SHUFFLES[high].as_ptr().cast()));
            let target = into.as_mut_ptr().add(at);
            let middle = 8 + low.count_ones() as usize;
            _mm_storeu_si128(target.cast(), first);
            _mm_storeu_si128(target.add(middle).cast(), second);
            at += 16 + set.count_ones() as usize;
        }
    }
    at + scalar::escape(rest, &mut into[at..])
}
