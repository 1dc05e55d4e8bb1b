//! Servers that are well: one false alarm is worse than one finding less.

use std::process::Command;

use crate::support::{
    Load, Nginx, Program, SHORT_GRACE, connect_many, have, in_private_network, outlast, scan,
    start_server, stop, talk,
};

#[test]
fn a_server_without_clients_is_healthy() {
    in_private_network(|| {
        let _server = start_server(&["healthy"]);
        let report = scan(&[]).report();
        report.assert_healthy();
        assert_eq!(report["summary"]["listeners"], 1);
    });
}

#[test]
fn a_level_triggered_server_is_healthy_under_load() {
    in_private_network(|| assert_healthy_under_load(&["healthy", "--trigger", "level"]));
}

#[test]
fn an_edge_triggered_server_that_drains_its_queue_is_healthy_under_load() {
    in_private_network(|| assert_healthy_under_load(&["healthy", "--trigger", "edge"]));
}

#[test]
fn a_server_with_several_workers_on_one_listener_is_healthy_under_load() {
    in_private_network(|| assert_healthy_under_load(&["prefork", "--workers", "3"]));
}

#[test]
fn a_server_with_several_listeners_on_one_port_is_healthy_under_load() {
    in_private_network(|| assert_healthy_under_load(&["reuse-port", "--workers", "3"]));
}

fn assert_healthy_under_load(arguments: &[&str]) {
    let _server = start_server(arguments);
    let load = Load::start(4);
    for _ in 0..5 {
        scan(&[]).report().assert_healthy();
    }
    assert!(load.visits() > 100, "this was no load");
}

#[test]
fn connections_that_stay_open_are_healthy() {
    in_private_network(|| {
        let _server = start_server(&["healthy"]);
        let mut clients = connect_many(50);
        clients.iter_mut().for_each(talk);
        outlast(SHORT_GRACE);
        scan(&[]).report().assert_healthy();
    });
}

#[test]
fn one_stopped_worker_of_two_leaves_the_listener_healthy() {
    in_private_network(|| {
        let server = start_server(&["prefork", "--workers", "2"]);
        stop(server.workers()[0]);
        let mut clients = connect_many(4);
        clients.iter_mut().for_each(talk);
        outlast(SHORT_GRACE);
        scan(&[]).report().assert_healthy();
    });
}

#[test]
fn nginx_is_healthy_under_load_with_keep_alive() {
    in_private_network(|| assert_nginx_healthy(&[]));
}

#[test]
fn nginx_is_healthy_under_load_with_a_connection_for_each_request() {
    in_private_network(|| assert_nginx_healthy(&["-H", "Connection: close"]));
}

fn assert_nginx_healthy(wrk_options: &[&str]) {
    if !have("nginx") || !have("wrk") {
        return;
    }
    let _nginx = Nginx::start();
    let mut wrk = Command::new("wrk");
    wrk.args(["-t1", "-c20", "-d3s", "http://127.0.0.1:8080/"])
        .args(wrk_options);
    let mut load = Program::start(&mut wrk);
    let mut looks = 0;
    while !load.has_ended() {
        scan(&[]).report().assert_healthy();
        looks += 1;
    }
    load.wait_for_line("requests in 3");
    assert!(looks > 1, "looked {looks} times in 3 s");
}
