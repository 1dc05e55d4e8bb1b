//! What a client asks for, from the bytes it sent.

use httparse::{EMPTY_HEADER, Header, Request as Parser, Status};

use crate::render::metrics::Exposition;

/// The longest head of a request, in bytes. Prometheus sends some 300.
pub(super) const LONGEST_HEAD: usize = 8192;

/// The most headers; Prometheus sends six.
const MOST_HEADERS: usize = 64;

/// A whole request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: Method,
    /// The path, without the query.
    pub(super) path: String,
    /// The format of metrics that it prefers.
    pub(super) exposition: Exposition,
    /// Whether the connection stays for the next request.
    pub(super) keep_alive: bool,
    /// How many bytes it took.
    pub(super) length: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Head,
    Other,
}

/// What the bytes of a client come to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// The head has not ended yet.
    Incomplete,
    /// A request.
    Request(Request),
    /// Something that cannot be answered but with this status.
    Refused(u16),
}

/// Parses the head of a request. A body is refused: none of what is served takes one.
pub(super) fn parse(bytes: &[u8]) -> Parsed {
    let mut headers = [EMPTY_HEADER; MOST_HEADERS];
    let mut parser = Parser::new(&mut headers);
    let length = match parser.parse(bytes) {
        Ok(Status::Complete(length)) if length <= LONGEST_HEAD => length,
        Ok(Status::Partial) if bytes.len() < LONGEST_HEAD => return Parsed::Incomplete,
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Parsed::Refused(431),
        Err(_) => return Parsed::Refused(400),
    };
    if has_body(parser.headers) {
        return Parsed::Refused(413);
    }
    let target = parser.path.unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default();
    Parsed::Request(Request {
        method: match parser.method {
            Some("GET") => Method::Get,
            Some("HEAD") => Method::Head,
            _ => Method::Other,
        },
        path: path.to_owned(),
        exposition: exposition(parser.headers),
        keep_alive: parser.version == Some(1) && !says_close(parser.headers),
        length,
    })
}

fn values<'h>(headers: &'h [Header], name: &'h str) -> impl Iterator<Item = &'h str> {
    headers
        .iter()
        .filter(move |header| header.name.eq_ignore_ascii_case(name))
        .filter_map(|header| std::str::from_utf8(header.value).ok())
}

fn has_body(headers: &[Header]) -> bool {
    let is_chunked = values(headers, "transfer-encoding").next().is_some();
    is_chunked || values(headers, "content-length").any(|length| length.trim() != "0")
}

fn says_close(headers: &[Header]) -> bool {
    let words = values(headers, "connection").flat_map(|value| value.split(','));
    words
        .into_iter()
        .any(|word| word.trim().eq_ignore_ascii_case("close"))
}

/// Of the formats that are offered, OpenMetrics 1.0 is taken where it is wanted at all: Prometheus names it first.
fn exposition(headers: &[Header]) -> Exposition {
    let wants = |media: &str| {
        media.trim().starts_with("application/openmetrics-text")
            && !media.contains("version=0.0.1")
            && !media.replace(' ', "").ends_with("q=0")
    };
    let mut accepted = values(headers, "accept").flat_map(|value| value.split(','));
    if accepted.any(wants) {
        Exposition::OpenMetrics
    } else {
        Exposition::Text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(text: &str) -> Request {
        match parse(text.as_bytes()) {
            Parsed::Request(request) => request,
            other => panic!("{other:?}"),
        }
    }

    /// What Prometheus 2.42 sends.
    const PROMETHEUS: &str = "GET /metrics HTTP/1.1\r\nHost: localhost:9742\r\nUser-Agent: Prometheus/2.42.0\r\n\
        Accept: application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
        text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\nAccept-Encoding: gzip\r\n\
        X-Prometheus-Scrape-Timeout-Seconds: 10\r\n\r\n";

    #[test]
    fn a_scrape_of_prometheus_gets_openmetrics_and_keeps_its_connection() {
        let scrape = request(PROMETHEUS);
        assert_eq!(scrape.method, Method::Get);
        assert_eq!(scrape.path, "/metrics");
        assert_eq!(scrape.exposition, Exposition::OpenMetrics);
        assert!(scrape.keep_alive);
        assert_eq!(scrape.length, PROMETHEUS.len());
    }

    #[test]
    fn who_does_not_ask_for_openmetrics_gets_text() {
        let curl = request("GET /metrics?x=1 HTTP/1.1\r\nAccept: */*\r\nConnection: Close\r\n\r\n");
        assert_eq!(curl.exposition, Exposition::Text);
        assert_eq!(curl.path, "/metrics");
        assert!(!curl.keep_alive);
        assert!(!request("GET / HTTP/1.0\r\n\r\n").keep_alive);
    }

    #[test]
    fn what_is_no_request_is_refused() {
        assert_eq!(parse(b"GET /metrics HT"), Parsed::Incomplete);
        assert_eq!(parse(b"\x16\x03\x01\x02\x00"), Parsed::Refused(400));
        let post = "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello";
        assert_eq!(parse(post.as_bytes()), Parsed::Refused(413));
        let endless = format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(LONGEST_HEAD));
        assert_eq!(parse(endless.as_bytes()), Parsed::Refused(431));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: a\r\n".repeat(100));
        assert_eq!(parse(many.as_bytes()), Parsed::Refused(431));
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
        }
    }
}
