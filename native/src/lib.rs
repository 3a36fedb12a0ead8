//! A block of lines into the body of a bulk request: the fast way to the bytes that
//! `shipper/documents/encode.py` makes.
//!
//! There is one meaning, and it is in Python. What is in here accepts only what is ordinary beyond
//! doubt, and declines a whole block for anything else: the Python encoder then does that block. So
//! the accepted lines are a subset of those that Python takes for events, and their bytes are equal.
//!
//! | Module | What it does |
//! |---|---|
//! | `kernels` | SIMD: finds quotes, backslashes and control characters; escapes a line |
//! | `text` | tokens of JSON in a block, by the bitmap that the kernels make |
//! | `event` | validates a line, and finds its `time` |
//! | `time` | whether a time is one that Python takes, too |
//! | `shape`, `reader`, `ecs` | `format: ecs`: fields by name, a line's values, and its document |
//! | `out`, `block` | the output buffer; a block of lines into it |
//! | `python` | the extension module |
//!
//! `unsafe` is allowed in the kernels, and where Python is given the output buffer, each time with
//! the reason why it is sound.

pub mod block;
pub mod ecs;
pub mod event;
pub mod kernels;
pub mod out;
#[cfg(feature = "python")]
mod python;
#[cfg(test)]
mod random;
pub mod reader;
pub mod shape;
pub mod text;
pub mod time;
