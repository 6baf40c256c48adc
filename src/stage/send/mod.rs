//! Viewers by WebRTC: packets of a session to browsers and players.
//!
//! All viewers share one UDP port (`port`), each has a connection of its own
//! (`connect`) and a task that feeds it (`viewer`). [`Viewers`] is the bounded
//! register of all of them; whoever signals (WHEP) talks to it.

mod config; // [media]
mod connect; // an offer -> a connection
mod line; // a connection's way through the port
mod offer; // the offer read, the answer written
mod outside; // addresses that lead to the port
mod port; // one UDP port for all
mod reports; // RTCP: one clock for sound and picture
mod rtp; // Packet -> RTP
mod section; // one section of an offer
mod stun; // where a server sees us, whom a viewer asks for
mod trickle; // what a viewer says later
mod viewer; // the task that feeds a connection

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

use crate::hub::Hub;
use crate::stats::Stats;
use config::links;
pub use config::{Config, Turn};
use connect::{Begun, Connection};
use offer::Offer;
use port::Port;

/// How long the viewers have to hear the goodbye at the end: with the last
/// requests' time, the program ends within two seconds.
const GOODBYE: Duration = Duration::from_secs(1);

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
    /// The viewer's mistake.
    #[error("the offer can't be read: {0}")]
    Broken(String),
    /// There is nothing to watch with.
    #[error("the offer must ask for video: add a video section that is recvonly")]
    NoVideo,
    /// The viewer decodes nothing that we encode.
    #[error("no video codec in common: offer H264 or VP8")]
    NoCodec,
    /// Every seat is taken.
    #[error("all {0} viewers' seats are taken: try again later")]
    Full(u32),
    /// Memory is short.
    #[error("memory is short, no more viewers are taken now: try again later")]
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
    /// No such viewer, or no longer.
    #[error("there is no such viewer: it has left, or it never was")]
    Gone,
    /// It belongs to an agreement that was replaced.
    #[error("If-Match names another ETag: the connection was restarted since")]
    Stale,
    /// A restart must say what it replaces.
    #[error("new credentials restart ICE: send If-Match: \"*\" with them")]
    Unconditional,
    /// The viewer's mistake.
    #[error("the fragment can't be read: {0}")]
    Broken(&'static str),
}

/// What an offer gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The viewer's name, which nobody can guess.
    pub id: String,
    /// Names this state of the connection, without quotes.
    pub etag: String,
    /// The answer, with all candidates.
    pub sdp: String,
}

/// What a fragment did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trickled {
    /// Its candidates are tried.
    Added,
    /// ICE began anew.
    Restarted {
        /// Names the new state, without quotes.
        etag: String,
        /// Our new credentials and candidates.
        fragment: String,
    },
}

/// The viewers of all sessions. Clones are the same register.
#[derive(Clone)]
pub struct Viewers(Arc<Register>);

struct Register {
    port: Port,
    links: Vec<String>,
    max: u32,
    seats: Arc<Semaphore>,
    viewers: Mutex<HashMap<String, Entry>>,
    refusing: AtomicBool,
    stopping: AtomicBool,
}

struct Entry {
    session: String,
    connection: Arc<Connection>,
    leave: watch::Sender<bool>,
}

impl Viewers {
    /// Opens the port. Wants tokio's runtime.
    pub async fn bind(config: &Config) -> Result<Self, Error> {
        if config.max_viewers == 0 {
            return Err(Error::NoSeats);
        }
        let links = links(config)?;
        Ok(Self(Arc::new(Register {
            port: Port::bind(config).await?,
            links,
            max: config.max_viewers,
            seats: Arc::new(Semaphore::new(config.max_viewers as usize)),
            viewers: Mutex::default(),
            refusing: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
        })))
    }

    /// The UDP port in use.
    pub fn port(&self) -> u16 {
        self.0.port.number()
    }

    /// Values of the `Link` headers that tell viewers their ICE servers.
    pub fn links(&self) -> &[String] {
        &self.0.links
    }

