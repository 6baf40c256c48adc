//! The little of STUN (RFC 8489) that the port reads and asks itself.

use std::net::{Ipv4Addr, SocketAddrV4};

const HEADER: usize = 20;
const COOKIE: [u8; 4] = 0x2112_A442_u32.to_be_bytes();
const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
const BINDING_SUCCESS: [u8; 2] = [0x01, 0x01];
const USERNAME: u16 = 0x0006;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;

/// Names a question, so that its answer is known.
pub(super) type Transaction = [u8; 12];

/// The half of the user name that its receiver chose, if `datagram` is a
/// binding request between peers.
pub(super) fn asked_ufrag(datagram: &[u8]) -> Option<&str> {
    let name = attribute(datagram, BINDING_REQUEST, USERNAME)?;
    let (ufrag, _theirs) = std::str::from_utf8(name).ok()?.split_once(':')?;
    Some(ufrag)
}

/// The address that a server saw us at, if `datagram` answers `transaction`.
pub(super) fn seen_at(datagram: &[u8], transaction: Transaction) -> Option<SocketAddrV4> {
    if datagram.get(8..HEADER)? != transaction {
        return None;
    }
    let value = attribute(datagram, BINDING_SUCCESS, XOR_MAPPED_ADDRESS)?;
    let [_, 1, p0, p1, a, b, c, d] = *value else {
        return None; // Not IPv4.
    };
    let port = u16::from_be_bytes([p0 ^ COOKIE[0], p1 ^ COOKIE[1]]);
    let ip = std::array::from_fn(|n| [a, b, c, d][n] ^ COOKIE[n]);
    Some(SocketAddrV4::new(Ipv4Addr::from(ip), port))
}

/// The question to a server: where do you see me?
pub(super) fn question(transaction: Transaction) -> [u8; HEADER] {
    let mut message = [0; HEADER];
    message[..2].copy_from_slice(&BINDING_REQUEST);
    message[4..8].copy_from_slice(&COOKIE);
    message[8..].copy_from_slice(&transaction);
    message
}

/// The value of attribute `wanted` in a message of type `kind`.
fn attribute(datagram: &[u8], kind: [u8; 2], wanted: u16) -> Option<&[u8]> {
    if !datagram.starts_with(&kind) || datagram.get(4..8)? != COOKIE {
        return None;
    }
    let mut rest = datagram.get(HEADER..)?;
    while let [t0, t1, l0, l1, ..] = *rest {
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        let value = rest.get(4..4 + length)?;
        if u16::from_be_bytes([t0, t1]) == wanted {
            return Some(value);
        }
        rest = rest.get(4 + length.next_multiple_of(4)..)?;
    }
    None
}

/// A binding request from a peer, without what proves it.
#[cfg(test)]
pub(super) fn request(name: &str) -> Vec<u8> {
    let padded = name.len().next_multiple_of(4);
    let mut message = question([7; 12]).to_vec();
    message[3] = padded as u8 + 4;
    message.extend(USERNAME.to_be_bytes());
    message.extend((name.len() as u16).to_be_bytes());
    message.extend(name.as_bytes());
    message.resize(HEADER + 4 + padded, 0);
    message
}

/// A server's answer to `question`, from where it came.
#[cfg(test)]
pub(super) fn answer(question: &[u8], seen: SocketAddrV4) -> Vec<u8> {
    let mut message = question.to_vec();
    message[..2].copy_from_slice(&BINDING_SUCCESS);
    message[3] = 12;
    message.extend(XOR_MAPPED_ADDRESS.to_be_bytes());
    message.extend([0, 8, 0, 1]);
    let port = seen.port().to_be_bytes();
    message.extend((0..2).map(|n| port[n] ^ COOKIE[n]));
    let ip = seen.ip().octets();
    message.extend((0..4).map(|n| ip[n] ^ COOKIE[n]));
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_request_names_its_receiver() {
        assert_eq!(asked_ufrag(&request("ours:theirs")), Some("ours"));
        assert_eq!(asked_ufrag(&request("ours")), None);
    }

    #[test]
    fn no_datagram_breaks_the_reader() {
        let whole = request("ours:his");
        for length in 0..whole.len() {
            assert_eq!(asked_ufrag(&whole[..length]), None);
        }
        let mut lying = whole;
        lying[22] = 0xFF; // The attribute claims 65 kB.
        assert_eq!(asked_ufrag(&lying), None);
        assert_eq!(asked_ufrag(&[0x80; 40]), None);
    }

    #[test]
    fn an_answer_says_where_we_were_seen() {
        let seen = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 5), 8080);
        let answer = answer(&question([9; 12]), seen);
        assert_eq!(answer[26..28], [0x1F ^ 0x21, 0x90 ^ 0x12]);
        assert_eq!(seen_at(&answer, [9; 12]), Some(seen));
        assert_eq!(seen_at(&answer, [8; 12]), None);
    }
}
