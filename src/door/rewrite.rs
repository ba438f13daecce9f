//! Prints a vetted head as the request tiny_http gets. It has no raw byte of the client's, only what was understood.

use super::backend::TICKET_HEADER;
use super::parse::Head;

/// The head of the private request, blank line included.
pub(super) fn rewrite(head: &Head, ticket: &str) -> Vec<u8> {
    let mut printed = format!("{} {} HTTP/1.{}\r\n", head.method, head.target, head.minor);
    for (name, value) in &head.headers {
        push_line(&mut printed, name, value);
    }
    // A private connection has one request, so that a request that goes wrong can't affect the next one.
    push_line(&mut printed, "connection", "close");
    push_line(&mut printed, TICKET_HEADER, ticket);
    printed.push_str("\r\n");
    printed.into_bytes()
}

fn push_line(printed: &mut String, name: &str, value: &str) {
    for part in [name, ": ", value, "\r\n"] {
        printed.push_str(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::limits::Limits;
    use crate::door::parse::parse;

    #[track_caller]
    fn check(sent: &str, printed: &str) {
        let head = parse(sent.as_bytes(), &Limits::for_descriptors(1024)).unwrap();
        assert_eq!(String::from_utf8(rewrite(&head, "T")).unwrap(), printed);
    }

    #[test]
    fn a_plain_request() {
        check(
            "GET /a?b HTTP/1.1\nHost:  here \nAccept:\t*/*\n\n",
            "GET /a?b HTTP/1.1\r\nhost: here\r\naccept: */*\r\nconnection: close\r\nx-gate-ticket: T\r\n\r\n",
        );
    }

    #[test]
    fn the_clients_version_is_kept() {
        check(
            "HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            "HEAD / HTTP/1.0\r\nconnection: close\r\nx-gate-ticket: T\r\n\r\n",
        );
    }

    #[test]
    fn a_forged_ticket_is_dropped() {
        check(
            "GET / HTTP/1.1\r\nHost: a\r\nX-Gate-Ticket: forged\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx-gate-ticket: T\r\n\r\n",
        );
    }
}
