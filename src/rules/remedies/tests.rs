use super::*;
use crate::correlate::fixtures;
use crate::model::{Library, Runtime, Server, Software};

const FINDINGS: [(&str, &[Cause]); 9] = [
    (
        "acceptor-busy",
        &[
            Cause::Descriptor,
            Cause::Nap,
            Cause::Computes,
            Cause::Lock,
            Cause::Kernel,
            Cause::Elsewhere,
            Cause::LoopEnded,
        ],
    ),
    (
        "listener-unwatched",
        &[
            Cause::LeftOut,
            Cause::NoInput,
            Cause::SpentOneShot,
            Cause::Supervisor,
            Cause::Orphan,
        ],
    ),
    ("edge-triggered-stall", &[Cause::LostEdge]),
    ("fd-limit-reached", &[Cause::AtLimit]),
    (
        "unread-eof",
        &[
            Cause::Halted,
            Cause::LeftOut,
            Cause::NoInput,
            Cause::SpentOneShot,
            Cause::LostEdge,
            Cause::LoopBusy,
            Cause::NoLoop,
            Cause::NoThread,
            Cause::Unclear,
        ],
    ),
    ("unclosed-after-eof", &[Cause::NotClosed]),
    ("inherited-descriptor", &[Cause::Shared]),
    ("idle-pool-connection", &[Cause::Pool]),
    ("dead-descriptor", &[Cause::NotClosed]),
];

const CLAIMS: [Claim; 7] = [
    Claim::SingleThread,
    Claim::ManyThreads,
    Claim::EndRead,
    Claim::HasClients,
    Claim::HandsOn,
    Claim::Helper,
    Claim::Grows,
];

fn software(runtime: Runtime, library: Option<Library>, server: Option<Server>) -> Software {
    Software {
        runtime,
        library,
        server,
        seen: Vec::new(),
    }
}

/// One of each kind that advice tells apart.
fn all_software() -> Vec<Software> {
    let languages = [
        Runtime::Unknown,
        Runtime::Go,
        Runtime::Rust,
        Runtime::Jvm,
        Runtime::Node,
        Runtime::Deno,
        Runtime::Bun,
        Runtime::Python,
        Runtime::Beam,
        Runtime::Ruby,
        Runtime::Php,
        Runtime::Perl,
        Runtime::DotNet,
    ]
    .map(|runtime| software(runtime, None, None));
    let libraries = [
        (Runtime::Rust, Library::Tokio),
        (Runtime::Jvm, Library::Netty),
        (Runtime::Jvm, Library::NettyEpoll),
        (Runtime::Unknown, Library::Libuv),
        (Runtime::Python, Library::Asyncio),
        (Runtime::Python, Library::Uvloop),
        (Runtime::Python, Library::Gevent),
        (Runtime::Python, Library::Eventlet),
        (Runtime::Python, Library::Twisted),
    ]
    .map(|(runtime, library)| software(runtime, Some(library), None));
    let servers = [
        (Runtime::Native, Server::Nginx),
        (Runtime::Native, Server::Apache),
        (Runtime::Native, Server::Haproxy),
        (Runtime::Native, Server::Envoy),
        (Runtime::Native, Server::Varnish),
        (Runtime::Native, Server::Lighttpd),
        (Runtime::Native, Server::PgBouncer),
        (Runtime::Native, Server::Postgres),
        (Runtime::Native, Server::Mysql),
        (Runtime::Native, Server::Redis),
        (Runtime::Native, Server::Memcached),
        (Runtime::Native, Server::Dnsmasq),
        (Runtime::Native, Server::Sshd),
        (Runtime::Native, Server::Stunnel),
        (Runtime::Native, Server::Socat),
        (Runtime::Native, Server::Tinyproxy),
        (Runtime::Native, Server::Vsftpd),
        (Runtime::Native, Server::Postfix),
        (Runtime::Native, Server::Dovecot),
        (Runtime::Beam, Server::RabbitMq),
        (Runtime::Php, Server::PhpFpm),
        (Runtime::Ruby, Server::Puma),
        (Runtime::Ruby, Server::Unicorn),
        (Runtime::Jvm, Server::Tomcat),
        (Runtime::Jvm, Server::Jetty),
        (Runtime::Jvm, Server::Undertow),
        (Runtime::Jvm, Server::JdkHttp),
        (Runtime::Python, Server::Gunicorn),
        (Runtime::Python, Server::Uvicorn),
        (Runtime::Python, Server::Hypercorn),
        (Runtime::Python, Server::Daphne),
        (Runtime::Python, Server::Uwsgi),
    ]
    .map(|(runtime, server)| software(runtime, None, Some(server)));
    languages
        .into_iter()
        .chain(libraries)
        .chain(servers)
        .collect()
}

