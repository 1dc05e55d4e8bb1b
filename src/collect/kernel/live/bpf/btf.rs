//! Where the running kernel keeps the few fields that the program reads (`/sys/kernel/btf/vmlinux`);
//! pure.
//!
//! The format is that of `Documentation/bpf/btf.rst`. The file has some 120,000 types in 5 MB and is
//! passed through piece by piece, the names first: nothing of it is kept.

use std::ops::Range;

/// Offsets in bytes, and what the program is attached to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// `task_struct.tgid`, the process.
    pub process: i16,
    /// `task_struct.pid`, the thread.
    pub thread: i16,
    /// `file.f_inode`.
    pub inode: i16,
    /// `inode.i_mode`.
    pub mode: i16,
    /// `inode.i_ino`.
    pub number: i16,
    /// `socket.sk`.
    pub sock: i16,
    /// `sock.__sk_common.skc_state`; the common part comes first.
    pub state: i16,
    /// `sock.sk_protocol`.
    pub protocol: i16,
    /// `sock.__sk_common.skc_net`.
    pub netns: i16,
    /// `net.ns.inum`.
    pub netns_number: i16,
    /// The type id of the function that stands for the iterator.
    pub iterator: u32,
}

/// The fields that are looked for: structure and member.
const FIELDS: [(&str, &str); 11] = [
    ("task_struct", "tgid"),
    ("task_struct", "pid"),
    ("file", "f_inode"),
    ("inode", "i_mode"),
    ("inode", "i_ino"),
    ("socket", "sk"),
    ("sock_common", "skc_state"),
    ("sock", "sk_protocol"),
    ("sock_common", "skc_net"),
    ("net", "ns"),
    ("ns_common", "inum"),
];
const ITERATOR: &str = "bpf_iter_task_file";

const MAGIC: u16 = 0xeb9f;
/// Length of `struct btf_header`.
pub(super) const HEADER_BYTES: usize = 24;
/// `struct btf_type`: `name_off`, `info`, `size` or `type`.
const TYPE_BYTES: usize = 12;
const WORD: usize = 4;
/// `struct btf_member`: `name_off`, `type`, `offset`; `btf_array`, `btf_var_secinfo` and
/// `btf_enum64` are as long.
const TRIPLE: usize = 3 * WORD;
const PAIR: usize = 2 * WORD;

/// `BTF_KIND_STRUCT` and `BTF_KIND_FUNC`.
const STRUCT: u32 = 4;
const FUNC: u32 = 12;

/// Where types and strings lie in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sections {
    pub types: Range<u64>,
    pub strings: Range<u64>,
}

impl Sections {
    /// Decodes the header: magic, version, flags, its length, then offset and length of types and of
    /// strings, counted from its end.
    pub(super) fn decode(header: &[u8; HEADER_BYTES]) -> Option<Self> {
        if u16::from_ne_bytes([header[0], header[1]]) != MAGIC {
            return None;
        }
        let word = |at| word(header, at).map(u64::from);
        let body = word(4)?;
        let section = |offset, length| {
            let start = body + word(offset)?;
            Some(start..start + word(length)?)
        };
        Some(Self {
            types: section(8, 12)?,
            strings: section(16, 20)?,
        })
    }
}

/// Looks for the names among the strings, which are fed to it piece by piece.
#[derive(Debug)]
pub(super) struct Names {
    /// Each name, and where it was found.
    names: Vec<(&'static str, Option<u32>)>,
    /// Of the next piece.
    offset: u32,
}

impl Names {
    pub(super) fn new() -> Self {
        let fields = FIELDS
            .iter()
            .flat_map(|(structure, member)| [*structure, *member]);
        let mut names: Vec<&str> = fields.chain([ITERATOR]).collect();
        names.sort_unstable();
        names.dedup();
        Self {
            names: names.into_iter().map(|name| (name, None)).collect(),
            offset: 0,
        }
    }

    /// Takes whole strings off the front, and tells how many bytes that were.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut fed = 0;
        for string in bytes.split_inclusive(|byte| *byte == 0) {
            let Some(name) = string.strip_suffix(&[0]) else {
                break;
            };
            let known = self
                .names
                .iter_mut()
                .find(|(known, _)| known.as_bytes() == name);
            if let Some((_, offset)) = known {
                *offset = Some(self.offset);
            }
            fed += string.len();
            self.offset = self.offset.checked_add(string.len().try_into().ok()?)?;
        }
        Some(fed)
    }

    fn of(&self, name: &str) -> Option<u32> {
        self.names.iter().find(|(known, _)| *known == name)?.1
    }
}

