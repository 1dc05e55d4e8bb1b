//! Samples were captured in a private network namespace with the versions their names say.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::{Connection, Gap, Inode, Listener, Reading, TcpState, Timer};

macro_rules! sample {
    ($name:literal) => {
        include_str!(concat!("../../../tests/captures/text/", $name, ".txt"))
    };
}

const SS_ALL: &str = sample!("ss_tanpoie_iproute2_6_1");
const SS_ONE_LINE: &str = sample!("ss_tanpoie_oneline_iproute2_6_1");
const SS_PLAIN: &str = sample!("ss_tan_iproute2_6_1");
const SS_STATE: &str = sample!("ss_tanpe_state_close_wait_iproute2_6_1");
const SS_LISTENERS: &str = sample!("ss_ltn_iproute2_6_1");
const SS_LISTENERS_INFO: &str = sample!("ss_ntlip_iproute2_6_1");
const SS_EVERY_PROTOCOL: &str = sample!("ss_anp_iproute2_6_1");
const SS_NAMES: &str = sample!("ss_tapi_names_iproute2_6_1");
const NETSTAT: &str = sample!("netstat_natp_net_tools_2_10");
const NETSTAT_TIMERS: &str = sample!("netstat_antpo_net_tools_2_10");
const NETSTAT_INODES: &str = sample!("netstat_antpe_net_tools_2_10");
const NET_TCP: &str = sample!("proc_net_tcp_kernel_6_18");
const NET_TCP6: &str = sample!("proc_net_tcp6_kernel_6_18");
const EVERY_SAMPLE: [&str; 13] = [
    SS_ALL,
    SS_ONE_LINE,
    SS_PLAIN,
    SS_STATE,
    SS_LISTENERS,
    SS_LISTENERS_INFO,
    SS_EVERY_PROTOCOL,
    SS_NAMES,
    NETSTAT,
    NETSTAT_TIMERS,
    NETSTAT_INODES,
    NET_TCP,
    NET_TCP6,
];

const WHOLE: &str = "Active Internet connections (servers and established)\n\
    Proto Recv-Q Send-Q Local Address Foreign Address State PID/Program name\n\
    tcp 0 0 0.0.0.0:8080 0.0.0.0:* LISTEN 7/web\n\
    tcp 0 0 10.0.0.1:8080 10.0.0.9:50110 ESTABLISHED 7/web\n";

fn parse(text: &str) -> Text {
    parse_text(text).expect("there is a table in it")
}

fn kinds(text: &Text) -> Vec<Kind> {
    text.parts[0]
        .tables
        .iter()
        .map(|table| table.kind)
        .collect()
}

fn listener<'t>(text: &'t Text, local: &str) -> &'t Listener {
    let local = local.parse().unwrap();
    let mut found = text.parts[0].sockets.listeners.iter();
    found.find(|listener| listener.local == local).unwrap()
}

fn connection<'t>(text: &'t Text, remote: &str) -> &'t Connection {
    let remote = remote.parse().unwrap();
    let mut found = text.parts[0].sockets.connections.iter();
    found
        .find(|connection| connection.remote == remote)
        .unwrap()
}

/// Process, descriptor and name of who holds a socket.
fn owners(text: &Text, inode: Option<Inode>) -> Vec<(u32, Option<u32>, &str)> {
    let held = text.parts[0]
        .holders
        .iter()
        .filter(|holder| Some(holder.inode) == inode);
    held.map(|holder| {
        (
            holder.pid,
            holder.fd,
            &*text.parts[0].processes[&holder.pid].command,
        )
    })
    .collect()
}

fn in_close_wait(text: &Text) -> usize {
    let connections = text.parts[0].sockets.connections.iter();
    connections
        .filter(|connection| connection.state == TcpState::CloseWait)
        .count()
}

fn number(inode: Option<Inode>) -> Option<u32> {
    inode.and_then(Inode::number)
}

