//! The extension module `shipper._native`. `shipper/documents/native.py` is the only one that knows
//! it.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView};

use crate::block::{encode, Memory, Template};
use crate::ecs::{Constants, EventKind, Mapping};
use crate::kernels::Kernels;
use crate::out::Out;
use crate::reader::Objects;
use crate::shape::{Fields, Kind};

/// The output buffer of the last block, for the next one: new memory would cost page faults.
static SPARE: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// A larger buffer is not kept, in bytes.
const MAX_SPARE: usize = 2 * 1024 * 1024;

/// One, as a `density`.
const ONE: usize = 1024;

/// A body that is too long to be copied; Python gets a view of it.
#[pyclass(frozen, module = "shipper._native")]
struct Body {
    bytes: Vec<u8>,
    used: usize,
}

#[pymethods]
impl Body {
    /// A read-only view of the body.
    #[allow(unsafe_code)]
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut pyo3::ffi::Py_buffer,
        flags: std::ffi::c_int,
    ) -> PyResult<()> {
        let body = slf.get();
        let used = &body.bytes[..body.used];
        // SAFETY: Python calls this with a valid `view`, holding the GIL. The view keeps a reference
        // to the object, which owns the bytes, and is frozen: they are never moved, written to or
        // freed before the last view is gone. `used` is a slice of them, whose length fits, as no
        // slice is longer than isize::MAX. Read-only: a writer gets an error.
        let result = unsafe {
            pyo3::ffi::PyBuffer_FillInfo(
                view,
                slf.as_ptr(),
                used.as_ptr().cast_mut().cast(),
                used.len() as isize,
                1,
                flags,
            )
        };
        if result == 0 {
            Ok(())
        } else {
            Err(PyErr::fetch(slf.py()))
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        keep(std::mem::take(&mut self.bytes));
    }
}

/// Makes the documents of one input.
#[pyclass(frozen, module = "shipper._native")]
struct Encoder {
    kernels: Kernels,
    mapping: Option<Mapping>,
    with_ids: bool,
    memory: Mutex<Memory>,
    /// How long the last body was, as a multiple of its block. A body may be held for long (without
    /// gzip, until the batch is full), so its buffer is hardly longer than it is.
    density: AtomicUsize,
}

impl Encoder {
    /// How much memory the body of a block is likely to need, in bytes.
    fn room(&self, block: usize) -> usize {
        let density = self.density.load(Ordering::Relaxed);
        block.saturating_mul(density + ONE / 16) / ONE + 4096
    }

    fn learn(&self, block: usize, body: usize) {
        let density = body.saturating_mul(ONE) / block.max(1);
        self.density.store(density, Ordering::Relaxed);
    }
}

/// The body, the number of its documents, and the unusual lines.
type Made<'py> = (Bound<'py, PyAny>, usize, Vec<(usize, usize, usize)>);

/// The rules of `format: ecs`, as `native.py` renders them.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Rules {
    event: Vec<(String, String)>,
    body: Vec<(String, String)>,
    process: Vec<(String, String)>,
    levels: u32,
    kinds: Vec<KindRules>,
    event_constants: Vec<u8>,
    host_before: Vec<u8>,
    host_behind: Vec<u8>,
    host: Vec<u8>,
    tags: Vec<u8>,
}

#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct KindRules {
    name: String,
    is_lifted: bool,
    lifts_parent: bool,
    has_exit_code: bool,
    action: Vec<u8>,
}

#[pymethods]
impl Encoder {
    /// `with_ids`: whether documents have ids; `rules`: of `format: ecs`, None for raw.
    ///
    /// Raises ValueError if the rules are none that this module can follow.
    #[new]
    #[pyo3(signature = (*, with_ids, rules=None))]
    fn new(with_ids: bool, rules: Option<Rules>) -> PyResult<Encoder> {
        let mapping = rules
            .map(|rules| {
                mapping_of(rules)
                    .ok_or_else(|| PyValueError::new_err("the rules have other fields"))
            })
            .transpose()?;
        Ok(Encoder {
            kernels: Kernels::detect(),
            mapping,
            with_ids,
            memory: Mutex::default(),
            density: AtomicUsize::new(2 * ONE),
        })
    }