/// Every combination of claims that can hold together.
fn claim_sets() -> Vec<Vec<Claim>> {
    (0u32..1 << CLAIMS.len())
        .map(|bits| {
            CLAIMS
                .iter()
                .enumerate()
                .filter(|(index, _)| bits & (1 << index) != 0)
                .map(|(_, claim)| *claim)
                .collect::<Vec<_>>()
        })
        .filter(|claims| {
            !(claims.contains(&Claim::SingleThread) && claims.contains(&Claim::ManyThreads))
        })
        .collect()
}

fn facts(finding: &'static str, cause: Cause, software: &Software, claims: &[Claim]) -> Facts {
    let mut process = fixtures::process(7);
    if let Some(examination) = &mut process.examination {
        examination.software = software.clone();
        examination.threads = crate::model::Reading::Unknown(crate::model::Gap::NotLookedAt);
    }
    let facts = Facts::of(finding, cause, Some(&process))
        .heir("helper[8]".to_owned())
        .place("--port 80".to_owned());
    claims
        .iter()
        .fold(facts, |facts, claim| facts.with(*claim, true))
}

/// Remedies as the JSON report has them.
fn in_words(facts: &Facts) -> Vec<String> {
    remedies(facts).iter().map(ToString::to_string).collect()
}

fn every_combination(mut check: impl FnMut(&Facts, &[String])) {
    let claim_sets = claim_sets();
    for software in all_software() {
        for (finding, causes) in FINDINGS {
            for cause in causes {
                for claims in &claim_sets {
                    let facts = facts(finding, *cause, &software, claims);
                    check(&facts, &in_words(&facts));
                }
            }
        }
    }
}

/// Words that only some can follow.
fn may_say(word: &str, facts: &Facts) -> bool {
    let software = &facts.software;
    let own_calls = !software.is_product()
        && matches!(software.runtime, Runtime::Unknown | Runtime::Native)
        && software.library.is_none();
    let python = software.runtime == Runtime::Python;
    match word {
        // Whoever uses EPOLLET in Python has set it.
        "EPOLL" => own_calls || (python && facts.finding == "edge-triggered-stall"),
        "epoll_ctl" | "EAGAIN" | "SOCK_CLOEXEC" => own_calls,
        "settimeout" => {
            let blocks = matches!(software.server, None | Some(Server::Gunicorn));
            python && software.library.is_none() && blocks
        }
        "asyncio" => {
            matches!(software.library, Some(Library::Asyncio | Library::Uvloop))
                || software.server == Some(Server::Uvicorn)
        }
        "maxConnections, and acceptCount" => software.server == Some(Server::Tomcat),
        "relieve" => facts.finding == "edge-triggered-stall" && !facts.knows(Claim::RuntimeEdges),
        "prlimit" | "LimitNOFILE" => {
            facts.finding == "fd-limit-reached"
                && matches!(
                    software.runtime,
                    Runtime::Unknown
                        | Runtime::Rust
                        | Runtime::Python
                        | Runtime::Ruby
                        | Runtime::Php
                        | Runtime::Perl
                )
        }
        "helper[8]" => facts.knows(Claim::Helper),
        "in the code" => !software.is_product(),
        "jstack" => software.runtime == Runtime::Jvm,
        "py-spy" => software.runtime == Runtime::Python,
        "kill -QUIT" => software.runtime == Runtime::Go,
        "read() returns 0" => facts.knows(Claim::EndRead),
        "merely inherited" | "on purpose" | "EMFILE" => false,
        _ => unreachable!("{word}"),
    }
}