#[test]
fn ss_with_every_option_shows_all_that_a_table_can() {
    for sample in [SS_ALL, SS_ONE_LINE] {
        let text = parse(sample);
        assert_eq!(text.odd_lines + text.rows_without_state, 0);
        assert!(text.parts[0].coverage.sockets.is_whole());
        assert_eq!(
            text.parts[0].tables,
            [TableSummary {
                kind: Kind::Ss,
                lacks: vec![]
            }]
        );
        assert_eq!(in_close_wait(&text), 6);
        assert_eq!(text.parts[0].sockets.connections.len(), 8);

        let server = listener(&text, "127.0.0.1:8080");
        assert_eq!(
            (server.accept_queue_len, server.accept_queue_limit),
            (23, Reading::Known(511))
        );
        assert_eq!(number(server.inode), Some(2_146_009));
        assert_eq!(owners(&text, server.inode), [(13632, Some(3), "incident")]);
        assert_eq!(listener(&text, "[::]:8081").v6_only, Some(false));

        let waiting = connection(&text, "127.0.0.1:55352");
        assert_eq!((waiting.inode, waiting.recv_q), (None, 46));
        assert_eq!(waiting.timer, Reading::Known(Timer::Off));
        let held = connection(&text, "[::ffff:127.0.0.1]:40132");
        assert_eq!(owners(&text, held.inode), [(14097, Some(5), "python3")]);
        let two_hours = Duration::from_secs(119 * 60);
        assert_eq!(held.timer, Reading::Known(Timer::KeepAlive(two_hours)));
    }
}

#[test]
fn ss_clocks_are_those_of_tcp_info() {
    let text = parse(SS_ALL);
    let ages = connection(&text, "127.0.0.1:55352").ages.unwrap();
    assert_eq!(ages.last_data_sent(), Duration::from_millis(6120));
    assert_eq!(ages.last_data_recv(), Duration::from_millis(6120));
    assert_eq!(ages.last_ack_recv(), Duration::from_millis(6116));
}

#[test]
fn without_options_ss_leaves_open_what_was_accepted() {
    let text = parse(SS_PLAIN);
    assert_eq!(in_close_wait(&text), 6);
    assert_eq!(
        text.parts[0].tables[0].lacks,
        [Fact::Inode, Fact::Age, Fact::Owner]
    );
    for connection in &text.parts[0].sockets.connections {
        assert!(connection.inode.is_some_and(Inode::is_stand_in));
        assert_eq!(
            (connection.ages, connection.timer),
            (None, Reading::Unknown(Gap::NotShown))
        );
    }
}

#[test]
fn other_protocols_are_passed_over() {
    let text = parse(SS_EVERY_PROTOCOL);
    let with_others =
        format!("nl UNCONN 0 0 0:0 *\nudp UNCONN 0 0 127.0.0.1:53 0.0.0.0:*\n{SS_EVERY_PROTOCOL}");
    assert_eq!(
        parse(&with_others).parts.remove(0).sockets,
        text.parts[0].sockets
    );
    assert_eq!(in_close_wait(&text), 6);
    assert_eq!((text.odd_lines, text.parts[0].tables.len()), (0, 1));
}

#[test]
fn a_table_of_listeners_is_not_the_whole() {
    for sample in [SS_LISTENERS, SS_LISTENERS_INFO] {
        let text = parse(sample);
        assert_eq!(text.parts[0].sockets.listeners.len(), 2);
        assert!(
            !text.parts[0].coverage.sockets.is_whole()
                && text.parts[0].sockets.connections.is_empty()
        );
    }
}

