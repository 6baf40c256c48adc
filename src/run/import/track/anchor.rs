//! Eyes and mouth, smoothed over the frames in which they were detected.

use super::super::features::USUAL;
use super::{DOWN, GRAIN, Seen};
use crate::avatar::Face;

/// Frames over which what was detected is averaged (one standard deviation).
const SMOOTHED: f64 = 25.0;

/// The faces of one run: what was detected, smoothed in the template's coordinates.
pub(super) fn anchors(frames: &[Seen]) -> Vec<Option<Face>> {
    let lifted: Vec<(f64, [f64; 2], Option<[f64; 2]>)> = (0..)
        .zip(frames)
        .filter_map(|(n, seen)| {
            let (place, sighting) = (seen.place?, seen.sighting?);
            let lift = |at| place.lift(at);
            Some((f64::from(n), lift(sighting.eyes), sighting.mouth.map(lift)))
        })
        .collect();
    let usual = [0.0, (USUAL - DOWN) / GRAIN];
    let eyes = Anchor::new(
        lifted.iter().map(|(n, eyes, _)| (*n, *eyes)),
        [0.0, -DOWN / GRAIN],
    );
    let mouths = lifted
        .iter()
        .filter_map(|(n, _, mouth)| Some((*n, (*mouth)?)));
    let mouth = Anchor::new(mouths, usual);
    let laid = (0..).zip(frames).map(|(n, seen)| {
        let place = seen.place?;
        let lay = |anchor: &Anchor| place.lay(anchor.at(f64::from(n))).map(|x| x as f32);
        Some(Face {
            eyes: lay(&eyes),
            mouth: lay(&mouth),
        })
    });
    laid.collect()
}

/// A point of the template that changes slowly, seen now and then with errors.
struct Anchor {
    seen: Vec<(f64, [f64; 2])>,
    otherwise: [f64; 2],
}

impl Anchor {
    fn new(seen: impl Iterator<Item = (f64, [f64; 2])>, otherwise: [f64; 2]) -> Self {
        let mut seen: Vec<_> = seen.collect();
        let median = |mut values: Vec<f64>| {
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied()
        };
        for n in 0..2 {
            let Some(middle) = median(seen.iter().map(|(_, at)| at[n]).collect()) else {
                break;
            };
            let spread = median(seen.iter().map(|(_, at)| (at[n] - middle).abs()).collect());
            // Half a pixel of the template more, where all agree.
            let most = 3.0 * spread.unwrap_or_default() + 0.5;
            seen.retain(|(_, at)| (at[n] - middle).abs() <= most);
        }
        Self { seen, otherwise }
    }

    fn at(&self, frame: f64) -> [f64; 2] {
        let (mut sum, mut weights) = ([0.0; 2], 0.0);
        for (n, at) in &self.seen {
            // A trace of every one, so that a long gap has something to hold on to.
            let weight = (-((n - frame) / SMOOTHED).powi(2) / 2.0).exp() + 1e-4;
            weights += weight;
            for (sum, x) in sum.iter_mut().zip(at) {
                *sum += x * weight;
            }
        }
        if weights == 0.0 {
            return self.otherwise;
        }
        sum.map(|x| x / weights)
    }
}
