//! Keeps a descriptor that this program inherited from the helper process.
#![expect(
    unsafe_code,
    reason = "a descriptor that was inherited is known by its number alone, and no safe type holds it"
)]

use std::os::fd::BorrowedFd;

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

/// Makes a descriptor of ours close in what we start, so that its number is free there. A number that
/// is not open is left alone, and so are the standard streams.
pub(super) fn keep_from_helper(number: u32) {
    const STANDARD_STREAMS: i32 = 3;
    let Ok(raw) = i32::try_from(number) else {
        return;
    };
    if raw < STANDARD_STREAMS {
        return;
    }
    // SAFETY: the number is only passed to `fcntl`, which answers EBADF where it is not open; nothing
    // is read, written or closed through it. -1 is excluded above.
    let descriptor = unsafe { BorrowedFd::borrow_raw(raw) };
    if let Ok(flags) = fcntl_getfd(descriptor) {
        // Where this fails, the helper says that the number is taken.
        let _ = fcntl_setfd(descriptor, flags | FdFlags::CLOEXEC);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn what_was_inherited_is_closed_in_the_helper() {
        let file = File::open("/dev/null").unwrap();
        fcntl_setfd(&file, FdFlags::empty()).unwrap();
        keep_from_helper(u32::try_from(file.as_raw_fd()).unwrap());
        assert!(fcntl_getfd(&file).unwrap().contains(FdFlags::CLOEXEC));
    }

    #[test]
    fn a_number_that_is_not_open_does_no_harm() {
        keep_from_helper(1_000_000);
        keep_from_helper(u32::MAX);
    }
}
