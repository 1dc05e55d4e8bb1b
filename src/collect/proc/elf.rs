//! What the executable's ELF file says of its language.

use crate::collect::kernel::{Kernel, KernelError};

/// Size of an ELF64 file header and of a section header.
const FILE_HEADER_BYTES: usize = 64;
const SECTION_HEADER_BYTES: usize = 64;
/// More section names than this are not read.
const MOST_NAME_BYTES: u64 = 64 * 1024;

/// What an executable is, as far as the program cares.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Elf {
    /// Made by the Go toolchain: it has a `.go.buildinfo` section, which stripping leaves.
    pub go: bool,
    /// A 32-bit program: its system calls are numbered differently.
    pub bits_32: bool,
}

/// Reads the executable's section names.
///
/// # Errors
///
/// When the file cannot be read. What is no ELF file is told as neither.
pub(super) fn read_elf(kernel: &mut dyn Kernel, path: &str) -> Result<Elf, KernelError> {
    let header = kernel.read_at(path, 0, FILE_HEADER_BYTES)?;
    let Some(header) = parse_file_header(&header) else {
        return Ok(Elf::default());
    };
    let Sections::At { offset } = header else {
        return Ok(Elf {
            bits_32: true,
            ..Elf::default()
        });
    };
    let section = kernel.read_at(path, offset, SECTION_HEADER_BYTES)?;
    let Some((offset, size)) = parse_section_place(&section) else {
        return Ok(Elf::default());
    };
    let size = usize::try_from(size.min(MOST_NAME_BYTES)).unwrap_or_default();
    let names = kernel.read_at(path, offset, size)?;
    Ok(Elf {
        go: names
            .split(|byte| *byte == 0)
            .any(|name| name == b".go.buildinfo"),
        bits_32: false,
    })
}

enum Sections {
    /// Where the header of the section that holds the names lies.
    At { offset: u64 },
    /// A 32-bit file.
    Bits32,
}

fn parse_file_header(header: &[u8]) -> Option<Sections> {
    if !header.starts_with(b"\x7fELF") {
        return None;
    }
    match header.get(4)? {
        1 => return Some(Sections::Bits32),
        2 => {}
        _ => return None,
    }
    let table = u64::from_ne_bytes(*header.get(40..)?.first_chunk()?); // e_shoff
    let entry = u16::from_ne_bytes(*header.get(58..)?.first_chunk()?); // e_shentsize
    let index = u16::from_ne_bytes(*header.get(62..)?.first_chunk()?); // e_shstrndx
    let offset = table.checked_add(u64::from(entry) * u64::from(index))?;
    Some(Sections::At { offset })
}

/// `sh_offset` and `sh_size` of a section header.
fn parse_section_place(section: &[u8]) -> Option<(u64, u64)> {
    Some((
        u64::from_ne_bytes(*section.get(24..)?.first_chunk()?),
        u64::from_ne_bytes(*section.get(32..)?.first_chunk()?),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_elf_file_is_told_as_nothing() {
        assert!(parse_file_header(b"#!/bin/sh\n").is_none());
        assert!(parse_file_header(b"\x7fELF\x02").is_none());
        assert!(matches!(
            parse_file_header(b"\x7fELF\x01"),
            Some(Sections::Bits32)
        ));
    }

    proptest! {
        #[test]
        fn arbitrary_headers_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut elf = b"\x7fELF\x02".to_vec();
            elf.extend(&bytes);
            let _ = parse_file_header(&elf);
            let _ = parse_section_place(&bytes);
        }
    }
}
