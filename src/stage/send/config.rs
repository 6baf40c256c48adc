//! How viewers and publishers reach us, as it is configured.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Error;
use crate::bounds::{OutOfBounds, within};

/// The section `[media]`: how viewers reach us.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The one UDP port of all viewers and publishers. 0 takes any free one.
    pub udp_port: u16,
    /// Addresses or names under which viewers find this machine, beside its
    /// own: the public one behind a router or in a container.
    pub announce: Vec<String>,
    /// STUN servers (`stun:host:port`) that tell us how the world sees us, and
    /// viewers how it sees them.
    pub stun: Vec<String>,
    /// TURN servers that relay for viewers who reach nothing else.
    pub turn: Vec<Turn>,
    /// Viewers at a time, of all sessions.
    pub max_viewers: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            udp_port: 8189,
            announce: Vec::new(),
            stun: Vec::new(),
            turn: Vec::new(),
            max_viewers: 16,
        }
    }
}

impl Config {
    /// Refuses a house without a seat, or with more than a port can serve.
    ///
    /// # Errors
    ///
    /// A sentence that names the key and its bounds.
    pub fn check(&self) -> Result<(), OutOfBounds> {
        within("media.max_viewers", self.max_viewers, 1..=10_000)
    }
}

/// A TURN server, as viewers are told it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    /// Its addresses: `turn:host:port?transport=udp`, `turns:…`.
    pub urls: Vec<String>,
    /// The user name.
    pub username: String,
    /// The password. Every viewer who may watch gets to know it.
    pub credential: String,
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn")
            .field("urls", &self.urls)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// The `Link` headers of `config`, checked.
pub(super) fn links(config: &Config) -> Result<Vec<String>, Error> {
    let server = |key, url: &String, schemes: &[&str], example| {
        let known = schemes.iter().any(|scheme| url.starts_with(scheme));
        let plain = url
            .chars()
            .all(|c| c.is_ascii_graphic() && !"<>\"".contains(c));
        (known && plain && !url.ends_with(':'))
            .then(|| format!("<{url}>; rel=\"ice-server\""))
            .ok_or_else(|| Error::Server {
                key,
                url: url.clone(),
                example,
            })
    };
    let mut links = Vec::new();
    for url in &config.stun {
        let example = "stun:stun.example.org:3478";
        links.push(server("media.stun", url, &["stun:"], example)?);
    }
    for turn in &config.turn {
        for url in &turn.urls {
            let example = "turn:turn.example.org:3478?transport=udp";
            let link = server("media.turn", url, &["turn:", "turns:"], example)?;
            let words = [&turn.username, &turn.credential];
            if !words
                .iter()
                .all(|w| w.chars().all(|c| matches!(c, ' '..='~')))
            {
                return Err(Error::Credential { url: url.clone() });
            }
            let [name, word] = words.map(|word| quotable(word));
            links.push(format!(
                "{link}; username=\"{name}\"; credential=\"{word}\"; credential-type=\"password\""
            ));
        }
    }
    Ok(links)
}

/// `text` for between the quotes of a header.
fn quotable(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ice_servers_are_told_in_the_order_that_players_expect() {
        let config = Config {
            stun: vec!["stun:stun.example.org".into()],
            turn: vec![Turn {
                urls: vec!["turn:turn.example.org:3478?transport=udp".into()],
                username: "me".into(),
                credential: "a\"b".into(),
            }],
            ..Config::default()
        };
        assert_eq!(
            links(&config).expect("good addresses"),
            [
                r#"<stun:stun.example.org>; rel="ice-server""#,
                r#"<turn:turn.example.org:3478?transport=udp>; rel="ice-server"; username="me"; credential="a\"b"; credential-type="password""#,
            ]
        );
    }

    #[test]
    fn a_wrong_server_is_named_with_a_right_one() {
        for (stun, turn) in [("turn.example.org", "turn:a"), ("stun:a", "stun:b\r\nX: y")] {
            let config = Config {
                stun: vec![stun.into()],
                turn: vec![Turn {
                    urls: vec![turn.into()],
                    username: String::new(),
                    credential: String::new(),
                }],
                ..Config::default()
            };
            let sentence = links(&config).expect_err("one is wrong").to_string();
            assert!(sentence.contains("example.org:3478"), "{sentence}");
        }
    }

    #[test]
    fn a_password_is_not_printed() {
        let turn = Turn {
            urls: vec![],
            username: "me".into(),
            credential: "secret".into(),
        };
        assert!(!format!("{turn:?}").contains("secret"));
    }
}
