//! Accept queues, reconciled: which connections wait in which queue, and how many of them no socket
//! list shows.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::age;
use super::matching::Listeners;
use super::place::Place;
use super::undecided;
use crate::model::{Connection, Inode, InodeSet, Later, Layer, Listener, Snapshot, TcpState};

/// The queue of one listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptQueue {
    /// Connections that wait, whatever their state.
    pub length: u32,
    /// The connections that certainly wait in this very queue, by their index in the snapshot.
    pub members: Vec<usize>,
    /// Connections that may wait in it, by index: the source does not show whether they were
    /// accepted.
    pub possible: Vec<usize>,
    /// How many of the waiting are ESTABLISHED, where members are certain.
    pub established: Option<u32>,
    /// How many of the waiting are in `CLOSE_WAIT`, where members are certain.
    pub close_wait: Option<u32>,
    /// How many were reset while they waited: they still take a place, and no socket list shows
    /// them. Known where the queue certainly did not change while it was read.
    pub reset: Option<u32>,
    /// How long the oldest member has waited, by its own clock.
    pub oldest: Option<Duration>,
    /// For how long the look saw its head wait: the queue never got shorter, or a member without a
    /// clock was there at both looks.
    pub seen_waiting: Option<Duration>,
    /// Whether there are members whose waiting time cannot be known.
    pub unknown_waits: bool,
    /// How its length changed during the look.
    pub trend: QueueTrend,
    /// The listeners on its address (`SO_REUSEPORT`), by index, itself among them; empty where it is
    /// alone. Shared by all of them: a group may have thousands.
    pub group: Arc<[usize]>,
}

/// How the length of a queue changed during a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueTrend {
    /// How often it was read.
    pub looks: usize,
    /// The smallest value read; above 0 means that connections waited the whole time.
    pub shortest: u32,
    /// Whether it was the same every time.
    pub steady: bool,
    /// Whether it ever got shorter.
    pub shrank: bool,
}

impl QueueTrend {
    fn of(lengths: &[u32]) -> Self {
        Self {
            looks: lengths.len(),
            shortest: lengths.iter().copied().min().unwrap_or(0),
            steady: lengths.windows(2).all(|pair| pair[0] == pair[1]),
            shrank: lengths.windows(2).any(|pair| pair[1] < pair[0]),
        }
    }
}

/// Every queue, and every connection's place, in the order of the snapshot.
pub(super) struct Queues {
    /// By listener.
    pub queues: Vec<AcceptQueue>,
    /// By connection.
    pub places: Vec<Place>,
}

/// Assigns waiting connections to listeners.
///
/// `grace` is the age from which on a member is old: a queue is first in, first out, so while an
/// old member is in it, nothing behind it has left.
pub(super) fn reconcile(snapshot: &Snapshot, grace: Duration) -> Queues {
    let listeners = &snapshot.sockets.listeners;
    let lengths = Lengths::of(snapshot);
    let listener_inodes: InodeSet = listeners.iter().filter_map(|l| l.inode).collect();
    let by_port = Listeners::new(listeners);
    let mut queues: Vec<AcceptQueue> = listeners
        .iter()
        .zip(groups(listeners))
        .map(|(listener, group)| lengths.empty_queue(listener, group))
        .collect();
    // Text that was copied in part may lack listeners and states.
    let partial = !snapshot.coverage.sockets.is_whole();
    let mut doubtful = vec![partial; listeners.len()];
    let mut places = Vec::with_capacity(snapshot.sockets.connections.len());
    for (index, connection) in snapshot.sockets.connections.iter().enumerate() {
        if !never_accepted(connection, &listener_inodes) {
            let place = undecided::place(connection, snapshot, &by_port);
            for listener in undecided::possible_listeners(place, connection, &by_port) {
                queues[listener].possible.push(index);
                doubtful[listener] = true;
            }
            places.push(place);
            continue;
        }
        let candidates = by_port.of(connection);
        let chosen = choose(connection, &candidates, listeners, &queues, &lengths);
        match chosen {
            Some(listener) => queues[listener].members.push(index),
            None => candidates.iter().for_each(|index| doubtful[*index] = true),
        }
        places.push(Place::AcceptQueue(chosen));
    }
    for (index, queue) in queues.iter_mut().enumerate() {
        count(
            queue,
            snapshot,
            &lengths.of_listener(&listeners[index]),
            doubtful[index],
            grace,
            lengths.span,
        );
    }
    if !partial {
        attribute_redirected(&mut queues, &mut places, snapshot, grace, &lengths);
    }
    Queues { queues, places }
}

