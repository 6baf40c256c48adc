//! What a viewer says after its offer (RFC 8840, RFC 9725): more candidates,
//! or new credentials, which restart ICE.

use super::TrickleError;
use super::section::{CANDIDATES, usable};

/// A fragment of SDP.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fragment<'a> {
    /// The viewer's user name half and password, if it named them.
    pub(super) credentials: Option<(&'a str, &'a str)>,
    /// Candidates that we can use, without `a=`.
    pub(super) candidates: Vec<&'a str>,
}

impl<'a> Fragment<'a> {
    /// Reads a fragment.
    pub(super) fn read(text: &'a str) -> Result<Self, TrickleError> {
        let value = |name: &str| {
            text.lines()
                .find_map(|line| line.trim_end().strip_prefix(name))
        };
        let ufrag = value("a=ice-ufrag:");
        let candidates = text
            .lines()
            .filter_map(|line| line.trim_end().strip_prefix("a="));
        let mut candidates: Vec<&str> = candidates
            .filter(|attribute| attribute.starts_with("candidate:"))
            .collect();
        let ends = text.contains("a=end-of-candidates");
        if ufrag.is_none() && candidates.is_empty() && !ends {
            return Err(TrickleError::Broken(
                "it has no a=ice-ufrag, no a=candidate",
            ));
        }
        candidates.retain(|candidate| usable(candidate));
        candidates.truncate(CANDIDATES);
        let credentials = match (ufrag, value("a=ice-pwd:")) {
            (Some(ufrag), Some(password)) => Some((ufrag, password)),
            (Some(_), None) => return Err(TrickleError::Broken("it has no a=ice-pwd")),
            (None, _) => None,
        };
        Ok(Self {
            credentials,
            candidates,
        })
    }
}

/// The offer `sdp` with the viewer's new `credentials` and `candidates`.
pub(super) fn renewed(sdp: &str, credentials: (&str, &str), candidates: &[&str]) -> String {
    let mut renewed = String::new();
    for line in sdp.lines() {
        match line.split_once(':').map(|(name, _)| name) {
            Some("a=ice-ufrag") => renewed += &format!("a=ice-ufrag:{}\r\n", credentials.0),
            Some("a=ice-pwd") => renewed += &format!("a=ice-pwd:{}\r\n", credentials.1),
            Some("a=candidate") => {}
            _ => renewed += &format!("{line}\r\n"),
        }
    }
    // They stand at the end of the last section: all share one transport.
    for candidate in candidates {
        renewed += &format!("a={candidate}\r\n");
    }
    renewed
}

/// The part of our `answer` that a restart changes, as a fragment.
pub(super) fn fragment(answer: &str) -> String {
    let mut fragment = String::new();
    let lines = answer.lines().skip_while(|line| !line.starts_with("m="));
    let mut sections = 0;
    for line in lines {
        sections += usize::from(line.starts_with("m="));
        let told = [
            "m=",
            "a=mid:",
            "a=ice-",
            "a=candidate:",
            "a=end-of-candidates",
        ];
        // One transport carries all: the first section describes it.
        if sections == 1 && told.iter().any(|name| line.starts_with(name)) {
            fragment += &format!("{line}\r\n");
        }
    }
    fragment
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::send::offer::tests::BROWSER;
    use crate::stage::send::offer::{Wanted, ufrag};

    #[test]
    fn a_fragment_is_credentials_and_candidates() {
        let fragment = Fragment::read(
            "a=ice-ufrag:abcd\r\na=ice-pwd:secret\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n\
             a=candidate:1 1 udp 1 192.0.2.1 5 typ host\r\n\
             a=candidate:2 1 udp 1 x.local 5 typ host\r\na=end-of-candidates\r\n",
        );
        let fragment = fragment.expect("a whole one");
        assert_eq!(fragment.credentials, Some(("abcd", "secret")));
        assert_eq!(
            fragment.candidates,
            ["candidate:1 1 udp 1 192.0.2.1 5 typ host"]
        );
    }

    #[test]
    fn an_end_of_candidates_is_enough_and_nothing_is_not() {
        assert!(Fragment::read("a=end-of-candidates").is_ok());
        for wrong in ["", "hello", "a=ice-ufrag:abcd"] {
            assert!(Fragment::read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_restart_changes_the_credentials_of_the_same_offer() {
        let offer = Wanted::read(BROWSER)
            .expect("an answerable offer")
            .offer
            .sdp;
        let renewed = renewed(&offer, ("new", "pass"), &["candidate:9"]);
        assert_eq!(ufrag(&renewed), Some("new"));
        assert!(!renewed.contains("abcd") && !renewed.contains("50000"));
        assert_eq!(renewed.matches("a=ice-pwd:pass").count(), 2);
        assert!(renewed.ends_with("a=candidate:9\r\n"));
    }
}
