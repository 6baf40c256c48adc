//! Sound files on their way in: to the disk, bounded in number, size and time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek, Write};
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::form::{Bounds, Form, PATIENCE};
use super::problem::{Kind, Problem};

/// Uploads at a time: one session speaks one after the other anyway.
const AT_ONCE: usize = 4;
/// When a place may be free again.
const AGAIN: Duration = Duration::from_secs(5);

/// Takes sound files in.
pub struct Uploads {
    bounds: Bounds,
    places: Semaphore,
}

/// A file that came in.
#[derive(Debug)]
pub(super) struct Upload {
    pub file: File,
    /// Its name or type, as its sender called it.
    pub hint: String,
    /// What a form has beside it, by name.
    pub fields: BTreeMap<String, String>,
}

impl Uploads {
    /// Takes files of `most` bytes.
    pub fn new(most: u64) -> Self {
        let too_large = Problem::too_large(format!(
            "The sound file is larger than {} MB (speech.max_upload_mb).",
            most >> 20
        ));
        Self {
            bounds: Bounds {
                most,
                patience: PATIENCE,
                too_large,
            },
            places: Semaphore::new(AT_ONCE),
        }
    }

    /// Takes a file that is the body, or the field `file` of a form.
    pub(super) async fn receive(&self, request: Request) -> Result<Upload, Problem> {
        let kind = kind(request.headers());
        if kind.starts_with("application/json") || kind.starts_with("text/") {
            return Err(Problem::unsupported_media_type(
                "This is no sound. Send a sound file (WAV, FLAC, MP3, OGG or M4A) as the body or as the field `file` of a form, or text as application/json: {\"text\": \"Hello.\"}.",
            ));
        }
        let _place = self.place()?;
        if kind.starts_with("multipart/") {
            return self.of_form(request).await;
        }
        let body = self.bounds.arriving(request.into_body(), 0);
        let file = self.spool(body).await?;
        Ok(Upload {
            file,
            hint: kind,
            fields: BTreeMap::new(),
        })
    }

    /// Takes one of the places for a file that comes in.
    pub(super) fn place(&self) -> Result<SemaphorePermit<'_>, Problem> {
        self.places.try_acquire().map_err(|_| {
            Problem::of(Kind::Busy, format!(
                "{AT_ONCE} sound files are on their way in already: send this one when they are here."
            ))
            .retry_after(AGAIN)
        })
    }

    async fn of_form(&self, request: Request) -> Result<Upload, Problem> {
        let mut form = Form::begin(request, &self.bounds).await?;
        let (mut found, mut fields) = (None, BTreeMap::new());
        while let Some(part) = form.next().await? {
            if found.is_none() && (part.name() == "file" || part.is_file()) {
                let hint = part.hint().to_owned();
                found = Some((self.spool(part.content()).await?, hint));
            } else {
                fields.insert(part.name().to_owned(), part.text().await?);
            }
        }
        let (file, hint) = found.ok_or_else(|| {
            Problem::unprocessable("The form has no file: send one, as its field `file`.")
        })?;
        Ok(Upload { file, hint, fields })
    }

    /// A file that is in memory, as if it had come in.
    pub(super) async fn stored(sound: Vec<u8>) -> Result<Upload, Problem> {
        let file = tokio::task::spawn_blocking(move || {
            let mut file = tempfile::tempfile()?;
            file.write_all(&sound)?;
            file.rewind().map(|()| file)
        });
        let file = file.await.expect("writing doesn't panic").map_err(full)?;
        Ok(Upload {
            file,
            hint: String::new(),
            fields: BTreeMap::new(),
        })
    }

    /// Writes `sound` to a file that has no name, so that a long one costs no
    /// memory and leaves nothing behind.
    async fn spool(
        &self,
        sound: impl Stream<Item = Result<Bytes, Problem>>,
    ) -> Result<File, Problem> {
        let file = tempfile::tempfile().map_err(full)?;
        let (mut file, size) = self.bounds.write(file, sound, full).await?;
        if size == 0 {
            return Err(Problem::unprocessable(
                "The body is empty: send a sound file.",
            ));
        }
        file.rewind().map_err(full)?;
        Ok(file)
    }
}

fn full(error: std::io::Error) -> Problem {
    Problem::internal(format!("The sound can't be stored here: {error}."))
}

pub(super) fn kind(headers: &HeaderMap) -> String {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.to_ascii_lowercase()
}

#[cfg(test)]
mod tests;
