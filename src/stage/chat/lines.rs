//! Bytes to the data of server-sent events, one line each: all that a chat server
//! sends (HTML Living Standard, 9.2.6; no event of theirs has two data lines).

use super::Error;

/// Bytes of one line: far more than a piece of an answer with all that servers
/// tell about it.
const MOST_LINE: usize = 256 << 10;

/// Takes an answer's bytes and gives out its events' data.
#[derive(Default)]
pub(super) struct Lines {
    /// What is no whole line yet.
    held: Vec<u8>,
    /// Bytes of it that were given out.
    read: usize,
}

impl Lines {
    /// Takes more bytes.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.held.drain(..self.read);
        self.read = 0;
        self.held.extend_from_slice(bytes);
        let whole = self.held.iter().rposition(|b| *b == b'\n');
        let open = self.held.len() - whole.map_or(0, |end| end + 1);
        if open > MOST_LINE {
            return Err(Error::NoAnswer("has a line without an end".into()));
        }
        Ok(())
    }

    /// The data of the next event that is whole.
    pub fn next(&mut self) -> Option<&[u8]> {
        loop {
            let rest = &self.held[self.read..];
            let end = rest.iter().position(|b| *b == b'\n')?;
            let line = &rest[..end];
            self.read += end + 1;
            if let Some(data) = line.strip_prefix(b"data:") {
                return Some(data.trim_ascii());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_read_in_pieces_of_any_size_and_nothing_else_is() {
        let sent =
            ": alive\r\nevent: x\r\ndata: {\"ä\": 1}\r\n\r\ndata:two\n\nid: 3\ndata: [DONE]\n\nda";
        for piece in [1, 2, 3, 7, 100] {
            let (mut lines, mut heard) = (Lines::default(), Vec::new());
            for bytes in sent.as_bytes().chunks(piece) {
                lines.push(bytes).expect("short lines");
                while let Some(data) = lines.next() {
                    heard.push(String::from_utf8(data.to_vec()).expect("text"));
                }
            }
            assert_eq!(heard, ["{\"ä\": 1}", "two", "[DONE]"]);
        }
    }

    #[test]
    fn a_line_without_an_end_is_not_kept() {
        let mut lines = Lines::default();
        let mut pushed = (0..).map(|_| lines.push(&[b'x'; 1 << 10]));
        assert!(pushed.by_ref().take(300).any(|pushed| pushed.is_err()));
    }
}
