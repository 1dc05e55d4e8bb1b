//! One connection: what was received and not answered, what is still to be sent, and until when.

use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use super::request::{LONGEST_HEAD, Parsed, Request, parse};
use super::respond::{Answer, refusal};

/// A whole request has to come within this time after its first byte, or after the connection was made.
const REQUEST_TIME: Duration = Duration::from_secs(5);

/// An answer has to be taken within this time.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// A connection without a request stays for this long: longer than Prometheus' usual interval of a minute.
const IDLE_TIME: Duration = Duration::from_secs(90);

/// A connection of a client.
pub(super) struct Client<S> {
    stream: S,
    received: Vec<u8>,
    to_send: Vec<u8>,
    sent: usize,
    deadline: Instant,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Between two requests.
    Idle,
    /// A request has begun to come.
    Receiving,
    /// An answer is on its way; whether the connection stays after it.
    Sending { keep_alive: bool },
}

/// Whether a connection stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Stays,
    Ends,
}

impl<S: Read + Write> Client<S> {
    /// A connection that was just made.
    pub(super) fn new(stream: S, now: Instant) -> Self {
        Self {
            stream,
            received: Vec::new(),
            to_send: Vec::new(),
            sent: 0,
            deadline: now + REQUEST_TIME,
            stage: Stage::Receiving,
        }
    }

    pub(super) fn stream(&self) -> &S {
        &self.stream
    }

    /// Returns whether it waits to send, and not to receive.
    pub(super) fn wants_to_send(&self) -> bool {
        matches!(self.stage, Stage::Sending { .. })
    }

    /// Returns whether its time is over.
    pub(super) fn is_late(&self, now: Instant) -> bool {
        now >= self.deadline
    }

