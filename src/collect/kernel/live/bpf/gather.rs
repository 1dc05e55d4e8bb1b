//! Records of single descriptors to the tables of processes; pure.

use std::collections::HashSet;

use super::super::descriptors::{FEWEST_SOCKETS, count_descriptor};
use super::found::{ClosedSockets, Outline, Pass};
use super::program::{self, Record};
use crate::collect::kernel::DescriptorTable;
use crate::model::Pid;

/// `S_IFMT` and kinds of `linux/stat.h`. Epoll sets and rings are regular files on some kernels, and
/// of no kind at all on others.
const KIND: u32 = 0o170_000;
const SOCKET: u32 = program::SOCKET.cast_unsigned();
const REGULAR: u32 = 0o100_000;
const NO_KIND: u32 = 0;
/// `IPPROTO_TCP`, and `TCP_CLOSE` of `net/tcp_states.h`.
const TCP: u32 = 6;
const CLOSE: u32 = 7;

/// Makes tables of records, which come table by table and in the order of descriptors.
pub(super) struct Gatherer {
    /// The process that looks, which is no finding.
    own: Pid,
    pass: Pass,
    /// The table whose records are coming.
    current: Option<Current>,
    /// Every process of which a table was begun.
    begun: HashSet<Pid>,
}

struct Current {
    outline: Outline,
    /// Whether it is one that is looked for.
    counts: bool,
    /// How many descriptors are sockets, of any kind and state.
    sockets: usize,
    closed: Vec<(u32, u32, u32)>,
}

impl Gatherer {
    pub(super) fn new(own: Pid) -> Self {
        Self {
            own,
            pass: Pass::default(),
            current: None,
            begun: HashSet::new(),
        }
    }

    pub(super) fn add(&mut self, record: Record) {
        let is_of = |current: &Current| {
            let table = &current.outline.table;
            (table.pid, table.through) == (record.process, record.thread)
        };
        if !self.current.as_ref().is_some_and(is_of) {
            self.close_table();
            self.current = Some(self.begin_table(record.process, record.thread));
        }
        if let Some(current) = &mut self.current
            && current.counts
        {
            current.add(record);
        }
    }

    /// A process has the table of its main thread, or, where that has exited, of the first other one.
    /// Tables that other threads have of their own are not looked for here.
    fn begin_table(&mut self, pid: Pid, through: Pid) -> Current {
        let is_main = pid == through;
        let known = self.begun.contains(&pid);
        if is_main && known {
            // Ids have wrapped around, and the table of another thread came first.
            self.pass
                .outlines
                .retain(|outline| outline.table.pid != pid);
            self.pass.closed.retain(|closed| closed.pid != pid);
        }
        let counts = (is_main || !known) && pid != self.own;
        if counts {
            self.begun.insert(pid);
        }
        Current {
            outline: Outline {
                table: DescriptorTable {
                    pid,
                    through,
                    ..DescriptorTable::default()
                },
                maybe_special: Vec::new(),
            },
            counts,
            sockets: 0,
            closed: Vec::new(),
        }
    }

    fn close_table(&mut self) {
        let Some(current) = self.current.take() else {
            return;
        };
        let table = &current.outline.table;
        if current.sockets >= FEWEST_SOCKETS && !current.closed.is_empty() {
            self.pass.closed.push(ClosedSockets {
                pid: table.pid,
                open: table.open,
                sockets: current.closed,
            });
        }
        if !table.sockets.is_empty() {
            self.pass.outlines.push(current.outline);
        }
    }

    pub(super) fn finish(mut self) -> Pass {
        self.close_table();
        self.pass.outlines.sort_by_key(|outline| outline.table.pid);
        self.pass
    }
}

impl Current {
    fn add(&mut self, record: Record) {
        let table = &mut self.outline.table;
        count_descriptor(table, record.fd);
        match record.mode & KIND {
            SOCKET => {
                self.sockets += 1;
                if record.inode != 0 {
                    table.sockets.push((record.fd, record.inode));
                }
                if (record.protocol, record.state) == (TCP, CLOSE) {
                    self.closed.push((record.fd, record.inode, record.netns));
                }
            }
            REGULAR | NO_KIND => self.outline.maybe_special.push(record.fd),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Pid = 9;

    fn socket(process: u32, thread: u32, fd: u32, state: u32) -> Record {
        Record {
            process,
            thread,
            fd,
            mode: SOCKET,
            state,
            inode: if state > 3 { 100 + fd } else { 0 },
            protocol: TCP,
            netns: 5,
        }
    }

    fn file(process: u32, fd: u32) -> Record {
        Record {
            mode: 0,
            state: 0,
            inode: 0,
            ..socket(process, process, fd, 0)
        }
    }

    fn gather(records: &[Record]) -> Pass {
        let mut gatherer = Gatherer::new(OWN);
        for record in records {
            gatherer.add(*record);
        }
        gatherer.finish()
    }

    /// Process, thread, and the first socket.
    fn shown(pass: &Pass) -> Vec<(Pid, Pid, (u32, u32))> {
        let tables = pass.outlines.iter().map(|outline| &outline.table);
        tables
            .map(|table| (table.pid, table.through, table.sockets[0]))
            .collect()
    }

    #[test]
    fn a_table_has_the_sockets_that_may_be_asked_for_and_counts_all() {
        let pass = gather(&[
            file(7, 0),
            socket(7, 7, 1, 1),
            socket(7, 7, 3, 8),
            file(8, 0),
        ]);
        assert_eq!(shown(&pass), [(7, 7, (3, 103))]);
        let outline = &pass.outlines[0];
        assert_eq!((outline.table.open, outline.table.lowest_free), (3, 2));
        assert_eq!(outline.maybe_special, [0]);
    }

    #[test]
    fn a_process_without_its_main_thread_has_the_table_of_the_first_other() {
        let pass = gather(&[
            socket(7, 20, 3, 8),
            socket(7, 21, 3, 8),
            socket(OWN, OWN, 3, 8),
        ]);
        assert_eq!(shown(&pass), [(7, 20, (3, 103))]);
    }

    #[test]
    fn a_main_thread_that_comes_late_takes_the_place_of_another() {
        let pass = gather(&[
            socket(40, 3, 5, 8),
            socket(40, 40, 6, 10),
            socket(40, 41, 7, 8),
        ]);
        assert_eq!(shown(&pass), [(40, 40, (6, 106))]);
    }

    #[test]
    fn closed_sockets_are_told_of_processes_with_many_sockets() {
        let many = u32::try_from(FEWEST_SOCKETS).unwrap();
        let few: Vec<Record> = (0..many - 1).map(|fd| socket(7, 7, fd, CLOSE)).collect();
        assert!(gather(&few).closed.is_empty());
        let enough: Vec<Record> = (0..many).map(|fd| socket(7, 7, fd, CLOSE)).collect();
        let closed = gather(&enough).closed;
        assert_eq!(
            (closed[0].pid, closed[0].sockets.len()),
            (7, FEWEST_SOCKETS)
        );
        assert_eq!(closed[0].sockets[1], (1, 101, 5));
    }
}
