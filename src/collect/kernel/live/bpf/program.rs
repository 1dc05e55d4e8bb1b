//! The program that the kernel runs for each descriptor; pure.
//!
//! In C it would be:
//!
//! ```c
//! SEC("iter/task_file") int descriptors(struct bpf_iter__task_file *ctx)
//! {
//!     if (!ctx->task || !ctx->file)
//!         return 0;
//!     struct record record = { ctx->task->tgid, ctx->task->pid, ctx->fd };
//!     struct socket *socket = bpf_sock_from_file(ctx->file);
//!     if (!socket) {
//!         record.mode = ctx->file->f_inode->i_mode;
//!     } else {
//!         record.mode = S_IFSOCK;
//!         if (socket->sk) {
//!             struct sock *sk = socket->sk;
//!             record.state = sk->__sk_common.skc_state;
//!             if (record.state > TCP_SYN_RECV) {
//!                 record.inode = ctx->file->f_inode->i_ino;
//!                 record.protocol = sk->sk_protocol;
//!                 record.netns = sk->__sk_common.skc_net.net->ns.inum;
//!             }
//!         }
//!     }
//!     bpf_seq_write(ctx->meta->seq, &record, sizeof record);
//!     return 0;
//! }
//! ```
//!
//! Most sockets of a busy host are open on both ends. They are not needed, and each field that is read
//! from one costs a cache miss.
//!
//! It is put together here, as the filter of a socket dump is, because the offsets of the fields are
//! known only on the machine it runs on. So no compiler is needed. The kernel's verifier
//! checks each access against the types.

use super::btf::Layout;

/// What the program writes of each descriptor: so many words, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    /// The process.
    pub process: u32,
    /// The thread whose table it is: the main thread, or one that has a table of its own.
    pub thread: u32,
    /// The descriptor.
    pub fd: u32,
    /// `i_mode`, whose upper bits are the kind of file.
    pub mode: u32,
    /// Of a socket: its state, as TCP numbers them. The rest is 0 where that is [`Record::OPENED`] or
    /// less.
    pub state: u32,
    /// Of a socket: `i_ino`.
    pub inode: u32,
    /// Of a socket: its protocol.
    pub protocol: u32,
    /// Of a socket: the number of its network namespace.
    pub netns: u32,
}

/// Length of a record.
pub(super) const RECORD_BYTES: usize = 32;

impl Record {
    /// `TCP_SYN_RECV`; before it come ESTABLISHED and `SYN_SENT`.
    const OPENED: u8 = 3;