/// Returns whether a connection never left its accept queue.
///
/// A connection without an inode never got a socket; an orphan, which lost its own, is in no such
/// state. A few kernels (6.16.6 to 6.16.8, 6.17-rc5 and rc6) show the listener's inode instead. The
/// inode of an MPTCP subflow says nothing.
pub(super) fn never_accepted(connection: &Connection, listener_inodes: &InodeSet) -> bool {
    let waiting_state = matches!(
        connection.state,
        TcpState::Established | TcpState::CloseWait | TcpState::SynRecv
    );
    waiting_state
        && connection.layer != Layer::Subflow
        && connection
            .inode
            .is_none_or(|inode| listener_inodes.contains(&inode))
}

/// The group of each listener, in their order.
fn groups(listeners: &[Listener]) -> Vec<Arc<[usize]>> {
    let address = |listener: &Listener| (listener.local, listener.interface, listener.v6_only);
    let mut by_address: HashMap<_, Vec<usize>> = HashMap::new();
    for (index, listener) in listeners.iter().enumerate() {
        by_address.entry(address(listener)).or_default().push(index);
    }
    let shared: HashMap<_, Arc<[usize]>> = by_address
        .into_iter()
        .map(|(address, mut members)| {
            if members.len() == 1 {
                members.clear();
            }
            (address, Arc::from(members))
        })
        .collect();
    let group = |listener| shared[&address(listener)].clone();
    listeners.iter().map(group).collect()
}

/// Chooses the one listener of several at which a connection certainly waits.
fn choose(
    connection: &Connection,
    candidates: &[usize],
    listeners: &[Listener],
    queues: &[AcceptQueue],
    lengths: &Lengths,
) -> Option<usize> {
    let only = |fits: &dyn Fn(usize) -> bool| {
        let mut fitting = candidates.iter().copied().filter(|index| fits(*index));
        fitting.next().filter(|_| fitting.next().is_none())
    };
    if let [one] = candidates {
        return Some(*one);
    }
    // A child inherits the cgroup of its listener's maker.
    if connection.cgroup.is_some()
        && let Some(one) = only(&|index| listeners[index].cgroup == connection.cgroup)
    {
        return Some(one);
    }
    // It waits in the only queue that is not empty or, when it waited during the whole look, in the
    // only one that never was empty.
    let waited = age::waiting(connection);
    if waited.is_some_and(|waited| waited > lengths.span) {
        return only(&|index| queues[index].trend.shortest > 0);
    }
    only(&|index| lengths.longest(&listeners[index]) > 0)
}

fn count(
    queue: &mut AcceptQueue,
    snapshot: &Snapshot,
    lengths: &[u32],
    doubtful: bool,
    grace: Duration,
    span: Duration,
) {
    let members: Vec<&Connection> = queue
        .members
        .iter()
        .map(|index| &snapshot.sockets.connections[*index])
        .collect();
    queue.unknown_waits = members.iter().any(|member| member.ages.is_none());
    queue.oldest = members
        .iter()
        .filter_map(|member| age::waiting(member))
        .max();
    if let Some(later) = &snapshot.later
        && queue.unknown_waits
        && any_stayed(&members, later)
    {
        queue.seen_waiting = Some(later.after);
    }
    // First in, first out: while it never got shorter, its head stayed.
    if queue.trend.looks > 2 && queue.trend.shortest > 0 && !queue.trend.shrank {
        queue.seen_waiting = queue.seen_waiting.max(Some(span));
    }
    if doubtful || hides_subflows(&members) {
        return;
    }
    let in_state = |state: TcpState| {
        let count = members
            .iter()
            .filter(|member| member.state == state)
            .count();
        u32::try_from(count).ok()
    };
    let visible = u32::try_from(members.len()).unwrap_or(u32::MAX);
    queue.close_wait = in_state(TcpState::CloseWait);
    queue.established = in_state(TcpState::CloseWait).map(|close_wait| visible - close_wait);
    let unchanged = lengths.first() == lengths.get(1);
    let old = queue.oldest.is_some_and(|oldest| oldest >= grace);
    let watched = queue.trend.steady && queue.trend.looks > 2;
    queue.reset = match queue.length.checked_sub(visible) {
        Some(0) => Some(0),
        Some(missing) if unchanged && (old || watched) => Some(missing),
        Some(_) | None => None,
    };
    if queue.reset.is_none() && visible > queue.length {
        // Some came after the length was read; the length is behind, not the list.
        queue.reset = Some(0);
        queue.length = visible;
    }
}