    /// Returns whether it is only kept for a request that may come.
    pub(super) fn is_idle(&self) -> bool {
        self.stage == Stage::Idle
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Goes on as far as the connection allows; `respond` makes answers.
    pub(super) fn proceed(
        &mut self,
        now: Instant,
        respond: &mut dyn FnMut(&Request) -> Answer,
    ) -> Fate {
        match self.try_proceed(now, respond) {
            Ok(fate) => fate,
            // Whoever breaks a connection off needs no answer.
            Err(_) => Fate::Ends,
        }
    }

    fn try_proceed(
        &mut self,
        now: Instant,
        respond: &mut dyn FnMut(&Request) -> Answer,
    ) -> io::Result<Fate> {
        loop {
            if let Stage::Sending { keep_alive } = self.stage {
                if !self.send()? {
                    return Ok(Fate::Stays);
                }
                if !keep_alive {
                    return Ok(Fate::Ends);
                }
                self.stage = Stage::Idle;
                self.deadline = now + IDLE_TIME;
                // Others come first, however fast this one asks.
                return Ok(Fate::Stays);
            }
            if self.take_request(now, respond) {
                continue;
            }
            match self.receive(now)? {
                Received::More => {}
                Received::NothingYet => return Ok(Fate::Stays),
                Received::End => return Ok(Fate::Ends),
            }
        }
    }

    /// Begins to answer, if a whole request is there.
    fn take_request(&mut self, now: Instant, respond: &mut dyn FnMut(&Request) -> Answer) -> bool {
        if self.received.is_empty() {
            return false;
        }
        let answer = match parse(&self.received) {
            Parsed::Incomplete => return false,
            Parsed::Refused(status) => refusal(status),
            Parsed::Request(mut request) => {
                // Whoever sends the next request before the answer gets one answer: nobody who scrapes does.
                request.keep_alive &= request.length == self.received.len();
                self.received.clear();
                respond(&request)
            }
        };
        self.to_send = answer.bytes;
        self.sent = 0;
        self.deadline = now + ANSWER_TIME;
        self.stage = Stage::Sending {
            keep_alive: answer.keep_alive,
        };
        true
    }

    fn receive(&mut self, now: Instant) -> io::Result<Received> {
        let mut buffer = [0; LONGEST_HEAD];
        loop {
            return match self.stream.read(&mut buffer) {
                Ok(0) => Ok(Received::End),
                Ok(length) => {
                    if self.stage == Stage::Idle {
                        self.stage = Stage::Receiving;
                        self.deadline = now + REQUEST_TIME;
                    }
                    self.received.extend_from_slice(&buffer[..length]);
                    Ok(Received::More)
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Received::NothingYet),
                Err(error) => Err(error),
            };
        }
    }

    /// Sends what the connection takes; returns whether that was all.
    fn send(&mut self) -> io::Result<bool> {
        while self.sent < self.to_send.len() {
            match self.stream.write(&self.to_send[self.sent..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(length) => self.sent += length,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.to_send = Vec::new();
        Ok(true)
    }
}

enum Received {
    More,
    NothingYet,
    End,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection of which the test says what comes and how much goes.
    #[derive(Default)]
    struct Wire {
        comes: Vec<u8>,
        ended: bool,
        takes: usize,
        went: Vec<u8>,
    }

    impl Read for Wire {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.comes.is_empty() {
                return if self.ended {
                    Ok(0)
                } else {
                    Err(ErrorKind::WouldBlock.into())
                };
            }
            let length = buffer.len().min(self.comes.len());
            for (place, byte) in buffer.iter_mut().zip(self.comes.drain(..length)) {
                *place = byte;
            }
            Ok(length)
        }
    }

    impl Write for Wire {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let length = bytes.len().min(self.takes);
            if length == 0 {
                return Err(ErrorKind::WouldBlock.into());
            }
            self.takes -= length;
            self.went.extend_from_slice(&bytes[..length]);
            Ok(length)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn hello(request: &Request) -> Answer {
        Answer {
            status: 200,
            bytes: b"hello".to_vec(),
            keep_alive: request.keep_alive,
        }
    }

    fn client(comes: &str, now: Instant) -> Client<Wire> {
        let wire = Wire {
            comes: comes.as_bytes().to_vec(),
            takes: 1000,
            ..Wire::default()
        };
        Client::new(wire, now)
    }

    const REQUEST: &str = "GET / HTTP/1.1\r\n\r\n";

    #[test]
    fn a_connection_stays_for_the_next_request_and_ends_with_its_client() {
        let now = Instant::now();
        let mut client = client(REQUEST, now);
        for answers in ["hello", "hellohello"] {
            assert_eq!(client.proceed(now, &mut hello), Fate::Stays);
            assert_eq!(client.stream.went, answers.as_bytes());
            assert!(client.is_idle());
            client.stream.comes = REQUEST.as_bytes().to_vec();
        }
        client.stream.comes.clear();
        client.stream.ended = true;
        assert_eq!(client.proceed(now, &mut hello), Fate::Ends);
    }

    #[test]
    fn requests_that_do_not_wait_for_their_answers_get_one() {
        let now = Instant::now();
        let mut client = client(&REQUEST.repeat(100), now);
        assert_eq!(client.proceed(now, &mut hello), Fate::Ends);
        assert_eq!(client.stream.went, b"hello");
    }

    #[test]
    fn a_byte_now_and_then_gains_no_time() {
        let now = Instant::now();
        let mut client = client("G", now);
        client.proceed(now, &mut hello);
        client.stream.comes = b"E".to_vec();
        let later = now + REQUEST_TIME;
        client.proceed(later, &mut hello);
        assert!(client.is_late(later));
    }

    #[test]
    fn an_answer_that_is_not_taken_has_a_deadline() {
        let now = Instant::now();
        let mut client = client(REQUEST, now);
        client.stream.takes = 2;
        assert_eq!(client.proceed(now, &mut hello), Fate::Stays);
        assert!(client.wants_to_send());
        assert!(client.is_late(now + ANSWER_TIME));
        client.stream.takes = 10;
        client.proceed(now, &mut hello);
        assert_eq!(client.stream.went, b"hello");
    }

    #[test]
    fn what_is_no_request_is_refused_and_ended() {
        let now = Instant::now();
        let mut client = client("\x16\x03\x01nonsense", now);
        assert_eq!(client.proceed(now, &mut hello), Fate::Ends);
        assert!(client.stream.went.starts_with(b"HTTP/1.1 400 "));
    }
}