    /// Decodes what the program wrote.
    pub(super) fn decode(bytes: &[u8; RECORD_BYTES]) -> Self {
        let (words, _) = bytes.as_chunks();
        let word = |index: usize| u32::from_ne_bytes(words[index]);
        Self {
            process: word(0),
            thread: word(1),
            fd: word(2),
            mode: word(3),
            state: word(4),
            inode: word(5),
            protocol: word(6),
            netns: word(7),
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
const RECORD: i16 = -32;
/// `bpf_seq_write(seq, data, length)` of `linux/bpf.h`, since 5.8.
const SEQ_WRITE: i32 = 127;
/// `bpf_sock_from_file(file)`, since 5.11.
const SOCK_FROM_FILE: i32 = 162;

const RESULT: u8 = 0;
const CONTEXT: u8 = 6;
const TASK_REGISTER: u8 = 7;
const FILE_REGISTER: u8 = 8;
const STACK: u8 = 10;

/// `S_IFSOCK` of `linux/stat.h`.
pub(super) const SOCKET: i32 = 0o140_000;

/// Instructions as `bpf(2)` takes them, 8 bytes each.
pub(super) fn assemble(layout: &Layout) -> Vec<[u8; 8]> {
    let write = write();
    let other = other(layout);
    let socket = [socket(layout), vec![skip(other.len())]].concat();
    let told_apart = [
        descriptor(layout),
        vec![
            copy(1, FILE_REGISTER),
            call(SOCK_FROM_FILE),
            skip_if_null(RESULT, socket.len()),
        ],
        socket,
        other,
        write,
    ]
    .concat();
    let begin = vec![
        copy(CONTEXT, 1),
        load(Size::Double, TASK_REGISTER, CONTEXT, TASK),
        load(Size::Double, FILE_REGISTER, CONTEXT, FILE),
        // After the last descriptor it is called once more, without one.
        skip_if_null(TASK_REGISTER, told_apart.len() + 1),
        skip_if_null(FILE_REGISTER, told_apart.len()),
    ];
    let end = vec![set(RESULT, 0), exit()];
    [begin, told_apart, end].concat()
}

/// What there is to say of every descriptor, and zeros.
fn descriptor(layout: &Layout) -> Vec<[u8; 8]> {
    vec![
        load(Size::Word, 1, TASK_REGISTER, layout.process),
        store(Size::Word, 1, RECORD),
        load(Size::Word, 1, TASK_REGISTER, layout.thread),
        store(Size::Word, 1, RECORD + 4),
        load(Size::Word, 1, CONTEXT, FD),
        store(Size::Word, 1, RECORD + 8),
        set(1, 0),
        store(Size::Word, 1, RECORD + 12),
        store(Size::Double, 1, RECORD + 16),
        store(Size::Double, 1, RECORD + 24),
    ]
}

/// What there is to say of a socket, which the result register points to.
fn socket(layout: &Layout) -> Vec<[u8; 8]> {
    let rest = vec![
        load(Size::Double, 1, FILE_REGISTER, layout.inode),
        load(Size::Double, 1, 1, layout.number),
        store(Size::Word, 1, RECORD + 20),
        load(Size::Half, 1, 2, layout.protocol),
        store(Size::Word, 1, RECORD + 24),
        load(Size::Double, 1, 2, layout.netns),
        load(Size::Word, 1, 1, layout.netns_number),
        store(Size::Word, 1, RECORD + 28),
    ];
    let state = vec![
        load(Size::Byte, 1, 2, layout.state),
        store(Size::Word, 1, RECORD + 16),
        skip_up_to(1, Record::OPENED.into(), rest.len()),
    ];
    let kind = vec![
        set(1, SOCKET),
        store(Size::Word, 1, RECORD + 12),
        load(Size::Double, 2, RESULT, layout.sock),
        skip_if_null(2, state.len() + rest.len()),
    ];
    [kind, state, rest].concat()
}

/// What there is to say of another file.
fn other(layout: &Layout) -> Vec<[u8; 8]> {
    vec![
        load(Size::Double, 1, FILE_REGISTER, layout.inode),
        load(Size::Half, 1, 1, layout.mode),
        store(Size::Word, 1, RECORD + 12),
    ]
}

fn write() -> Vec<[u8; 8]> {
    vec![
        load(Size::Double, 1, CONTEXT, META),
        load(Size::Double, 1, 1, SEQ),
        copy(2, STACK),
        add(2, RECORD.into()),
        set(3, 32),
        call(SEQ_WRITE),
    ]
}

#[derive(Clone, Copy)]
enum Size {
    Byte,
    Half,
    Word,
    Double,
}

impl Size {
    fn code(self) -> u8 {
        match self {
            Self::Word => 0x00,
            Self::Half => 0x08,
            Self::Byte => 0x10,
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

/// `BPF_JMP | BPF_JA`: passes over so many instructions.
fn skip(instructions: usize) -> [u8; 8] {
    instruction(0x05, 0, 0, distance(instructions), 0)
}

/// `BPF_JMP | BPF_JEQ | BPF_K`
fn skip_if_null(register: u8, instructions: usize) -> [u8; 8] {
    instruction(0x15, register, 0, distance(instructions), 0)
}

/// `BPF_JMP | BPF_JLE | BPF_K`
fn skip_up_to(register: u8, most: i32, instructions: usize) -> [u8; 8] {
    instruction(0xb5, register, 0, distance(instructions), most)
}

fn distance(instructions: usize) -> i16 {
    i16::try_from(instructions).expect("the program is short")
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
    use super::super::btf::SAMPLE;
    use super::*;

    #[test]
    fn what_is_not_there_is_passed_over_to_the_next_part() {
        let program = assemble(&SAMPLE);
        let is_jump = |code: u8| code & 0x07 == 0x05 && code != 0x85 && code != 0x95;
        let landings: Vec<[u8; 8]> = program
            .iter()
            .enumerate()
            .filter(|(_, instruction)| is_jump(instruction[0]))
            .map(|(at, jump)| {
                let skipped = i16::from_ne_bytes([jump[2], jump[3]]);
                program[at + 1 + usize::try_from(skipped).unwrap()]
            })
            .collect();
        let end = set(RESULT, 0);
        let (other, write) = (other(&SAMPLE)[0], write()[0]);
        let after_socket = skip(3);
        let expected = [end, end, other, after_socket, after_socket, write];
        assert_eq!(landings, expected);
    }

    #[test]
    fn a_record_is_decoded_as_it_was_written() {
        let mut bytes = [0; RECORD_BYTES];
        for (at, word) in [12_u32, 13, 3, 0o140_777, 7, 77, 6, 9]
            .into_iter()
            .enumerate()
        {
            bytes[4 * at..4 * at + 4].copy_from_slice(&word.to_ne_bytes());
        }
        let expected = Record {
            process: 12,
            thread: 13,
            fd: 3,
            mode: 0o140_777,
            inode: 77,
            state: 7,
            protocol: 6,
            netns: 9,
        };
        assert_eq!(Record::decode(&bytes), expected);
    }
}
