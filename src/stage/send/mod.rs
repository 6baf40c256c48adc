//! Viewers by WebRTC: packets of a session to browsers and players. And the other
//! way the voice that somebody publishes.
//!
//! All share one UDP port (`port`), each has a connection of its own (`connect`)
//! and a task that feeds it (`viewer`) or listens to it (`publisher`). [`Viewers`]
//! is the bounded register of all of them; whoever signals (WHEP, WHIP) talks to it.

mod codec; // what the connection knows of codecs
mod config; // [media]
mod connect; // an offer -> a connection
mod error; // what can go wrong
mod incoming; // a connection -> VoicePacket
mod line; // a connection's way through the port
mod offer; // the offer read, the answer written
mod outgoing; // Packet -> a connection
mod outside; // addresses that lead to the port
mod port; // one UDP port for all
mod publisher; // the task that listens to a connection
mod reports; // RTCP: one clock for sound and picture
mod rtp; // Packet -> RTP
mod section; // one section of an offer
mod stun; // where a server sees us, whom a viewer asks for
mod trickle; // what the other side says later
mod viewer; // the task that feeds a connection

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

use crate::hub::Hub;
use crate::stats::Stats;
use config::links;
pub use config::{Config, Turn};
use connect::Connection;
pub use error::{Error, OfferError, TrickleError};
use offer::Wanted;
use outgoing::Begun;
use port::Port;
pub use publisher::PUBLISHER_BYTES;
use publisher::PUBLISHERS;

/// What a viewer takes, in bytes: its connection, its keys, what waits to be sent
/// again. Each of four more took 0.4 to 0.7 MB.
pub const VIEWER_BYTES: u64 = 3 << 18;
/// How long the viewers have to hear the goodbye at the end: with the last
/// requests' time, the program ends within two seconds.
const GOODBYE: Duration = Duration::from_secs(1);

/// What an offer gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The name of who offered, which nobody can guess.
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

/// The viewers of all sessions, and who publishes a voice. Clones are the same register.
#[derive(Clone)]
pub struct Viewers(Arc<Register>);

struct Register {
    port: Port,
    links: Vec<String>,
    max: u32,
    seats: Arc<Semaphore>,
    publishers: Arc<Semaphore>,
    entries: Mutex<HashMap<String, Entry>>,
    refusing: AtomicBool,
    stopping: AtomicBool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Viewer,
    Publisher,
}

struct Entry {
    session: String,
    role: Role,
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
            publishers: Arc::new(Semaphore::new(PUBLISHERS as usize)),
            entries: Mutex::default(),
            refusing: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
        })))
    }

    /// The UDP port in use.
    pub fn port(&self) -> u16 {
        self.0.port.number()
    }

    /// Values of the `Link` headers that tell the other side its ICE servers.
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
        let wanted = Wanted::read(sdp)?;
        let register = Arc::clone(&self.0);
        let (session, hub) = (session.to_owned(), Arc::downgrade(hub));
        let stats = Arc::clone(stats);
        let making = async move {
            let Begun {
                connection,
                streams,
                sdp,
                etag,
            } = outgoing::answer(&register.port, wanted).await?;
            let connection = Arc::new(connection);
            let id = random_name();
            let (leave, told) = watch::channel(false);
            let entry = Entry {
                session,
                role: Role::Viewer,
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
        };
        aside(making).await
    }

    /// Takes a fragment for `id`, sent with the header `If-Match`.
    pub async fn trickle(
        &self,
        id: &str,
        if_match: Option<&str>,
        fragment: &str,
    ) -> Result<Trickled, TrickleError> {
        let connection = lock(&self.0.entries)
            .get(id)
            .map(|entry| Arc::clone(&entry.connection))
            .ok_or(TrickleError::Gone)?;
        connection.trickle(&self.0.port, if_match, fragment).await
    }

    /// Ends the connection `id`. Whether there was one.
    pub fn close(&self, id: &str) -> bool {
        let entry = lock(&self.0.entries).remove(id);
        entry.is_some_and(|entry| entry.leave.send(true).is_ok())
    }

    /// Ends every connection of `session`.
    pub fn close_session(&self, session: &str) {
        for entry in lock(&self.0.entries).values() {
            if entry.session == session {
                // An error says that it has left already.
                let _left = entry.leave.send(true);
            }
        }
    }

    /// Whether the connection `id` belongs to `session`.
    pub fn has(&self, session: &str, id: &str) -> bool {
        let viewers = lock(&self.0.entries);
        viewers
            .get(id)
            .is_some_and(|entry| entry.session == session)
    }

    /// Viewers of `session`.
    pub fn count(&self, session: &str) -> usize {
        let viewers = lock(&self.0.entries);
        let of_session = viewers.values().filter(|e| e.session == session);
        of_session.filter(|e| e.role == Role::Viewer).count()
    }

    /// Takes nobody more while `refuse` holds. Those who watch or publish go on.
    pub fn refuse(&self, refuse: bool) {
        self.0.refusing.store(refuse, Relaxed);
    }

    /// Takes nobody more ever, says goodbye to all, and waits until they heard it,
    /// at most a second.
    pub async fn close_all(&self) {
        self.0.stopping.store(true, Relaxed);
        for entry in lock(&self.0.entries).values() {
            // An error says that it has left already.
            let _left = entry.leave.send(true);
        }
        let empty = async {
            let viewers = self.0.seats.acquire_many(self.0.max);
            let publishers = self.0.publishers.acquire_many(PUBLISHERS);
            // Neither is ever closed.
            let _all = (viewers.await, publishers.await);
        };
        if timeout(GOODBYE, empty).await.is_err() {
            tracing::debug!("some did not take the goodbye in time");
        }
    }

    fn seat(&self) -> Result<OwnedSemaphorePermit, OfferError> {
        self.admits()?;
        let seats = Arc::clone(&self.0.seats);
        seats
            .try_acquire_owned()
            .map_err(|_| OfferError::Full(self.0.max))
    }

    /// Whether anybody is taken now.
    fn admits(&self) -> Result<(), OfferError> {
        if self.0.stopping.load(Relaxed) {
            return Err(OfferError::Stopping);
        }
        if self.0.refusing.load(Relaxed) {
            return Err(OfferError::Refused);
        }
        Ok(())
    }
}

impl Register {
    fn enter(&self, id: String, entry: Entry) -> Result<(), OfferError> {
        let mut entries = lock(&self.entries);
        // Under the lock: who enters before the end is told of it, and of two who
        // want to publish one may.
        if self.stopping.load(Relaxed) {
            return Err(OfferError::Stopping);
        }
        let rival = |other: &Entry| other.role == entry.role && other.session == entry.session;
        if entry.role == Role::Publisher && entries.values().any(rival) {
            return Err(OfferError::Taken);
        }
        entries.insert(id, entry);
        Ok(())
    }

    fn leave(&self, id: &str, seat: OwnedSemaphorePermit) {
        let entry = lock(&self.entries).remove(id);
        drop((entry, seat));
    }
}

/// Makes a connection on a task of its own: a client that hangs up meanwhile
/// leaves nothing half made, and what the connection can't stomach ends only itself.
async fn aside(
    making: impl Future<Output = Result<Answer, OfferError>> + Send + 'static,
) -> Result<Answer, OfferError> {
    let made = tokio::spawn(making).await;
    made.unwrap_or_else(|_| Err(OfferError::Broken("it makes no sense".to_owned())))
}

/// 128 random bits in hex.
fn random_name() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// Locks what no panic can leave half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