/// Looks for the fields among the types, which are fed to it piece by piece.
#[derive(Debug)]
pub(super) struct Types {
    /// Names of [`FIELDS`], as strings are referred to.
    fields: [(u32, u32); FIELDS.len()],
    iterator_name: u32,
    /// Of the next type; 0 is void.
    id: u32,
    offsets: [Option<i16>; FIELDS.len()],
    iterator: Option<u32>,
}

impl Types {
    /// Nothing where not even the names are there.
    pub(super) fn new(names: &Names) -> Option<Self> {
        let mut fields = [(0, 0); FIELDS.len()];
        for (field, (structure, member)) in fields.iter_mut().zip(FIELDS) {
            *field = (names.of(structure)?, names.of(member)?);
        }
        Some(Self {
            fields,
            iterator_name: names.of(ITERATOR)?,
            id: 1,
            offsets: [None; FIELDS.len()],
            iterator: None,
        })
    }

    /// Takes whole types off the front, and tells how many bytes that were; nothing where one is not
    /// as documented.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut rest = bytes;
        while let Some(info) = word(rest, WORD) {
            let kind = info >> 24 & 0x1f;
            let count = (info & 0xffff) as usize;
            let extra = match kind {
                // INT, VAR, DECL_TAG
                1 | 14 | 17 => WORD,
                // ARRAY
                3 => TRIPLE,
                // STRUCT, UNION, DATASEC, ENUM64
                4 | 5 | 15 | 19 => count * TRIPLE,
                // ENUM, FUNC_PROTO
                6 | 13 => count * PAIR,
                // PTR, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, FLOAT, TYPE_TAG
                2 | 7..=12 | 16 | 18 => 0,
                _ => return None,
            };
            let Some(members) = rest.get(TYPE_BYTES..TYPE_BYTES + extra) else {
                break;
            };
            self.note(kind, word(rest, 0)?, members)?;
            self.id = self.id.checked_add(1)?;
            rest = &rest[TYPE_BYTES + extra..];
        }
        Some(bytes.len() - rest.len())
    }

    /// Gives up where two structures of one name differ: which is meant cannot be told.
    fn note(&mut self, kind: u32, name: u32, members: &[u8]) -> Option<()> {
        match kind {
            FUNC if name == self.iterator_name => same(&mut self.iterator, self.id),
            STRUCT => {
                let fields = self.fields.iter().zip(&mut self.offsets);
                for ((_, wanted), offset) in fields.filter(|((structure, _), _)| *structure == name)
                {
                    same(offset, member(members, *wanted)?)?;
                }
                Some(())
            }
            _ => Some(()),
        }
    }

    /// What was found; nothing where the kernel is not as the program expects it.
    pub(super) fn layout(&self) -> Option<Layout> {
        let mut offsets = self.offsets.iter().copied();
        let mut next = || offsets.next().flatten();
        Some(Layout {
            process: next()?,
            thread: next()?,
            inode: next()?,
            mode: next()?,
            number: next()?,
            sock: next()?,
            state: next()?,
            protocol: next()?,
            netns: next()?,
            netns_number: next()?.checked_add(next()?)?,
            iterator: self.iterator?,
        })
    }
}