/// Returns whether some members may only be subflows that joined an MPTCP connection while it
/// waited.
fn hides_subflows(members: &[&Connection]) -> bool {
    let unmarked = Layer::Mptcp {
        subflows_marked: false,
    };
    let has = |layer| members.iter().any(|member| member.layer == layer);
    has(unmarked) && has(Layer::Tcp)
}

/// Returns whether one of the connections was in the queue at the second look as well.
fn any_stayed(members: &[&Connection], later: &Later) -> bool {
    let identity =
        |connection: &Connection| (connection.local, connection.remote, connection.inode);
    let first: HashSet<_> = members.iter().map(|member| identity(member)).collect();
    let mut then = later.sockets.connections.iter();
    then.any(|connection| first.contains(&identity(connection)))
}

/// A connection that fits no listener was redirected (TPROXY, `sk_lookup`): it belongs to the one
/// listener whose queue is longer than what is visible of it, if it is just one.
fn attribute_redirected(
    queues: &mut [AcceptQueue],
    places: &mut [Place],
    snapshot: &Snapshot,
    grace: Duration,
    lengths: &Lengths,
) {
    let listeners = Listeners::new(&snapshot.sockets.listeners);
    let connections = &snapshot.sockets.connections;
    let homeless: Vec<usize> = (0..connections.len())
        .filter(|index| {
            places[*index] == Place::AcceptQueue(None)
                && listeners.of(&connections[*index]).is_empty()
        })
        .collect();
    if homeless.is_empty() {
        return;
    }
    let mut surplus = (0..queues.len()).filter(|index| {
        let visible = u32::try_from(queues[*index].members.len()).unwrap_or(u32::MAX);
        queues[*index].length > visible
    });
    let (Some(only), None) = (surplus.next(), surplus.next()) else {
        return;
    };
    for index in homeless {
        places[index] = Place::AcceptQueue(Some(only));
        queues[only].members.push(index);
    }
    let seen = lengths.of_listener(&snapshot.sockets.listeners[only]);
    count(
        &mut queues[only],
        snapshot,
        &seen,
        false,
        grace,
        lengths.span,
    );
}

/// Every queue length that the look read, in order.
struct Lengths {
    by_inode: HashMap<Inode, Vec<u32>>,
    /// Time between the first and the last reading.
    span: Duration,
}

impl Lengths {
    fn of(snapshot: &Snapshot) -> Self {
        let mut by_inode: HashMap<Inode, Vec<u32>> = HashMap::new();
        let tables = [&snapshot.sockets.listeners, &snapshot.listeners_after];
        for listener in tables.into_iter().flatten() {
            if let Some(inode) = listener.inode {
                by_inode
                    .entry(inode)
                    .or_default()
                    .push(listener.accept_queue_len);
            }
        }
        for sample in &snapshot.samples {
            for (inode, length) in sample.before.iter().chain(&sample.after) {
                by_inode.entry(*inode).or_default().push(*length);
            }
        }
        let span = match (snapshot.samples.first(), snapshot.samples.last()) {
            (Some(first), Some(last)) => last.at.saturating_sub(first.at),
            _ => Duration::ZERO,
        };
        Self { by_inode, span }
    }

    fn of_listener(&self, listener: &Listener) -> Vec<u32> {
        listener
            .inode
            .and_then(|inode| self.by_inode.get(&inode).cloned())
            .unwrap_or_default()
    }

    fn longest(&self, listener: &Listener) -> u32 {
        self.of_listener(listener).into_iter().max().unwrap_or(0)
    }

