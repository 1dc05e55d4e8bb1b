//! `--limit`: fewer connections are listed, and no fewer are counted.

use std::time::Duration;

use serde_json::Value;

use crate::support::{
    SHORT_GRACE, close, connect_many, doctor, in_private_network, items, outlast, scan,
    start_server, wait_for_close_waits,
};

const OLD: usize = 4;
const YOUNG: usize = 8;

fn come_and_go(clients: usize) {
    for client in connect_many(clients) {
        close(client);
    }
}

#[test]
fn a_limit_leaves_the_oldest_and_every_total() {
    in_private_network(|| {
        let _server = start_server(&["unclosed-after-eof"]);
        come_and_go(OLD);
        wait_for_close_waits(OLD, |unread| unread == 0);
        outlast(Duration::from_secs(1));
        come_and_go(YOUNG);
        wait_for_close_waits(OLD + YOUNG, |unread| unread == 0);
        outlast(SHORT_GRACE);

        let all = scan(&[]).report();
        let limited = scan(&["--limit", "4"]).report();
        assert_eq!(items(&all["connections"]).count(), OLD + YOUNG);
        assert_eq!(all["connections_omitted"], 0);
        assert_eq!(items(&limited["connections"]).count(), OLD);
        assert_eq!(limited["connections_omitted"], YOUNG);
        let is_old = |one: &Value| one["age_ms"].as_u64().is_some_and(|age| age > 1000);
        assert!(
            items(&limited["connections"]).all(is_old),
            "{:#}",
            limited.json()
        );
        for report in [&all, &limited] {
            assert_eq!(report["summary"]["close_wait"]["total"], OLD + YOUNG);
            assert_eq!(
                report.only("unclosed-after-eof")["connections"],
                OLD + YOUNG
            );
        }
        let more = scan(&["--limit", "100"]).report();
        assert_eq!(items(&more["connections"]).count(), OLD + YOUNG);
        assert_eq!(more["connections_omitted"], 0);
    });
}

#[test]
fn a_table_says_how_many_it_does_not_list() {
    in_private_network(|| {
        let _server = start_server(&["unclosed-after-eof"]);
        come_and_go(OLD + YOUNG);
        wait_for_close_waits(OLD + YOUNG, |unread| unread == 0);
        outlast(SHORT_GRACE);
        let table = |more: &[&str]| {
            let scan = ["scan", "--port", "8080", "--min-age", "300ms"];
            String::from_utf8(doctor(&[&scan, more].concat()).stdout).expect("it prints text")
        };
        let rows = |table: &str| {
            table
                .lines()
                .filter(|line| line.contains(" CLOSE_WAIT  127."))
                .count()
        };
        for (options, listed) in [
            (&["--limit", "7"][..], 7),
            (&["--verbose", "--limit", "2"], 2),
            (&["--verbose"], OLD + YOUNG),
            (&["--connections"], OLD + YOUNG),
        ] {
            let table = table(options);
            assert_eq!(rows(&table), listed, "{options:?}\n{table}");
            let more = format!("and {} more like these", OLD + YOUNG - listed);
            assert_eq!(
                table.contains(&more),
                listed < OLD + YOUNG,
                "{options:?}\n{table}"
            );
        }
        // Without these options they are one line, with their number.
        let grouped = table(&[]);
        let number = format!("\n{:>6}  CLOSE_WAIT  ", OLD + YOUNG);
        assert!(grouped.contains(&number), "{grouped}");
        let none = table(&["--limit", "0"]);
        assert_eq!(rows(&none), 0, "{none}");
        assert!(none.contains("and 12 others"), "{none}");
    });
}