#[test]
fn a_state_that_ss_was_asked_for_is_taken_from_the_command() {
    let text = parse(&format!(
        "root@host:~# ss -tanpe state close-wait\n{SS_STATE}"
    ));
    assert_eq!(text.rows_without_state, 0);
    assert_eq!(in_close_wait(&text), SS_STATE.lines().count() - 1);
    assert!(!text.parts[0].coverage.sockets.is_whole());

    assert_eq!(parse_text(SS_STATE).unwrap_err(), NoTable::WithoutState);
    let text = parse(&format!("{SS_STATE}{SS_PLAIN}"));
    assert_eq!(text.rows_without_state, SS_STATE.lines().count() - 1);
}

#[test]
fn names_of_ports_are_those_of_the_services_list_and_others_are_counted() {
    let text = parse(SS_NAMES);
    assert_eq!(text.odd_lines, 0);
    assert_eq!(listener(&text, "127.0.0.1:8080").accept_queue_len, 23);
    let shown = SS_NAMES
        .lines()
        .filter(|line| line.starts_with("CLOSE-WAIT"));
    assert_eq!(in_close_wait(&text), shown.count());

    let unlisted = SS_NAMES.replace(":http-alt", ":no-such-service");
    let named = unlisted
        .lines()
        .filter(|line| line.contains(":no-such-service"))
        .count();
    assert_eq!(parse(&unlisted).odd_lines, named);
}

#[test]
fn netstat_shows_owners_without_descriptors_and_no_limit() {
    let text = parse(NETSTAT);
    assert_eq!(kinds(&text), [Kind::Netstat]);
    assert_eq!(
        text.parts[0].tables[0].lacks,
        [Fact::Inode, Fact::Age, Fact::Limit]
    );
    let server = listener(&text, "127.0.0.1:8080");
    assert_eq!(server.accept_queue_len, 23);
    assert!(server.accept_queue_limit.known().is_none());
    assert_eq!(owners(&text, server.inode), [(13632, None, "incident")]);
    // An IPv4 client of an IPv6 socket.
    let held = connection(&text, "[::ffff:127.0.0.1]:40132");
    assert_eq!(owners(&text, held.inode), [(14097, None, "python3")]);
    assert_eq!(in_close_wait(&text), 6);
}

#[test]
fn netstat_with_timers_and_netstat_with_inodes_say_so() {
    let timers = parse(NETSTAT_TIMERS);
    let held = connection(&timers, "[::ffff:127.0.0.1]:40132");
    assert!(matches!(held.timer, Reading::Known(Timer::KeepAlive(_))));
    assert_eq!(
        connection(&timers, "127.0.0.1:55352").timer,
        Reading::Known(Timer::Off)
    );

    let inodes = parse(NETSTAT_INODES);
    assert_eq!(connection(&inodes, "127.0.0.1:55352").inode, None);
    let server = listener(&inodes, "127.0.0.1:8080");
    assert_eq!(number(server.inode), Some(2_146_009));
    assert_eq!(owners(&inodes, server.inode), [(13632, None, "incident")]);
}

#[test]
fn both_proc_tables_are_one() {
    let text = parse(&format!(
        "$ cat /proc/net/tcp /proc/net/tcp6\n{NET_TCP}{NET_TCP6}"
    ));
    assert_eq!(kinds(&text), [Kind::NetTcp, Kind::NetTcp6]);
    assert_eq!(listener(&text, "127.0.0.1:8080").accept_queue_len, 23);
    assert_eq!(listener(&text, "[::]:8081").accept_queue_len, 2);
    assert_eq!(connection(&text, "127.0.0.1:55352").inode, None);
    assert_eq!(in_close_wait(&text), 6);
}

