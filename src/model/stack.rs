//! Stacks of threads.

/// One function on the stack of a thread.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Frame {
    /// The name of the function, demangled; none where no symbol covers the address.
    pub function: Option<String>,
    /// The name of the source file, without its folders.
    pub file: Option<String>,
    /// The line in it.
    pub line: Option<u32>,
    /// The name of the executable or library, without its folders.
    pub module: String,
    /// The address within that file.
    pub offset: u64,
    /// Whether the compiler has put this function into the one that follows.
    pub inlined: bool,
}
