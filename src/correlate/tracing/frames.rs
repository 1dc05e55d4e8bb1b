//! Which frame of a stack the reader wants to see.

use crate::model::Frame;

/// Libraries that every program has; what they do is not where the program went wrong.
const SYSTEM_LIBRARIES: [&str; 8] = [
    "libc.so",
    "libc-",
    "libpthread",
    "ld-linux",
    "ld-musl",
    "[vdso]",
    "libuv.so",
    "libev",
];

/// Returns the innermost frame that is not of the C library or the runtime; the innermost at all where every frame
/// is.
pub fn innermost(stack: &[Frame]) -> Option<&Frame> {
    own_frames(stack).next().or_else(|| stack.first())
}

/// Returns the frames that are not of the C library or the runtime, the innermost first.
pub fn own_frames(stack: &[Frame]) -> impl Iterator<Item = &Frame> {
    stack.iter().filter(|frame| !is_of_runtime(frame))
}

fn is_of_runtime(frame: &Frame) -> bool {
    let is_library = SYSTEM_LIBRARIES
        .iter()
        .any(|library| frame.module.starts_with(library));
    is_library || frame.function.as_deref().is_some_and(is_runtime_function)
}

/// Functions of runtimes that are part of the executable, by the beginnings of their names.
const RUNTIME_FUNCTIONS: [&str; 24] = [
    "std::",
    "core::",
    "alloc::",
    "<std::",
    "<core::",
    "<alloc::",
    "rustix::",
    "libc::",
    "mio::",
    "tokio::",
    "<tokio::",
    "runtime.",
    "internal/",
    "syscall.",
    "net.",
    "os.",
    "sync.",
    "__libc_",
    "__GI_",
    "uv_",
    "uv__",
    "_start",
    "epoll_wait",
    "accept4",
];

fn is_runtime_function(name: &str) -> bool {
    RUNTIME_FUNCTIONS
        .iter()
        .any(|beginning| name.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(function: &str, module: &str) -> Frame {
        Frame {
            function: Some(function.to_owned()),
            module: module.to_owned(),
            ..Frame::default()
        }
    }

    #[test]
    fn the_innermost_frame_of_the_program_is_shown() {
        let stack = [
            frame("accept4", "libc.so.6"),
            frame("std::sys::accept", "server"),
            frame("handle_accept", "server"),
            frame("main", "server"),
        ];
        assert_eq!(
            innermost(&stack).unwrap().function.as_deref(),
            Some("handle_accept")
        );
        assert_eq!(innermost(&stack[..1]).unwrap().module, "libc.so.6");
        assert_eq!(innermost(&[]), None);
    }
}
