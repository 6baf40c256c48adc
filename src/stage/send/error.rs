//! What can go wrong on the way to viewers, and from who publishes.

use std::io;

/// Why the port could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody else has it.
    #[error("UDP port {port} is in use: stop the other program or set media.udp_port")]
    Busy {
        /// The port.
        port: u16,
    },
    /// The system says no.
    #[error("cannot open UDP port {port}: set media.udp_port to one that this user may open")]
    Bind {
        /// The port.
        port: u16,
        /// What the system says.
        source: io::Error,
    },
    /// A name that leads nowhere.
    #[error("media.announce names {name}, which cannot be found: mend or remove it")]
    Announce {
        /// The name.
        name: String,
        /// What the name server says.
        source: io::Error,
    },
    /// An address that is none.
    #[error("{key} has {url:?}, which is no such server: write {example}")]
    Server {
        /// The key in the configuration.
        key: &'static str,
        /// What it has.
        url: String,
        /// What it could have.
        example: &'static str,
    },
    /// A name or word that no header can carry.
    #[error("media.turn has a username or credential for {url} that is not plain ASCII: change it")]
    Credential {
        /// The server's address.
        url: String,
    },
    /// Nobody could watch.
    #[error("media.max_viewers is 0, so nobody could watch: set it to 1 or more")]
    NoSeats,
}

/// Why an offer was refused.
#[derive(Debug, thiserror::Error)]
pub enum OfferError {
    /// The other side's mistake.
    #[error("the offer can't be read: {0}")]
    Broken(String),
    /// There is nothing to watch with.
    #[error("the offer must ask for video: add a video section that is recvonly")]
    NoVideo,
    /// The viewer decodes nothing that we encode.
    #[error("no video codec in common: offer H264 or VP8")]
    NoCodec,
    /// Nothing is published.
    #[error("the offer must bring a voice: add an audio section that is sendonly")]
    NoVoice,
    /// The voice is coded in a way that we don't decode.
    #[error("no sound codec in common: offer opus/48000/2")]
    NoOpus,
    /// The session is spoken for.
    #[error("somebody publishes a voice for this session: wait until they have ended")]
    Taken,
    /// There are enough voices.
    #[error("{0} voices are published, as many as are taken: try again later")]
    Crowded(u32),
    /// Every seat is taken.
    #[error("all {0} viewers' seats are taken: try again later")]
    Full(u32),
    /// Memory is short.
    #[error("memory is short, nobody more is taken now: try again later")]
    Refused,
    /// The program is about to end.
    #[error("the server is stopping")]
    Stopping,
    /// Our own mistake.
    #[error("the connection could not be made: {0}")]
    Failed(String),
}

/// Why a fragment was refused.
#[derive(Debug, thiserror::Error)]
pub enum TrickleError {
    /// No such viewer or publisher, or no longer.
    #[error("there is nobody of this name: they have left, or never were")]
    Gone,
    /// It belongs to an agreement that was replaced.
    #[error("If-Match names another ETag: the connection was restarted since")]
    Stale,
    /// A restart must say what it replaces.
    #[error("new credentials restart ICE: send If-Match: \"*\" with them")]
    Unconditional,
    /// The other side's mistake.
    #[error("the fragment can't be read: {0}")]
    Broken(&'static str),
}