    /// Answers a viewer of `session`, and feeds it from `hub` as soon as it is
    /// connected. The session may end meanwhile: `hub` is not kept alive.
    pub async fn offer(
        &self,
        session: &str,
        hub: &Arc<Hub>,
        stats: &Arc<Stats>,
        sdp: &str,
    ) -> Result<Answer, OfferError> {
        let seat = self.seat()?;
        let offer = Offer::read(sdp)?;
        let register = Arc::clone(&self.0);
        let (session, hub) = (session.to_owned(), Arc::downgrade(hub));
        let stats = Arc::clone(stats);
        // On a task of its own: a client that hangs up meanwhile leaves nothing
        // half made, and what the connection can't stomach ends only itself.
        let made = tokio::spawn(async move {
            let begun = connect::answer(&register.port, offer).await?;
            let Begun {
                connection,
                streams,
                sdp,
                etag,
            } = begun;
            let connection = Arc::new(connection);
            let id = random_name();
            let (leave, told) = watch::channel(false);
            let entry = Entry {
                session,
                connection: Arc::clone(&connection),
                leave,
            };
            register.enter(id.clone(), entry)?;
            let answer = Answer {
                id: id.clone(),
                etag,
                sdp,
            };
            tokio::spawn(async move {
                viewer::serve(connection, streams, hub, stats, told).await;
                register.leave(&id, seat);
            });
            Ok(answer)
        });
        made.await
            .unwrap_or_else(|_| Err(OfferError::Broken("it makes no sense".to_owned())))
    }

    /// Takes a fragment for viewer `id`, sent with the header `If-Match`.
    pub async fn trickle(
        &self,
        id: &str,
        if_match: Option<&str>,
        fragment: &str,
    ) -> Result<Trickled, TrickleError> {
        let connection = lock(&self.0.viewers)
            .get(id)
            .map(|entry| Arc::clone(&entry.connection))
            .ok_or(TrickleError::Gone)?;
        connection.trickle(&self.0.port, if_match, fragment).await
    }

    /// Ends viewer `id`. Whether there was one.
    pub fn close(&self, id: &str) -> bool {
        let entry = lock(&self.0.viewers).remove(id);
        entry.is_some_and(|entry| entry.leave.send(true).is_ok())
    }

    /// Ends every viewer of `session`.
    pub fn close_session(&self, session: &str) {
        for entry in lock(&self.0.viewers).values() {
            if entry.session == session {
                // An error says that it has left already.
                let _left = entry.leave.send(true);
            }
        }
    }

    /// Whether viewer `id` belongs to `session`.
    pub fn has(&self, session: &str, id: &str) -> bool {
        let viewers = lock(&self.0.viewers);
        viewers
            .get(id)
            .is_some_and(|entry| entry.session == session)
    }

    /// Viewers of `session`.
    pub fn count(&self, session: &str) -> usize {
        let viewers = lock(&self.0.viewers);
        viewers.values().filter(|e| e.session == session).count()
    }

    /// Takes no more viewers while `refuse` holds. Those who watch go on.
    pub fn refuse(&self, refuse: bool) {
        self.0.refusing.store(refuse, Relaxed);
    }

    /// Takes no more viewers ever, says goodbye to all, and waits until they
    /// heard it, at most a second.
    pub async fn close_all(&self) {
        self.0.stopping.store(true, Relaxed);
        for entry in lock(&self.0.viewers).values() {
            // An error says that it has left already.
            let _left = entry.leave.send(true);
        }
        let empty = self.0.seats.acquire_many(self.0.max);
        if timeout(GOODBYE, empty).await.is_err() {
            tracing::debug!("some viewers did not take the goodbye in time");
        }
    }

    fn seat(&self) -> Result<OwnedSemaphorePermit, OfferError> {
        if self.0.stopping.load(Relaxed) {
            return Err(OfferError::Stopping);
        }
        if self.0.refusing.load(Relaxed) {
            return Err(OfferError::Refused);
        }
        let seats = Arc::clone(&self.0.seats);
        seats
            .try_acquire_owned()
            .map_err(|_| OfferError::Full(self.0.max))
    }
}

impl Register {
    fn enter(&self, id: String, entry: Entry) -> Result<(), OfferError> {
        let mut viewers = lock(&self.viewers);
        // Under the lock: who enters before the end is told of it.
        if self.stopping.load(Relaxed) {
            return Err(OfferError::Stopping);
        }
        viewers.insert(id, entry);
        Ok(())
    }

    fn leave(&self, id: &str, seat: OwnedSemaphorePermit) {
        let entry = lock(&self.viewers).remove(id);
        drop((entry, seat));
    }
}

/// 128 random bits in hex.
fn random_name() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// Locks what no panic can leave half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
