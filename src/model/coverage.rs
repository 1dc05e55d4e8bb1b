//! How much of each source was read. This travels with the data; only rules and reports turn it into a
//! verdict.

use super::Gap;

/// How much of a source was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Extent {
    /// It was not needed.
    #[default]
    NotNeeded,
    /// It was read to its end.
    Whole,
    /// It was read in part, for this reason.
    Partly(Gap),
    /// It was not read at all, for this reason.
    Unread(Gap),
}

impl Extent {
    /// Returns whether it was read to its end.
    pub fn is_whole(self) -> bool {
        self == Self::Whole
    }

    /// Returns why it was not read to its end, if it was needed.
    pub fn gap(self) -> Option<Gap> {
        match self {
            Self::NotNeeded | Self::Whole => None,
            Self::Partly(gap) | Self::Unread(gap) => Some(gap),
        }
    }

    /// Notes that something of it is missing. What is missing already stays the reason.
    pub fn lacks(&mut self, gap: Gap) {
        if self.gap().is_none() {
            *self = Self::Partly(gap);
        }
    }

    /// Whole, or partly for this reason.
    pub fn up_to(gap: Option<Gap>) -> Self {
        gap.map_or(Self::Whole, Self::Partly)
    }
}

/// How much of each source was read, in one network namespace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Listeners and connections in every state, in one table: what is missing in it was missing in
    /// the kernel's list as well.
    pub sockets: Extent,
    /// The listeners, with their queues.
    pub listeners: Extent,
    /// The connections in `CLOSE_WAIT`.
    pub close_wait: Extent,
    /// The descriptor tables of all processes.
    pub holders: Extent,
    /// Where sockets are held besides: tables of single threads, `io_uring` instances, and messages in
    /// flight over unix sockets.
    pub hidden: Extent,
    /// Descriptors of connections that no longer exist.
    pub dead: Extent,
}

impl Coverage {
    /// Sockets of which this much was read, whatever their state; nothing else yet.
    pub fn of_sockets(extent: Extent) -> Self {
        Self {
            sockets: extent,
            listeners: extent,
            close_wait: extent,
            ..Self::default()
        }
    }

    /// Returns what two sources together cover: what is missing in one is missing.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        for (mine, its) in [
            (&mut self.sockets, other.sockets),
            (&mut self.listeners, other.listeners),
            (&mut self.close_wait, other.close_wait),
            (&mut self.holders, other.holders),
            (&mut self.hidden, other.hidden),
            (&mut self.dead, other.dead),
        ] {
            if let Some(gap) = its.gap() {
                mine.lacks(gap);
            }
        }
        self
    }

    /// Notes that some sockets are missing, and it is unknown which.
    pub fn lacks_sockets(&mut self, gap: Gap) {
        for extent in [&mut self.sockets, &mut self.listeners, &mut self.close_wait] {
            extent.lacks(gap);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_stays() {
        let mut extent = Extent::Whole;
        extent.lacks(Gap::NotPermitted);
        extent.lacks(Gap::Malformed);
        assert_eq!(extent, Extent::Partly(Gap::NotPermitted));
        let mut unread = Extent::Unread(Gap::Failed);
        unread.lacks(Gap::Malformed);
        assert_eq!(unread, Extent::Unread(Gap::Failed));
    }

    #[test]
    fn what_was_not_needed_is_not_missing_and_not_whole() {
        assert_eq!(Extent::NotNeeded.gap(), None);
        assert!(!Extent::NotNeeded.is_whole());
        assert!(Extent::up_to(None).is_whole());
        assert_eq!(Extent::up_to(Some(Gap::CutOff)).gap(), Some(Gap::CutOff));
    }
}
