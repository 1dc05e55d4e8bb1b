//! Memory that the system refuses.
//!
//! The standard library ends a program by a signal then. A program that looks ends with a sentence and the exit code
//! for "could not look", also under an address-space limit (`ulimit -v`, `LimitAS=`).
#![expect(
    unsafe_code,
    reason = "an allocator is unsafe to implement; every call is passed on as it is"
)]

use std::alloc::{GlobalAlloc, Layout, System};

use closewait_doctor::cli::ExitStatus;

/// The system's allocator, without an answer of "no".
struct AllocatorOrExit;

#[global_allocator]
static ALLOCATOR: AllocatorOrExit = AllocatorOrExit;

// SAFETY: every call is passed to the system's allocator with the arguments that came, and its answer is returned.
unsafe impl GlobalAlloc for AllocatorOrExit {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract, which is the same.
        granted(unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract, which is the same.
        granted(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller keeps the contract, which is the same.
        granted(unsafe { System.realloc(memory, layout, size) })
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// Returns memory that was granted; without it, ends the program. Nothing here allocates.
fn granted(memory: *mut u8) -> *mut u8 {
    if memory.is_null() {
        let sentence =
            b"closewait-doctor: out of memory: the system or a limit (ulimit -v) refuses more\n";
        // If even this cannot be written, nothing is left to do.
        let _ = rustix::io::write(rustix::stdio::stderr(), sentence);
        leave();
    }
    memory
}

#[expect(clippy::exit, reason = "there is no memory to return an error with")]
fn leave() -> ! {
    std::process::exit(ExitStatus::CouldNotLook.code().into())
}
