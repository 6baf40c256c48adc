//! Mouthpiece: sound in, a face that speaks it out, in real time. This page is the map.
//!
//! # The path
//!
//! ```text
//! device ─▶ tap ─────┬▶ door ─▶ ring 3 ─┐
//! voice ──▶ jitter ──┘                  │
//! speech ─▶ queue ─▶ 10 chunks ─────────┼▶ script ─▶ renderer ─▶ ring 2 ─▶ encoders ─▶ hub ─▶ viewers
//! file ───▶ loop  ─▶ 10 chunks ─────────┘   mel, voice, lip-sync, compose          └─▶ ring 1 ─▶ window
//! ```
//!
//! Text is pushed speech too: [`stage::tts`] makes it, [`run::say`] pushes it. So is
//! what [`stage::chat`] has answered, by [`run::chat`]. A voice is what somebody publishes
//! by WHIP: it is live sound, in the place of the device or file.
//!
//! One chunk of 40 ms, one frame: [`media::AudioChunk`] goes in, [`pool::Frame`] and
//! [`media::Packet`] come out, and what belongs together has the same `pts`.
//!
//! # The modules
//!
//! Words are what travels: [`media`], [`ring`], [`pool`], [`hub`], [`avatar`], [`model`],
//! [`memory`], [`gpu`], [`process`], [`events`], [`stats`], the [`remote`] servers that are asked,
//! and the [`bounds`] of what is configured. A [`stage`] does one thing to it. A [`run`] puts stages on threads.
//! [`control`] is the HTTP API over the runs. Imports point up that list only, stages
//! never import each other, and `tests/architecture.rs` holds it.
//!
//! # The threads
//!
//! | thread | does | waits for |
//! |---|---|---|
//! | device callback | pushes samples into a tap | nothing, ever |
//! | `capture` | cuts chunks; the device is opened by helpers aside | samples |
//! | `publisher` | decodes a published voice, one each | packets, their time |
//! | `speech`, `loop` | decode sound files ahead | room |
//! | `clip` | decodes the avatar's pictures ahead | room |
//! | `render` | everything from a chunk to a frame, and Opus | a chunk, or 40 ms |
//! | `encode` | H.264, VP8 | a frame |
//! | `record` | recordings to the disk, one each | packets |
//! | `imports` | has uploads imported, by processes that stand back | an upload |
//! | `network` | HTTP and viewers, a task each | sockets |
//! | `watchdog` | memory, the line of the log | a second |
//! | main | signals | a signal |
//!
//! # The bounds
//!
//! Every queue has one, a named constant with its reason. Live media that is late loses
//! its oldest item, and whoever pushed counts it; pushed speech pushes back and loses no
//! word. Frames come from a pool of fixed size. What is cached can be emptied at any
//! moment. From the device to the encoder's input nothing is allocated once warm;
//! `tests/no_alloc.rs` counts.
//!
//! # Stopping
//!
//! Stopping is the end of the stream: the source is dropped, its ring closes, each loop
//! returns when its input ends and so closes its output. There are no stop flags on the
//! path.

#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod avatar;
pub mod bounds;
pub mod config;
pub mod control;
pub mod events;
pub mod gpu;
pub mod hub;
pub mod media;
pub mod memory;
pub mod model;
pub mod native;
pub mod pool;
pub mod process;
pub mod program;
pub mod remote;
pub mod ring;
pub mod run;
mod scale;
pub mod stage;
pub mod stats;
pub mod toml_text;
