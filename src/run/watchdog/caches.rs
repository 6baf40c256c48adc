//! The clips' caches of decoded pictures, of every avatar in use. Sessions share
//! avatars: each counts once.

use std::sync::Arc;

use crate::avatar::{Avatar, Cache, Clip};
use crate::run::sessions::Sessions;

/// Every avatar in use, and whether anybody watches it.
pub(super) struct Caches(Vec<(Arc<Avatar>, bool)>);

impl Caches {
    pub fn of(sessions: &Sessions) -> Self {
        let mut avatars: Vec<(Arc<Avatar>, bool)> = Vec::new();
        for session in sessions.all() {
            let shown = Arc::clone(&session.cast().avatar);
            let known = avatars
                .iter_mut()
                .find(|(avatar, _)| Arc::ptr_eq(avatar, &shown));
            match known {
                Some((_, watched)) => *watched |= session.watched(),
                None => avatars.push((shown, session.watched())),
            }
        }
        Self(avatars)
    }

    /// Shares `most` bytes out, and what is `left` of the budget until a cache
    /// would have to give something up again.
    pub fn allow(&self, most: usize, left: usize) {
        let shares = self.0.len().max(1);
        for (cache, _) in self.caches() {
            cache.set_limit((most / shares).min(cache.bytes() + left / shares));
        }
    }

    /// Lets caches keep what is in use: what they have where somebody watches, and
    /// nothing where nobody does.
    pub fn freeze(&self) {
        for (cache, watched) in self.caches() {
            if watched {
                cache.freeze();
            } else {
                cache.set_limit(0);
            }
        }
    }

    /// Empties the caches, and lets them keep nothing.
    pub fn close(&self) {
        for (cache, _) in self.caches() {
            cache.set_limit(0);
        }
    }

    /// Bytes that the caches keep.
    pub fn kept(&self) -> u64 {
        self.caches().map(|(cache, _)| cache.bytes() as u64).sum()
    }

    /// Bytes of decoded pictures, kept or not.
    pub fn decoded(&self) -> u64 {
        self.all().map(|clip| clip.decoded_bytes() as u64).sum()
    }

    /// Bytes of the clips, compressed and decoded.
    pub fn clips(&self) -> u64 {
        self.decoded() + self.all().map(|clip| clip.bytes() as u64).sum::<u64>()
    }

    /// The caches: only the clip that plays fills one.
    fn caches(&self) -> impl Iterator<Item = (&Cache, bool)> {
        self.0
            .iter()
            .map(|(avatar, watched)| (&avatar.idle().cache, *watched))
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Clip>> {
        self.0
            .iter()
            .flat_map(|(avatar, _)| avatar.clips().map(|(_, clip)| clip))
    }
}