#[test]
fn nobody_is_told_what_he_cannot_follow_or_what_the_look_refutes() {
    const WORDS: [&str; 19] = [
        "epoll_ctl",
        "EPOLL",
        "EAGAIN",
        "SOCK_CLOEXEC",
        "settimeout",
        "asyncio",
        "maxConnections, and acceptCount",
        "relieve",
        "prlimit",
        "LimitNOFILE",
        "helper[8]",
        "in the code",
        "jstack",
        "py-spy",
        "kill -QUIT",
        "read() returns 0",
        "merely inherited",
        "on purpose",
        "EMFILE",
    ];
    every_combination(|facts, remedies| {
        for word in WORDS {
            let said = remedies.iter().find(|remedy| remedy.contains(word));
            assert!(
                said.is_none() || may_say(word, facts),
                "{word} in {said:?} for {facts:?}"
            );
        }
    });
}

#[test]
fn every_finding_is_given_advice_that_is_not_said_twice() {
    every_combination(|facts, remedies| {
        // For a program that one configures there may be no option that helps.
        assert!(
            facts.software.is_product() || !remedies.is_empty(),
            "{facts:?}"
        );
        let different: std::collections::BTreeSet<_> = remedies.iter().collect();
        assert_eq!(different.len(), remedies.len(), "{remedies:?}");
        assert!(
            remedies.iter().all(|remedy| {
                !["{pid}", "{tid}", "{name}", "{heir}", "{where}"]
                    .iter()
                    .any(|blank| remedy.contains(blank))
            }),
            "{remedies:?}"
        );
    });
}

#[test]
fn no_two_remedies_of_a_finding_contradict_each_other() {
    const PAIRS: [(&str, &str); 3] = [
        ("relieve", "end some of the connections"),
        ("prlimit", "raise the hard one"),
        (
            "one has to end before the next",
            "why none of its workers accepts",
        ),
    ];
    every_combination(|facts, remedies| {
        for (one, other) in PAIRS {
            let says = |part: &str| remedies.iter().any(|remedy| remedy.contains(part));
            assert!(!(says(one) && says(other)), "{remedies:?} for {facts:?}");
        }
    });
}

#[test]
fn every_remedy_is_told_to_somebody_and_refuted_by_what_it_says() {
    let mut told = vec![false; table::all().count()];
    every_combination(|facts, remedies| {
        for (index, remedy) in table::all().enumerate() {
            if !told[index] && remedy.fits(facts).is_some() {
                told[index] = remedies.contains(&facts.advice(remedy.text).to_string());
            }
        }
    });
    for (remedy, told) in table::all().zip(told) {
        assert!(told, "{remedy:?}");
        let whom = all_software();
        for claim in remedy.refuted_by {
            for software in &whom {
                let refuted = facts(
                    remedy.findings[0],
                    remedy.causes.first().copied().unwrap_or(Cause::Unclear),
                    software,
                    &[*claim],
                );
                assert_eq!(remedy.fits(&refuted), None, "{remedy:?}");
            }
        }
    }
}

#[test]
fn roots_come_first_and_looks_last() {
    let plain = Software::default();
    let busy = in_words(&facts("acceptor-busy", Cause::Kernel, &plain, &[]));
    assert!(busy[0].starts_with("it waits for the kernel"));
    assert!(busy[busy.len() - 1].starts_with("see what it does"));
}

#[test]
fn of_one_topic_the_closest_wins() {
    let tomcat = software(Runtime::Jvm, None, Some(Server::Tomcat));
    let told = in_words(&facts("acceptor-busy", Cause::Lock, &tomcat, &[]));
    assert!(told[0].starts_with("Tomcat: "), "{told:?}");
    assert!(!told.iter().any(|remedy| remedy.starts_with("Java: ")));
    assert!(
        told.iter()
            .any(|remedy| remedy.contains("jcmd 7 Thread.print"))
    );
}

#[test]
fn commands_are_whole_and_apart_from_the_words() {
    let plain = Software::default();
    let mut facts = facts("acceptor-busy", Cause::Nap, &plain, &[]);
    let told = remedies(&facts);
    let look = told.last().expect("there is one");
    assert_eq!(look.text, "see what it does");
    assert_eq!(look.commands[0], "cat /proc/7/task/7/stack");
    assert!(
        look.to_string().contains("stack, or gdb -p 7 -batch"),
        "{look}"
    );
    // A name that looks like a command is none.
    facts = facts.heir("x\n$ reboot".to_owned());
    let advice = facts.advice("end {heir}\n$ kill {pid}");
    assert_eq!(advice.commands, ["kill 7"]);
}