/// Offset of a member in bytes; nothing for one that is not there, or a bit field.
fn member(members: &[u8], name: u32) -> Option<i16> {
    let member = members
        .chunks_exact(TRIPLE)
        .find(|member| word(member, 0) == Some(name))?;
    let bits = word(member, PAIR)?;
    if !bits.is_multiple_of(8) {
        return None;
    }
    // A bit field has its width in the upper byte, and is out of range with it.
    i16::try_from(bits / 8).ok()
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn same<T: Copy + PartialEq>(known: &mut Option<T>, new: T) -> Option<()> {
    (*known.get_or_insert(new) == new).then_some(())
}

/// What the tests of this folder take for a kernel's.
#[cfg(test)]
pub(super) const SAMPLE: Layout = Layout {
    process: 1204,
    thread: 1200,
    inode: 32,
    mode: 0,
    number: 64,
    sock: 24,
    state: 18,
    protocol: 532,
    netns: 48,
    netns_number: 136,
    iterator: 10,
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Builds what `pahole` would.
    #[derive(Default)]
    struct Builder {
        types: Vec<u8>,
        strings: Vec<u8>,
        known: Vec<(String, u32)>,
    }

    impl Builder {
        /// Each string is there once.
        fn string(&mut self, text: &str) -> u32 {
            let known = self.known.iter().find(|(known, _)| known == text);
            match known {
                Some((_, at)) => *at,
                None => self.new_string(text),
            }
        }

        fn new_string(&mut self, text: &str) -> u32 {
            let at = u32::try_from(self.strings.len()).unwrap();
            self.strings.extend(text.as_bytes());
            self.strings.push(0);
            self.known.push((text.to_owned(), at));
            at
        }

        fn words(&mut self, words: &[u32]) {
            self.types
                .extend(words.iter().flat_map(|word| word.to_ne_bytes()));
        }

        fn structure(&mut self, name: &str, members: &[(&str, u32)]) {
            let name = self.string(name);
            let count = u32::try_from(members.len()).unwrap();
            self.words(&[name, STRUCT << 24 | count, 0]);
            for (member, bytes) in members {
                let member = self.string(member);
                self.words(&[member, 1, bytes * 8]);
            }
        }

        fn finish(self) -> Vec<u8> {
            let types = u32::try_from(self.types.len()).unwrap();
            let strings = u32::try_from(self.strings.len()).unwrap();
            let mut bytes = MAGIC.to_ne_bytes().to_vec();
            bytes.extend([1, 0]); // version, flags
            for word in [24, 0, types, types, strings] {
                bytes.extend(u32::to_ne_bytes(word));
            }
            [bytes, self.types, self.strings].concat()
        }
    }

    /// Reads it in pieces of this many bytes.
    fn read_by(bytes: &[u8], piece: usize) -> Option<Layout> {
        let sections = Sections::decode(bytes.first_chunk()?)?;
        let part = |range: Range<u64>| {
            let start = usize::try_from(range.start).ok()?;
            bytes.get(start..usize::try_from(range.end).ok()?)
        };
        let mut names = Names::new();
        feed(part(sections.strings)?, piece, |bytes| names.feed(bytes))?;
        let mut types = Types::new(&names)?;
        feed(part(sections.types)?, piece, |bytes| types.feed(bytes))?;
        types.layout()
    }

    fn feed(
        bytes: &[u8],
        piece: usize,
        mut each: impl FnMut(&[u8]) -> Option<usize>,
    ) -> Option<()> {
        let (mut from, mut to) = (0, 0);
        while to < bytes.len() {
            to = (to + piece).min(bytes.len());
            from += each(&bytes[from..to])?;
        }
        (from == to).then_some(())
    }

    fn layout(bytes: &[u8]) -> Option<Layout> {
        read_by(bytes, 4096)
    }

    fn kernel() -> Builder {
        let mut builder = Builder::default();
        builder.string("");
        let int = builder.string("int");
        builder.words(&[int, 1 << 24, 4, 32]);
        builder.structure(
            "task_struct",
            &[("state", 0), ("pid", 1200), ("tgid", 1204)],
        );
        builder.structure("files_struct", &[("count", 0)]);
        builder.structure("file", &[("f_mode", 4), ("f_inode", 32)]);
        builder.structure("inode", &[("i_mode", 0), ("i_ino", 64)]);
        builder.structure("socket", &[("state", 0), ("sk", 24)]);
        builder.structure("sock_common", &[("skc_state", 18), ("skc_net", 48)]);
        builder.structure("sock", &[("__sk_common", 0), ("sk_protocol", 532)]);
        builder.structure("ns_common", &[("inum", 16)]);
        let function = builder.string(ITERATOR);
        builder.words(&[function, FUNC << 24, 1]);
        builder.structure("net", &[("ns", 120)]);
        builder
    }

    #[test]
    fn fields_are_found_by_name() {
        for piece in [1, 7, 64, 4096] {
            assert_eq!(read_by(&kernel().finish(), piece), Some(SAMPLE), "{piece}");
        }
    }

    #[test]
    fn two_structures_of_one_name_that_differ_are_not_guessed_between() {
        let mut builder = kernel();
        builder.structure("file", &[("f_inode", 32)]);
        assert!(layout(&builder.finish()).is_some());
        let mut builder = kernel();
        builder.structure("file", &[("f_inode", 40)]);
        assert_eq!(layout(&builder.finish()), None);
    }

    #[test]
    fn a_kernel_without_the_iterator_or_a_field_has_no_layout() {
        let mut builder = Builder::default();
        builder.structure("task_struct", &[("pid", 1200)]);
        assert_eq!(layout(&builder.finish()), None);
        assert_eq!(layout(b""), None);
    }

    proptest! {
        #[test]
        fn damaged_type_information_never_panics(
            changes in proptest::collection::vec((0_usize..800, any::<u8>()), 0..8),
            cut in 0_usize..800,
        ) {
            let mut bytes = kernel().finish();
            for (place, value) in changes {
                if let Some(byte) = bytes.get_mut(place) {
                    *byte = value;
                }
            }
            bytes.truncate(cut.max(2));
            layout(&bytes);
        }
    }
}
