//! Sound files on their way in: to the disk, bounded in number, size and time.

use std::fs::File;
use std::io::Seek;
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::Semaphore;

use super::form::{Bounds, Form, PATIENCE};
use super::problem::Problem;

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
        let _place = self.places.try_acquire().map_err(|_| {
            Problem::unavailable(format!(
                "{AT_ONCE} sound files are on their way in already: send this one when they are here."
            ))
            .retry_after(AGAIN)
        })?;
        if kind.starts_with("multipart/") {
            return self.of_form(request).await;
        }
        let body = self.bounds.arriving(request.into_body(), 0);
        let file = self.spool(body).await?;
        Ok(Upload { file, hint: kind })
    }

    async fn of_form(&self, request: Request) -> Result<Upload, Problem> {
        let mut form = Form::begin(request, &self.bounds).await?;
        loop {
            let part = form.next().await?;
            let part =
                part.ok_or_else(|| Problem::unprocessable("The form has no field called `file`."))?;
            if part.name() == "file" || part.is_file() {
                let hint = part.hint().to_owned();
                let file = self.spool(part.content()).await?;
                return Ok(Upload { file, hint });
            }
        }
    }

    /// Writes `sound` to a file that has no name, so that a long one costs no
    /// memory and leaves nothing behind.
    async fn spool(
        &self,
        sound: impl Stream<Item = Result<Bytes, Problem>>,
    ) -> Result<File, Problem> {
        let full =
            |e: std::io::Error| Problem::internal(format!("The sound can't be stored here: {e}."));
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

pub(super) fn kind(headers: &HeaderMap) -> String {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.to_ascii_lowercase()
}

#[cfg(test)]
mod tests;
