//! Where the running kernel keeps the few fields that the program reads (`/sys/kernel/btf/vmlinux`);
//! pure.
//!
//! The format is that of `Documentation/bpf/btf.rst`. Only what is asked for is looked at: a library
//! that reads all 130,000 types takes ten times as long and 30 MiB (`docs/decisions`).

/// Offsets in bytes, and what the program is attached to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// `task_struct.tgid`, the process.
    pub tgid: i16,
    /// `task_struct.pid`, the thread.
    pub tid: i16,
    /// `file.f_inode`.
    pub inode: i16,
    /// `inode.i_mode`.
    pub mode: i16,
    /// `inode.i_ino`.
    pub number: i16,
    /// The type id of the function that stands for the iterator.
    pub iterator: u32,
}

const MAGIC: u16 = 0xeb9f;
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

/// Finds the layout; nothing where the kernel is not as the program expects it.
pub(super) fn layout(btf: &[u8]) -> Option<Layout> {
    let btf = Btf::split(btf)?;
    let mut found = Found::default();
    btf.for_each_type(|id, kind, name, members| match kind {
        STRUCT => found.note_members(&btf, name, members),
        FUNC if btf.is_named(name, "bpf_iter_task_file") => {
            found.iterator = Some(id);
            Some(())
        }
        _ => Some(()),
    })?;
    found.layout()
}

struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
}

impl<'a> Btf<'a> {
    /// The header: magic, version, flags, its length, then offset and length of types and strings.
    fn split(bytes: &'a [u8]) -> Option<Self> {
        if u16::from_ne_bytes(*bytes.first_chunk()?) != MAGIC {
            return None;
        }
        let word = |at: usize| word(bytes, at);
        let body = bytes.get(word(4)?..)?;
        let part = |offset: usize, length: usize| body.get(offset..)?.get(..length);
        Some(Self {
            types: part(word(8)?, word(12)?)?,
            strings: part(word(16)?, word(20)?)?,
        })
    }

    fn is_named(&self, name: usize, wanted: &str) -> bool {
        self.strings
            .get(name..)
            .and_then(|rest| rest.strip_prefix(wanted.as_bytes()))
            .is_some_and(|rest| rest.first() == Some(&0))
    }

    /// Calls with id, kind, name and members of each type; nothing where one is not as documented,
    /// or `each` gives up.
    fn for_each_type(
        &self,
        mut each: impl FnMut(u32, u32, usize, &'a [u8]) -> Option<()>,
    ) -> Option<()> {
        let mut rest = self.types;
        // 0 is void.
        let mut id = 1;
        while !rest.is_empty() {
            let info = u32::try_from(word(rest, WORD)?).ok()?;
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
            let members = rest.get(TYPE_BYTES..TYPE_BYTES + extra)?;
            each(id, kind, word(rest, 0)?, members)?;
            rest = &rest[TYPE_BYTES + extra..];
            id += 1;
        }
        Some(())
    }

    /// Offset of a member in bytes; nothing for one that is not there, or a bit field.
    fn member(&self, members: &[u8], wanted: &str) -> Option<i16> {
        let member = members
            .chunks_exact(TRIPLE)
            .find(|member| word(member, 0).is_some_and(|name| self.is_named(name, wanted)))?;
        let bits = word(member, PAIR)?;
        if !bits.is_multiple_of(8) {
            return None;
        }
        // A bit field has its width in the upper byte, and is out of range with it.
        i16::try_from(bits / 8).ok()
    }
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    let word = u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?);
    usize::try_from(word).ok()
}

#[derive(Default)]
struct Found {
    task: Option<(i16, i16)>,
    file: Option<i16>,
    inode: Option<(i16, i16)>,
    iterator: Option<u32>,
}

impl Found {
    /// Gives up where two structures of one name differ: which is meant cannot be told.
    fn note_members(&mut self, btf: &Btf, name: usize, members: &[u8]) -> Option<()> {
        let member = |wanted| btf.member(members, wanted);
        if btf.is_named(name, "task_struct") {
            same(&mut self.task, (member("tgid")?, member("pid")?))
        } else if btf.is_named(name, "file") {
            same(&mut self.file, member("f_inode")?)
        } else if btf.is_named(name, "inode") {
            same(&mut self.inode, (member("i_mode")?, member("i_ino")?))
        } else {
            Some(())
        }
    }

    fn layout(self) -> Option<Layout> {
        let (process, thread) = self.task?;
        let (mode, number) = self.inode?;
        Some(Layout {
            tgid: process,
            tid: thread,
            inode: self.file?,
            mode,
            number,
            iterator: self.iterator?,
        })
    }
}

fn same<T: Copy + PartialEq>(known: &mut Option<T>, new: T) -> Option<()> {
    (*known.get_or_insert(new) == new).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Builds what `pahole` would.
    #[derive(Default)]
    struct Builder {
        types: Vec<u8>,
        strings: Vec<u8>,
    }

    impl Builder {
        fn string(&mut self, text: &str) -> u32 {
            let at = u32::try_from(self.strings.len()).unwrap();
            self.strings.extend(text.as_bytes());
            self.strings.push(0);
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
        let function = builder.string("bpf_iter_task_file");
        builder.words(&[function, FUNC << 24, 1]);
        builder
    }

    #[test]
    fn fields_are_found_by_name() {
        let expected = Layout {
            tgid: 1204,
            tid: 1200,
            inode: 32,
            mode: 0,
            number: 64,
            iterator: 6,
        };
        assert_eq!(layout(&kernel().finish()), Some(expected));
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
            changes in proptest::collection::vec((0_usize..400, any::<u8>()), 0..8),
            cut in 0_usize..400,
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