    /// The body of a block of whole lines that begins at the offset `start`, its number of documents,
    /// and the lines that are unusual and not in it: for each the position in the body where its
    /// document belongs, and its place in the block. None if too many are unusual. `action`, `constants`: as in the template of
    /// its file; `times`: the beginning that all times have to have; `ranges`: the parts of the
    /// block that are shipped, of whole lines each, None for all of it.
    ///
    /// Raises RuntimeError if the core is at fault.
    #[pyo3(signature = (block, start, *, action, constants, times, ranges=None))]
    #[allow(clippy::too_many_arguments)]
    fn encode<'py>(
        &self,
        py: Python<'py>,
        block: &[u8],
        start: u64,
        action: &[u8],
        constants: &[u8],
        times: &[u8],
        ranges: Option<Vec<(usize, usize)>>,
    ) -> PyResult<Option<Made<'py>>> {
        let ranges = ranges.unwrap_or_else(|| vec![(0, block.len())]);
        let template = Template { action, constants, times, with_ids: self.with_ids };
        let mut out = Out::new(std::mem::take(&mut *locked(&SPARE)), self.room(block.len()));
        let result = py.detach(|| {
            let mut memory = locked(&self.memory);
            // A panic is a defect; it must not end the daemon, as PyO3's PanicException would. What
            // it leaves is overwritten by the next block.
            catch_unwind(AssertUnwindSafe(|| {
                encode(
                    &self.kernels,
                    self.mapping.as_ref(),
                    &template,
                    (block, start),
                    &ranges,
                    &mut memory,
                    &mut out,
                )
            }))
        });
        let (bytes, used) = out.into_parts();
        match result {
            Ok(Some(made)) => {
                self.learn(block.len(), used);
                let odd = made.odd.iter().map(|odd| (odd.position, odd.start, odd.end)).collect();
                Ok(Some((body(py, bytes, used)?, made.events, odd)))
            }
            Ok(None) => {
                keep(bytes);
                Ok(None)
            }
            Err(panic) => Err(PyRuntimeError::new_err(format!("native core: {}", said(&*panic)))),
        }
    }
}

/// The message of a panic.
fn said(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic")
}

/// What was written, without a copy if it is most of the buffer.
fn body(py: Python<'_>, bytes: Vec<u8>, used: usize) -> PyResult<Bound<'_, PyAny>> {
    if used < bytes.len() / 2 {
        // It may be held for long, and would hold the whole buffer.
        let copied = PyBytes::new(py, &bytes[..used]);
        keep(bytes);
        return Ok(copied.into_any());
    }
    let body = Bound::new(py, Body { bytes, used })?;
    Ok(PyMemoryView::from(&body)?.into_any())
}

/// Keeps a buffer for the next block, if it is the larger one.
fn keep(bytes: Vec<u8>) {
    let mut spare = locked(&SPARE);
    if bytes.len() > spare.len() && bytes.len() <= MAX_SPARE {
        *spare = bytes;
    }
}

/// What a panic has left behind a lock is overwritten before it is read.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn mapping_of(rules: Rules) -> Option<Mapping> {
    let event = fields(&rules.event)?;
    let body = fields(&rules.body)?;
    let process = fields(&rules.process)?;
    let kinds = rules.kinds.into_iter().map(|kind| {
        Some(EventKind {
            index: event.index(&kind.name)?,
            is_lifted: kind.is_lifted,
            lifts_parent: kind.lifts_parent,
            has_exit_code: kind.has_exit_code,
            action: kind.action,
        })
    });
    let kinds = kinds.collect::<Option<Vec<_>>>()?;
    let parent = body.index("parent")?;
    let objects = Objects { event, body, process, parent, levels: rules.levels };
    let constants = Constants {
        event: rules.event_constants,
        host_before: rules.host_before,
        host_behind: rules.host_behind,
        host: rules.host,
        tags: rules.tags,
    };
    Mapping::new(objects, kinds, constants)
}

fn fields(named: &[(String, String)]) -> Option<Fields> {
    let named: Option<Vec<_>> =
        named.iter().map(|(name, kind)| Some((name.clone(), Kind::of(kind)?))).collect();
    Fields::new(&named?)
}

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("KERNELS", Kernels::detect().name)?;
    module.add_class::<Encoder>()
}