#[test]
fn tables_of_the_same_sockets_complete_each_other() {
    let pasted = format!(
        "$ netstat -natp\n{NETSTAT}\n$ ss -ltn\n{SS_LISTENERS}\n$ cat /proc/net/tcp\n{NET_TCP}"
    );
    let text = parse(&pasted);
    assert_eq!(text.parts[0].tables.len(), 3);
    assert_eq!(text.parts[0].sockets.listeners.len(), 2);
    assert_eq!(in_close_wait(&text), 6);
    let server = listener(&text, "127.0.0.1:8080");
    assert_eq!(server.accept_queue_limit, Reading::Known(511));
    assert_eq!(owners(&text, server.inode), [(13632, None, "incident")]);
    assert_eq!(connection(&text, "127.0.0.1:55352").inode, None);
    assert!(
        connection(&text, "[::1]:47486")
            .inode
            .is_some_and(Inode::is_stand_in)
    );
    assert!(!text.parts[0].coverage.sockets.is_whole());
}

#[test]
fn members_of_a_reuseport_group_stay_apart_in_every_table() {
    let group = "LISTEN 1 128 0.0.0.0:80 0.0.0.0:*\nLISTEN 2 128 0.0.0.0:80 0.0.0.0:*\n";
    assert_eq!(parse(group).parts.remove(0).sockets.listeners.len(), 2);
    let text = parse(&format!("{group}and again:\n{group}"));
    assert_eq!(text.parts[0].sockets.listeners.len(), 2);
}

#[test]
fn the_paste_of_the_incident_that_started_it_is_read_without_indentation() {
    let text = parse(
        "# netstat -natp | grep 8080 | grep CLOSE_WAIT \n\
         tcp 46 0 127.0.0.1:8080 127.0.0.1:51004 CLOSE_WAIT - \n\
         # ss -ntlip '( sport == 8080 )' \n\n\
         State Recv-Q Send-Q Local Address:Port Peer Address:Port Process \n\
         LISTEN 24 511 127.0.0.1:8080 0.0.0.0:* users:((\"server\",pid=88324,fd=6)) \n\
         cubic cwnd:10 unacked:8 \n",
    );
    assert_eq!(kinds(&text), [Kind::Netstat, Kind::Ss]);
    assert!(
        connection(&text, "127.0.0.1:51004")
            .inode
            .is_some_and(Inode::is_stand_in)
    );
    let server = listener(&text, "127.0.0.1:8080");
    assert_eq!(owners(&text, server.inode), [(88324, Some(6), "server")]);
}

#[test]
fn a_row_that_a_terminal_wrapped_is_one_row() {
    let text = parse(
        "CLOSE-WAIT 1 0 127.0.0.1:8080 127.0.0.1:5 users:((\"a\",pid=1,fd=2))\n ino:7 sk:9 cgroup:/ -->\n\t ts cwnd:10 lastsnd:5\n",
    );
    let connection = connection(&text, "127.0.0.1:5");
    assert_eq!(number(connection.inode), Some(7));
    let ages = connection.ages.unwrap();
    assert_eq!(
        (ages.last_data_sent(), ages.last_ack_recv()),
        (Duration::from_millis(5), Duration::ZERO)
    );
}

#[test]
fn details_of_a_row_that_cannot_be_read_are_not_given_to_another() {
    let text = parse(
        "CLOSE-WAIT 1 0 127.0.0.1:8080 127.0.0.1:5\nCLOSE-WAIT 1 0 127.0.0.1:http 127.0.0.1:6\n\tlastack:9000 cwnd:10\n",
    );
    assert_eq!(connection(&text, "127.0.0.1:5").ages, None);
}

#[test]
fn owners_may_be_many_and_have_names_that_look_like_columns() {
    let text = parse(
        "ESTAB 0 0 127.0.0.1:1 127.0.0.1:2\n\
         CLOSE-WAIT 1 0 127.0.0.1:80 127.0.0.1:3 users:((\"Web Content\",pid=8,fd=2),(\"ino:5) x\",pid=9,fd=4),(\"old\",7,6)) ino:77 sk:1\n",
    );
    let connection = connection(&text, "127.0.0.1:3");
    assert_eq!(number(connection.inode), Some(77));
    let expected = [
        (7, Some(6), "old"),
        (8, Some(2), "Web Content"),
        (9, Some(4), "ino:5) x"),
    ];
    assert_eq!(owners(&text, connection.inode), expected);
}

