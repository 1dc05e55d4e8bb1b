//! Answers to requests.

use std::io::Write;
use std::time::Instant;

use super::pages::Pages;
use super::request::{Method, Request};
use crate::render::metrics::{Exposition, HttpTally, write_end};

/// An answer, as it goes to the client.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) bytes: Vec<u8>,
    pub(super) keep_alive: bool,
}

const PLAIN: &str = "text/plain; charset=utf-8";

const HOME: &str = "<!doctype html><title>closewait-doctor exporter</title>\
    <h1>closewait-doctor exporter</h1><p><a href=\"metrics\">metrics</a>, <a href=\"healthz\">healthz</a></p>\n";

/// Answers a request from the pages of the last look.
pub(super) fn answer(request: &Request, pages: &Pages, tally: &HttpTally, now: Instant) -> Answer {
    if request.method == Method::Other {
        return Answer::new(405, PLAIN, b"only GET and HEAD\n", request);
    }
    match request.path.as_str() {
        "/metrics" => {
            let body = metrics(pages, tally, request.exposition);
            Answer::new(200, request.exposition.content_type(), &body, request)
        }
        "/healthz" if now <= pages.fresh_until => Answer::new(200, PLAIN, b"ok\n", request),
        "/healthz" => Answer::new(503, PLAIN, b"no look has succeeded lately\n", request),
        "/report" => match &pages.report {
            Some(report) => Answer::new(200, "application/json", report, request),
            None => Answer::new(404, PLAIN, b"no report here\n", request),
        },
        "/" => Answer::new(200, "text/html; charset=utf-8", HOME.as_bytes(), request),
        _ => Answer::new(404, PLAIN, b"see /metrics and /healthz\n", request),
    }
}

/// Refuses what is no request; the connection ends with it.
pub(super) fn refusal(status: u16) -> Answer {
    let text = format!("{}\n", reason(status));
    Answer {
        status,
        bytes: whole(status, PLAIN, text.as_bytes(), false, true),
        keep_alive: false,
    }
}

impl Answer {
    fn new(status: u16, content_type: &str, body: &[u8], request: &Request) -> Self {
        let has_body = request.method != Method::Head;
        Self {
            status,
            bytes: whole(status, content_type, body, request.keep_alive, has_body),
            keep_alive: request.keep_alive,
        }
    }
}

fn metrics(pages: &Pages, tally: &HttpTally, exposition: Exposition) -> Vec<u8> {
    let page = match exposition {
        Exposition::Text => &pages.text,
        Exposition::OpenMetrics => &pages.open_metrics,
    };
    let mut body = page.clone();
    write_end(tally, exposition, &mut body).expect("writing to memory cannot fail");
    body
}

fn whole(
    status: u16,
    content_type: &str,
    body: &[u8],
    keep_alive: bool,
    has_body: bool,
) -> Vec<u8> {
    let connection = if keep_alive { "keep-alive" } else { "close" };
    let mut bytes = Vec::with_capacity(body.len() + 256);
    write!(
        bytes,
        "HTTP/1.1 {status} {}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: {connection}\r\n\r\n",
        reason(status),
        body.len()
    )
    .expect("writing to memory cannot fail");
    if has_body {
        bytes.extend_from_slice(body);
    }
    bytes
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Error",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn pages(now: Instant) -> Pages {
        Pages {
            text: b"a 1\n".to_vec(),
            open_metrics: b"a 1\n".to_vec(),
            report: None,
            fresh_until: now + Duration::from_secs(1),
        }
    }

    fn get(path: &str, exposition: Exposition) -> Request {
        Request {
            method: Method::Get,
            path: path.to_owned(),
            exposition,
            keep_alive: true,
            length: 0,
        }
    }

    fn text(answer: &Answer) -> String {
        String::from_utf8(answer.bytes.clone()).unwrap()
    }

    #[test]
    fn metrics_end_as_their_format_wants() {
        let now = Instant::now();
        let tally = HttpTally::default();
        let open = answer(
            &get("/metrics", Exposition::OpenMetrics),
            &pages(now),
            &tally,
            now,
        );
        assert!(text(&open).ends_with("# EOF\n"));
        let plain = answer(&get("/metrics", Exposition::Text), &pages(now), &tally, now);
        assert!(!text(&plain).contains("# EOF"));
        assert!(text(&plain).contains("version=0.0.4"));
    }

    #[test]
    fn health_is_that_of_the_looks() {
        let now = Instant::now();
        let ask = |at| {
            let request = get("/healthz", Exposition::Text);
            answer(&request, &pages(now), &HttpTally::default(), at).status
        };
        assert_eq!(ask(now), 200);
        assert_eq!(ask(now + Duration::from_secs(2)), 503);
    }

    #[test]
    fn a_head_has_the_length_and_no_body() {
        let now = Instant::now();
        let request = Request {
            method: Method::Head,
            ..get("/", Exposition::Text)
        };
        let head = answer(&request, &pages(now), &HttpTally::default(), now);
        assert!(text(&head).ends_with("\r\n\r\n"));
        assert!(text(&head).contains(&format!("Content-Length: {}\r\n", HOME.len())));
    }

    #[test]
    fn the_report_is_not_there_unless_it_was_asked_for() {
        let now = Instant::now();
        let request = get("/report", Exposition::Text);
        let answered = answer(&request, &pages(now), &HttpTally::default(), now);
        assert_eq!(answered.status, 404);
    }
}
