//! The program that the kernel runs for each descriptor; pure.
//!
//! In C it would be:
//!
//! ```c
//! SEC("iter/task_file") int descriptors(struct bpf_iter__task_file *ctx)
//! {
//!     if (!ctx->task || !ctx->file)
//!         return 0;
//!     struct inode *inode = ctx->file->f_inode;
//!     struct record record = {
//!         ctx->task->tgid, ctx->task->pid, ctx->fd, inode->i_mode, inode->i_ino,
//!     };
//!     bpf_seq_write(ctx->meta->seq, &record, sizeof record);
//!     return 0;
//! }
//! ```
//!
//! It is put together here, as the filter of a socket dump is, because the offsets of the fields are
//! known only on the machine it runs on; so nobody needs a compiler for it. The kernel's verifier
//! checks each access against the types.

use super::btf::Layout;

/// What the program writes of each descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    /// The process.
    pub tgid: u32,
    /// The thread whose table it is: the main thread, or one that has a table of its own.
    pub tid: u32,
    /// The descriptor.
    pub fd: u32,
    /// `i_mode`, whose upper bits are the kind of file.
    pub mode: u32,
    /// `i_ino`.
    pub inode: u64,
}

/// Length of a record: four words and a double word.
pub(super) const RECORD_BYTES: usize = 24;

impl Record {
    /// Decodes what the program wrote.
    pub(super) fn decode(bytes: &[u8; RECORD_BYTES]) -> Self {
        let word = |at: usize| {
            u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let mut inode = [0; 8];
        inode.copy_from_slice(&bytes[16..]);
        Self {
            tgid: word(0),
            tid: word(4),
            fd: word(8),
            mode: word(12),
            inode: u64::from_ne_bytes(inode),
        }
    }
}

/// Arguments of the iterator's function, each 8 bytes of the context: `meta`, `task`, `fd`, `file`.
const META: i16 = 0;
const TASK: i16 = 8;
const FD: i16 = 16;
const FILE: i16 = 24;

/// `seq` is the first member of `struct bpf_iter_meta`.
const SEQ: i16 = 0;
/// Where the record lies on the stack, which ends at register 10.
const RECORD: i16 = -24;
/// `bpf_seq_write(seq, data, length)` of `linux/bpf.h`, since 5.8.
const SEQ_WRITE: i32 = 127;

const CONTEXT: u8 = 6;
const TASK_REGISTER: u8 = 7;
const FILE_REGISTER: u8 = 8;
const STACK: u8 = 10;

/// Instructions as `bpf(2)` takes them, 8 bytes each.
pub(super) fn assemble(layout: &Layout) -> Vec<[u8; 8]> {
    vec![
        copy(CONTEXT, 1),
        load(Size::Double, TASK_REGISTER, CONTEXT, TASK),
        // After the last descriptor it is called once more, without one.
        skip_if_null(TASK_REGISTER, 19),
        load(Size::Double, FILE_REGISTER, CONTEXT, FILE),
        skip_if_null(FILE_REGISTER, 17),
        load(Size::Word, 1, TASK_REGISTER, layout.tgid),
        store(Size::Word, 1, RECORD),
        load(Size::Word, 1, TASK_REGISTER, layout.tid),
        store(Size::Word, 1, RECORD + 4),
        load(Size::Word, 1, CONTEXT, FD),
        store(Size::Word, 1, RECORD + 8),
        load(Size::Double, 2, FILE_REGISTER, layout.inode),
        load(Size::Half, 1, 2, layout.mode),
        store(Size::Word, 1, RECORD + 12),
        load(Size::Double, 1, 2, layout.number),
        store(Size::Double, 1, RECORD + 16),
        load(Size::Double, 1, CONTEXT, META),
        load(Size::Double, 1, 1, SEQ),
        copy(2, STACK),
        add(2, RECORD.into()),
        set(3, 24),
        call(SEQ_WRITE),
        set(0, 0),
        exit(),
    ]
}

#[derive(Clone, Copy)]
enum Size {
    Half,
    Word,
    Double,
}

impl Size {
    fn code(self) -> u8 {
        match self {
            Self::Word => 0x00,
            Self::Half => 0x08,
            Self::Double => 0x18,
        }
    }
}

/// `BPF_LDX | BPF_MEM`
fn load(size: Size, to: u8, from: u8, offset: i16) -> [u8; 8] {
    instruction(0x61 | size.code(), to, from, offset, 0)
}

/// `BPF_STX | BPF_MEM`, to the stack
fn store(size: Size, from: u8, offset: i16) -> [u8; 8] {
    instruction(0x63 | size.code(), STACK, from, offset, 0)
}

/// `BPF_ALU64 | BPF_MOV | BPF_X`
fn copy(to: u8, from: u8) -> [u8; 8] {
    instruction(0xbf, to, from, 0, 0)
}

/// `BPF_ALU64 | BPF_MOV | BPF_K`
fn set(to: u8, value: i32) -> [u8; 8] {
    instruction(0xb7, to, 0, 0, value)
}

/// `BPF_ALU64 | BPF_ADD | BPF_K`
fn add(to: u8, value: i32) -> [u8; 8] {
    instruction(0x07, to, 0, 0, value)
}

/// `BPF_JMP | BPF_JEQ | BPF_K`: passes over so many instructions.
fn skip_if_null(register: u8, instructions: i16) -> [u8; 8] {
    instruction(0x15, register, 0, instructions, 0)
}

/// `BPF_JMP | BPF_CALL`
fn call(helper: i32) -> [u8; 8] {
    instruction(0x85, 0, 0, 0, helper)
}

/// `BPF_JMP | BPF_EXIT`
fn exit() -> [u8; 8] {
    instruction(0x95, 0, 0, 0, 0)
}

/// `struct bpf_insn`: the two registers share a byte, whose halves follow the byte order.
fn instruction(code: u8, to: u8, from: u8, offset: i16, value: i32) -> [u8; 8] {
    let registers = if cfg!(target_endian = "little") {
        from << 4 | to
    } else {
        to << 4 | from
    };
    let [o0, o1] = offset.to_ne_bytes();
    let [v0, v1, v2, v3] = value.to_ne_bytes();
    [code, registers, o0, o1, v0, v1, v2, v3]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_no_file_goes_on_to_the_end() {
        let layout = Layout {
            tgid: 1204,
            tid: 1200,
            inode: 32,
            mode: 0,
            number: 64,
            iterator: 7,
        };
        let program = assemble(&layout);
        let end = program.len() - 2;
        for (at, instruction) in program.iter().enumerate() {
            if instruction[0] == 0x15 {
                let skipped = i16::from_ne_bytes([instruction[2], instruction[3]]);
                assert_eq!(at + 1 + usize::try_from(skipped).unwrap(), end);
            }
        }
        assert_eq!(program[end], set(0, 0));
    }

    #[test]
    fn a_record_is_decoded_as_it_was_written() {
        let mut bytes = [0; RECORD_BYTES];
        for (at, word) in [12_u32, 13, 3, 0o140_777].into_iter().enumerate() {
            bytes[4 * at..4 * at + 4].copy_from_slice(&word.to_ne_bytes());
        }
        bytes[16..].copy_from_slice(&77_u64.to_ne_bytes());
        let record = Record::decode(&bytes);
        assert_eq!((record.tgid, record.tid, record.fd), (12, 13, 3));
        assert_eq!((record.mode, record.inode), (0o140_777, 77));
    }
}