#[test]
fn an_asterisk_is_ipv4_where_the_connections_of_its_port_are() {
    let old = parse("LISTEN 1 128 *:80 *:*\nCLOSE-WAIT 1 0 10.0.0.1:80 10.0.0.2:5\n");
    assert_eq!(
        old.parts[0].sockets.listeners[0].local,
        "0.0.0.0:80".parse().unwrap()
    );
    let new =
        parse("LISTEN 1 128 *:80 *:*\nCLOSE-WAIT 1 0 [::ffff:10.0.0.1]:80 [::ffff:10.0.0.2]:5\n");
    assert_eq!(
        new.parts[0].sockets.listeners[0].local,
        "[::]:80".parse().unwrap()
    );
}

#[test]
fn a_limit_of_nothing_is_not_believed() {
    let text = parse("LISTEN 3 0 127.0.0.1:80 0.0.0.0:*\n");
    assert!(
        text.parts[0].sockets.listeners[0]
            .accept_queue_limit
            .known()
            .is_none()
    );
}

#[test]
fn an_interface_tells_listeners_on_one_address_apart() {
    let text = parse(
        "LISTEN 1 5 0.0.0.0%lo:8082 0.0.0.0:* ino:1 sk:1\nESTAB 0 0 127.0.0.1%lo:8082 127.0.0.1:4 ino:0 sk:2\n",
    );
    let interface = text.parts[0].sockets.listeners[0].interface;
    assert_ne!(interface, 0);
    assert_eq!(text.parts[0].sockets.connections[0].interface, interface);
}

#[test]
fn an_address_that_netstat_cut_is_counted() {
    let text = parse(
        "tcp6       1      0 2001:db8:85a3:1234:8081 :::*                    LISTEN      26648/python3\n\
         tcp6       0      0 2001:db8:85a3:12::80:80 2001:db8:85a3:123:50920 ESTABLISHED -\n\
         tcp        0      0 127.0.0.1:1             127.0.0.1:2             CLOSE_WAIT  1/nginx: worker pr\n",
    );
    assert_eq!(
        (text.odd_lines, text.parts[0].sockets.connections.len()),
        (2, 1)
    );
    assert_eq!(text.parts[0].processes[&1].command, "nginx: worker pr");
}

#[test]
fn what_is_no_table_is_foreign() {
    for text in ["", "\n\n", "hello", "# ss -tan\nState Recv-Q Send-Q\n"] {
        assert_eq!(parse_text(text).unwrap_err(), NoTable::Foreign, "{text}");
    }
}

#[test]
fn hosts_are_not_mixed_and_the_last_of_equal_tables_is_used() {
    let text = parse(&format!(
        "root@web-1:~# netstat -antp\n{WHOLE}root@web-2:~# netstat -antp\n{WHOLE}"
    ));
    let names: Vec<Option<&str>> = text.parts.iter().map(|part| part.name.as_deref()).collect();
    assert_eq!(names, [Some("web-1"), Some("web-2")]);
    assert!(
        text.parts
            .iter()
            .all(|part| part.coverage.sockets.is_whole())
    );

    let text = parse(&format!("$ netstat -antp\n{WHOLE}$ netstat -antp\n{WHOLE}"));
    assert_eq!((text.parts.len(), text.replaced), (1, 1));
}

#[test]
fn a_whole_table_is_told_from_a_part() {
    assert!(parse(WHOLE).parts[0].coverage.sockets.is_whole());
    for part in [
        format!("$ netstat -antp | grep -v CLOSE_WAIT\n{WHOLE}"),
        format!("{WHOLE}...\n"),
        WHOLE.replace("(servers and established)", "(w/o servers)"),
        WHOLE.lines().skip(2).collect::<Vec<_>>().join("\n"),
        format!("{WHOLE}tcp 1 0 10.0.0.1:8080 10.0.0.9:501\n"),
    ] {
        assert!(!parse(&part).parts[0].coverage.sockets.is_whole(), "{part}");
    }
}

