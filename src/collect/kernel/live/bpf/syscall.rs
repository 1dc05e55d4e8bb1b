//! `bpf(2)`, which no safe wrapper that is small enough offers: loading a program, attaching it to an
//! iterator, and opening the iterator.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Commands of `enum bpf_cmd`.
const PROG_LOAD: libc::c_int = 5;
const LINK_CREATE: libc::c_int = 28;
const ITER_CREATE: libc::c_int = 33;

/// `BPF_PROG_TYPE_TRACING` and `BPF_TRACE_ITER`.
const TRACING: u32 = 26;
const TRACE_ITER: u32 = 28;

/// The part of `union bpf_attr` that loads a program, up to `attach_prog_fd`.
#[repr(C)]
#[derive(Default)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
    prog_btf_fd: u32,
    func_info_rec_size: u32,
    func_info: u64,
    func_info_cnt: u32,
    line_info_rec_size: u32,
    line_info: u64,
    line_info_cnt: u32,
    attach_btf_id: u32,
    attach_prog_fd: u32,
    padding: u32,
}

/// The part that attaches it.
#[repr(C)]
struct Link {
    prog_fd: u32,
    target_fd: u32,
    attach_type: u32,
    flags: u32,
}

/// The part that opens an iterator.
#[repr(C)]
struct Iter {
    link_fd: u32,
    flags: u32,
}

/// Loads a program for the iterator of this type id, and opens that; reading the file runs it. All of
/// it is gone when the file is closed.
pub(super) fn open_iterator(program: &[[u8; 8]], iterator: u32) -> io::Result<File> {
    // What calls `bpf_seq_write` has to be under the GPL, as the kernel is that it becomes part of.
    let license = c"GPL";
    let mut name = [0; 16];
    name[..9].copy_from_slice(b"closewait");
    let load = Load {
        prog_type: TRACING,
        insn_cnt: u32::try_from(program.len()).map_err(io::Error::other)?,
        insns: program.as_ptr() as u64,
        license: license.as_ptr() as u64,
        prog_name: name,
        expected_attach_type: TRACE_ITER,
        attach_btf_id: iterator,
        ..Load::default()
    };
    let program = bpf(PROG_LOAD, &load)?;
    let link = bpf(
        LINK_CREATE,
        &Link {
            prog_fd: number(&program)?,
            target_fd: 0,
            attach_type: TRACE_ITER,
            flags: 0,
        },
    )?;
    let iterator = bpf(
        ITER_CREATE,
        &Iter {
            link_fd: number(&link)?,
            flags: 0,
        },
    )?;
    Ok(File::from(iterator))
}

fn number(fd: &OwnedFd) -> io::Result<u32> {
    u32::try_from(fd.as_raw_fd()).map_err(io::Error::other)
}

/// `T` is a part of `union bpf_attr`; what it points to outlives the call.
fn bpf<T>(command: libc::c_int, attribute: &T) -> io::Result<OwnedFd> {
    #[expect(
        unsafe_code,
        reason = "there is no safe wrapper of bpf(2) without a loader around it"
    )]
    // SAFETY: the kernel reads `size_of::<T>()` bytes of the attribute, which is a plain structure
    // without uninitialised padding, and what its pointers lead to: instructions and a string that the
    // caller keeps until this returns. It writes nothing, since no log was asked for.
    let returned = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(attribute),
            size_of::<T>(),
        )
    };
    let fd = i32::try_from(returned).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    #[expect(
        unsafe_code,
        reason = "the descriptor comes from a system call that std does not know"
    )]
    // SAFETY: each of the commands returns a new descriptor, which nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