    fn empty_queue(&self, listener: &Listener, group: Arc<[usize]>) -> AcceptQueue {
        let lengths = self.of_listener(listener);
        AcceptQueue {
            // This reading follows the connections directly; the first reading is older than they are.
            length: lengths.get(1).copied().unwrap_or(listener.accept_queue_len),
            members: Vec::new(),
            possible: Vec::new(),
            established: None,
            close_wait: None,
            reset: None,
            oldest: None,
            seen_waiting: None,
            unknown_waits: false,
            trend: QueueTrend::of(&lengths),
            group,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::fixtures::{self, listener, waiting_connection};
    use crate::model::{Extent, Gap, SocketSource, SocketTable};
    use std::num::NonZeroU64;

    const GRACE: Duration = Duration::from_secs(3);

    fn snapshot(listeners: Vec<Listener>, connections: Vec<Connection>) -> Snapshot {
        fixtures::snapshot(SocketTable {
            listeners,
            other_listeners: Vec::new(),
            connections,
        })
    }

    fn with_length(local: &str, inode: u32, length: u32) -> Listener {
        Listener {
            accept_queue_len: length,
            ..listener(local, inode)
        }
    }

    #[test]
    fn what_is_missing_of_an_old_queue_was_reset() {
        let snapshot = snapshot(
            vec![with_length("127.0.0.1:8080", 1, 3)],
            vec![waiting_connection(9400)],
        );
        let queue = &reconcile(&snapshot, GRACE).queues[0];
        assert_eq!(queue.close_wait, Some(1));
        assert_eq!(queue.established, Some(0));
        assert_eq!(queue.reset, Some(2));
        assert_eq!(queue.oldest, Some(Duration::from_millis(9400)));
    }

    fn mptcp(subflows_marked: bool) -> Connection {
        Connection {
            layer: Layer::Mptcp { subflows_marked },
            state: TcpState::CloseWait,
            remote: "127.0.0.1:7".parse().unwrap(),
            ..waiting_connection(9400)
        }
    }

    fn queue_of(connections: Vec<Connection>) -> AcceptQueue {
        let listener = with_length("127.0.0.1:8080", 1, 2);
        let snapshot = snapshot(vec![listener], connections);
        reconcile(&snapshot, GRACE).queues.remove(0)
    }

    #[test]
    fn a_waiting_mptcp_connection_counts_as_one() {
        let queue = queue_of(vec![mptcp(true), waiting_connection(9400)]);
        assert_eq!(queue.close_wait, Some(2));
        assert_eq!(queue.reset, Some(0));
    }

    #[test]
    fn beside_mptcp_without_marks_nothing_is_certain_but_the_length() {
        let queue = queue_of(vec![mptcp(false), waiting_connection(9400)]);
        assert_eq!(queue.length, 2);
        let counts = (queue.established, queue.close_wait, queue.reset);
        assert_eq!(counts, (None, None, None));
    }

    #[test]
    fn what_is_missing_of_a_young_queue_is_not_known_to_be_reset() {
        let snapshot = snapshot(
            vec![with_length("127.0.0.1:8080", 1, 3)],
            vec![waiting_connection(10)],
        );
        assert_eq!(reconcile(&snapshot, GRACE).queues[0].reset, None);
    }

    #[test]
    fn a_queue_that_changed_while_it_was_read_has_no_certain_resets() {
        let mut snapshot = snapshot(
            vec![with_length("127.0.0.1:8080", 1, 5)],
            vec![waiting_connection(9400)],
        );
        snapshot.listeners_after[0].accept_queue_len = 4;
        assert_eq!(reconcile(&snapshot, GRACE).queues[0].reset, None);
    }

    #[test]
    fn of_a_part_of_a_table_nothing_is_counted_that_may_be_left_out() {
        let elsewhere = Connection {
            local: "127.0.0.1:9090".parse().unwrap(),
            ..waiting_connection(9400)
        };
        let mut snapshot = snapshot(
            vec![with_length("127.0.0.1:8080", 1, 3)],
            vec![waiting_connection(9400), elsewhere],
        );
        snapshot.source = SocketSource::Text;
        snapshot.coverage.sockets = Extent::Partly(Gap::NotShown);
        let Queues { queues, places } = reconcile(&snapshot, GRACE);
        assert_eq!(queues[0].oldest, Some(Duration::from_millis(9400)));
        let counted = (queues[0].close_wait, queues[0].established, queues[0].reset);
        assert_eq!(counted, (None, None, None));
        let expected = [Place::AcceptQueue(Some(0)), Place::AcceptQueue(None)];
        assert_eq!(places, expected);
    }

    #[test]
    fn what_is_left_open_may_wait_and_is_no_member() {
        let undecided = Connection {
            inode: Some(Inode::stand_in(1)),
            ..waiting_connection(9400)
        };
        let snapshot = snapshot(vec![with_length("127.0.0.1:8080", 1, 3)], vec![undecided]);
        let queue = &reconcile(&snapshot, GRACE).queues[0];
        assert_eq!(
            (&queue.possible[..], &queue.members[..]),
            (&[0][..], &[][..])
        );
        assert_eq!((queue.close_wait, queue.oldest), (None, None));
    }

    #[test]
    fn of_a_reuseport_group_the_only_queue_that_is_not_empty_has_them_all() {
        let snapshot = snapshot(
            vec![
                with_length("127.0.0.1:8080", 1, 0),
                with_length("127.0.0.1:8080", 2, 2),
            ],
            vec![waiting_connection(10), waiting_connection(9400)],
        );
        let queues = reconcile(&snapshot, GRACE).queues;
        assert_eq!(queues[1].members.len(), 2);
        assert_eq!(queues[0].close_wait, Some(0));
    }

    #[test]
    fn members_of_a_reuseport_group_are_not_guessed() {
        let snapshot = snapshot(
            vec![
                with_length("127.0.0.1:8080", 1, 1),
                with_length("127.0.0.1:8080", 2, 1),
            ],
            vec![waiting_connection(9400), waiting_connection(9400)],
        );
        let Queues { queues, places } = reconcile(&snapshot, GRACE);
        assert!(queues.iter().all(|queue| queue.members.is_empty()));
        assert!(
            queues
                .iter()
                .all(|queue| queue.reset.is_none() && queue.close_wait.is_none())
        );
        assert_eq!(places[0], Place::AcceptQueue(None));
    }

    #[test]
    fn the_cgroup_tells_members_of_a_reuseport_group_apart() {
        let mut one = with_length("127.0.0.1:8080", 1, 1);
        one.cgroup = NonZeroU64::new(10);
        let mut two = with_length("127.0.0.1:8080", 2, 1);
        two.cgroup = NonZeroU64::new(20);
        let mut child = waiting_connection(9400);
        child.cgroup = NonZeroU64::new(20);
        let queues = reconcile(&snapshot(vec![one, two], vec![child]), GRACE).queues;
        assert_eq!(queues[1].members, [0]);
    }

    #[test]
    fn a_child_with_its_listeners_inode_was_never_accepted() {
        let mut child = waiting_connection(9400);
        child.inode = Inode::new(1);
        let snapshot = snapshot(vec![with_length("127.0.0.1:8080", 1, 1)], vec![child]);
        assert_eq!(
            reconcile(&snapshot, GRACE).places,
            [Place::AcceptQueue(Some(0))]
        );
    }

    #[test]
    fn a_closing_end_without_an_owner_waits_nowhere() {
        let mut orphan = waiting_connection(9400);
        orphan.state = TcpState::FinWait2;
        orphan.local = "127.0.0.1:51004".parse().unwrap();
        let snapshot = snapshot(vec![with_length("127.0.0.1:8080", 1, 1)], vec![orphan]);
        let Queues { queues, places } = reconcile(&snapshot, GRACE);
        assert_eq!(places, [Place::Orphan]);
        assert!(queues[0].members.is_empty());
    }

    #[test]
    fn a_redirected_connection_belongs_to_the_only_queue_with_a_surplus() {
        let mut child = waiting_connection(9400);
        child.local = "127.0.0.1:6210".parse().unwrap();
        let snapshot = snapshot(vec![with_length("127.0.0.1:6211", 1, 1)], vec![child]);
        let Queues { queues, places } = reconcile(&snapshot, GRACE);
        assert_eq!(places, [Place::AcceptQueue(Some(0))]);
        assert_eq!(queues[0].reset, Some(0));
    }
}
