//! The kinds of problems, each with a `type` that stays what it is, so that programs
//! can tell them apart.

use axum::http::StatusCode;

/// Declares the kinds: what a kind means is its documentation here and there.
macro_rules! kinds {
    ($($(#[doc = $meaning:literal])+ $kind:ident = $status:ident, $name:literal, $title:literal;)+) => {
        /// What kind of problem it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind {
            $($(#[doc = $meaning])+ $kind,)+
        }

        impl Kind {
            /// Every kind, those of a status together, the general one first.
            pub const ALL: &[Self] = &[$(Self::$kind),+];

            /// Its status.
            pub fn status(self) -> StatusCode {
                match self { $(Self::$kind => StatusCode::$status),+ }
            }

            /// Its name: the end of its `type`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$kind => $name),+ }
            }

            /// Its `title`.
            pub fn title(self) -> &'static str {
                match self { $(Self::$kind => $title),+ }
            }

            /// What it means, in a sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$kind => concat!($($meaning),+).trim_ascii()),+ }
            }
        }
    };
}

kinds! {
    /// The request can't be read: its path, its query or its body is broken.
    BadRequest = BAD_REQUEST, "bad-request", "The request can't be read";
    /// This port speaks HTTPS, and was spoken to without TLS.
    PlainHttp = BAD_REQUEST, "plain-http", "HTTPS is spoken here";
    /// No token was shown, or a wrong one.
    Unauthorized = UNAUTHORIZED, "unauthorized", "A token is wanted";
    /// It isn't for who asks.
    Forbidden = FORBIDDEN, "forbidden", "Not for who asks";
    /// The viewers' token was shown, which doesn't control.
    ViewersToken = FORBIDDEN, "viewers-token", "This token only watches";
    /// A page of another site asks, which `http.cors_origins` doesn't name.
    OtherSite = FORBIDDEN, "other-site", "A page of another site asks";
    /// The request is for a name that may be another site's (DNS rebinding).
    OtherHost = FORBIDDEN, "other-host", "The request is for another name";
    /// There is no such thing.
    NotFound = NOT_FOUND, "not-found", "Not found";
    /// There is no session of this name.
    NoSession = NOT_FOUND, "no-session", "No such session";
    /// The address has other methods.
    MethodNotAllowed = METHOD_NOT_ALLOWED, "method-not-allowed", "Not with this method";
    /// The offer has no codec that is sent here.
    NoCodec = NOT_ACCEPTABLE, "no-codec", "No codec in common";
    /// The request, or a part of it, took too long to come.
    TooSlow = REQUEST_TIMEOUT, "too-slow", "The request came too slowly";
    /// It can't be done in the present state.
    Conflict = CONFLICT, "conflict", "Not in the present state";
    /// The session, or the program, is ending.
    Ending = CONFLICT, "ending", "The session is ending";
    /// There is a session of this name already.
    SessionTaken = CONFLICT, "session-taken", "The session is there already";
    /// What was to be said was cut off by an interrupt before it began.
    Silenced = CONFLICT, "silenced", "Interrupted before it began";
    /// The viewer's description has changed since the one that `If-Match` names.
    Stale = PRECONDITION_FAILED, "stale", "The ETag is no longer right";
    /// The body is larger than it may be.
    TooLarge = PAYLOAD_TOO_LARGE, "too-large", "The body is too large";
    /// The body is of another kind than what is taken here.
    OtherType = UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "A body of another type is wanted";
    /// The file doesn't have the range that is asked for.
    OutOfRange = RANGE_NOT_SATISFIABLE, "out-of-range", "The range is outside of the file";
    /// The body can be read and not be used: a field is missing, unknown or out of bounds.
    Unprocessable = UNPROCESSABLE_ENTITY, "unprocessable", "The body can't be used";
    /// No sound could be found in what was sent.
    NotSound = UNPROCESSABLE_ENTITY, "not-sound", "This is no sound";
    /// The offer, or the fragment, is no SDP that can be answered.
    BrokenOffer = UNPROCESSABLE_ENTITY, "broken-offer", "The offer can't be answered";
    /// The address is a WebSocket's.
    WebSocket = UPGRADE_REQUIRED, "websocket", "A WebSocket is wanted";
    /// A restart of ICE wants `If-Match`.
    Unconditional = PRECONDITION_REQUIRED, "precondition-required", "If-Match is wanted";
    /// There is too much at once.
    TooMany = TOO_MANY_REQUESTS, "too-many", "Too much at once";
    /// The address asks more often than `http.requests_per_s` allows.
    TooOften = TOO_MANY_REQUESTS, "too-often", "Asked too often";
    /// As much waits to be spoken as `speech.queue_s` allows.
    QueueFull = TOO_MANY_REQUESTS, "queue-full", "There is enough to say";
    /// The program failed: its log says why.
    Internal = INTERNAL_SERVER_ERROR, "internal", "The program failed";
    /// Another program that is needed for it failed.
    Upstream = BAD_GATEWAY, "upstream", "Another program failed";
    /// It can't be done now.
    Unavailable = SERVICE_UNAVAILABLE, "unavailable", "Not now";
    /// Every place is taken: of connections, uploads, listeners or streams.
    Busy = SERVICE_UNAVAILABLE, "busy", "Every place is taken";
    /// Every viewer's place (`media.max_viewers`) is taken.
    NoSeat = SERVICE_UNAVAILABLE, "no-seat", "Every viewer's place is taken";
    /// Processors, memory or `sessions.max` have no room for another session.
    NoRoom = SERVICE_UNAVAILABLE, "no-room", "No room for another session";
    /// The process is over its memory budget.
    OverMemory = SERVICE_UNAVAILABLE, "over-memory", "Over the memory budget";
    /// Another program that is needed for it took too long.
    UpstreamSlow = GATEWAY_TIMEOUT, "upstream-slow", "Another program took too long";
    /// The disk, or what recordings may have of it, is full.
    DiskFull = INSUFFICIENT_STORAGE, "disk-full", "The disk is full";
    /// The folder of avatars and models can't be written.
    NotWritable = INSUFFICIENT_STORAGE, "not-writable", "The folder can't be written";
}

impl Kind {
    /// The general kind of `status`.
    pub fn of(status: StatusCode) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|kind| kind.status() == status)
    }

    /// The kind called `name`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// Its `type`: an address at which it is explained (RFC 9457, 3.1.1).
    pub fn address(self) -> String {
        format!("{ADDRESS}/{}", self.name())
    }
}

/// Where the kinds are explained.
pub const ADDRESS: &str = "/problems";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_kind_has_a_name_of_its_own_and_says_what_it_means() {
        let names: BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        let titles: BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.title()).collect();
        assert_eq!(
            (names.len(), titles.len()),
            (Kind::ALL.len(), Kind::ALL.len())
        );
        for kind in Kind::ALL {
            let plain = |c: char| c.is_ascii_lowercase() || c == '-';
            assert!(kind.name().chars().all(plain), "{kind:?}");
            assert!(kind.meaning().ends_with('.'), "{kind:?}");
            assert_eq!(Kind::named(kind.name()), Some(*kind));
            let general = Kind::of(kind.status()).expect("its status has one");
            assert_eq!(general.status(), kind.status());
        }
    }
}