#[test]
fn every_line_is_accounted_for() {
    let text = parse(&format!(
        "it is slow\n\n{WHOLE}udp 0 0 0.0.0.0:68 0.0.0.0:* 9/dhcp\n"
    ));
    let taken: Vec<(usize, TakenFor)> = text
        .ledger
        .iter()
        .map(|entry| (entry.line, entry.taken_for))
        .collect();
    assert_eq!(
        taken,
        [
            (1, TakenFor::Words),
            (3, TakenFor::Heading),
            (4, TakenFor::Heading),
            (5, TakenFor::Row),
            (6, TakenFor::Row),
            (7, TakenFor::OtherProtocol),
        ]
    );
}

#[test]
fn windows_line_ends_change_nothing() {
    for sample in EVERY_SAMPLE {
        let (unix, windows) = (
            parse_text(sample),
            parse_text(&sample.replace('\n', "\r\n")),
        );
        let sockets = |text: &Result<Text, NoTable>| {
            text.as_ref().map(|text| text.parts[0].sockets.clone()).ok()
        };
        assert_eq!(sockets(&unix), sockets(&windows));
    }
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        let _ = parse_text(&text);
    }

    #[test]
    fn a_cut_and_changed_sample_never_panics(
        sample in prop::sample::select(&EVERY_SAMPLE[..]),
        cut in 0_usize..9000,
        place in 0_usize..9000,
        odd in any::<char>(),
    ) {
        let mut text: Vec<char> = sample.chars().skip(cut.min(sample.len() / 2)).collect();
        if let Some(character) = text.get_mut(place) {
            *character = odd;
        }
        let _ = parse_text(&text.into_iter().collect::<String>());
    }

    #[test]
    fn words_of_tables_in_any_order_never_panic(
        words in prop::collection::vec(prop::sample::select(vec![
            "tcp", "tcp6", "LISTEN", "CLOSE-WAIT", "CLOSE_WAIT", "0", "46", "127.0.0.1:80", "*:*", "[::1]:5", "%:1", "-", "12/x",
            "users:((\"a\",pid=1,fd=2))", "users:((", "users:((\"", "timer:(keepalive,1min,0)", "timer:(", "(0.0/1/2)", "off",
            "ino:0", "ino:", "lastsnd:1", "\n", "\n", "1:", "0100007F:1F90", "08", "00000000:0000002E", "ss", "state", "close-wait",
        ]), 0..60),
    ) {
        let _ = parse_text(&words.join(" "));
    }

    #[test]
    fn a_text_with_a_row_that_was_not_read_is_never_whole(
        before in 0_usize..12,
        state in "[A-Z]{3,9}",
        local in "[a-z0-9.:]{1,20}",
    ) {
        let mut lines: Vec<String> = WHOLE.lines().map(str::to_owned).collect();
        lines.insert(before.min(lines.len()), format!("tcp 1 0 {local} 10.0.0.9:50112 {state} 7/web"));
        if let Ok(text) = parse_text(&lines.join("\n")) {
            let unread = text.odd_lines + text.rows_without_state > 0;
            let whole = text.parts.iter().any(|part| part.coverage.sockets.is_whole());
            prop_assert!(!(unread && whole));
            let in_ledger = text.ledger.iter().any(|entry| entry.taken_for == TakenFor::Unread);
            prop_assert_eq!(in_ledger, text.odd_lines + text.rows_without_state > 0);
            let rows = text.ledger.iter().filter(|entry| entry.taken_for == TakenFor::Words);
            for words in rows {
                let line = &lines[words.line - 1];
                prop_assert!(!find::looks_like_row(line), "{}", line);
            }
        }
    }
}
