//! Sound files on their way in: to the disk, bounded in number, size and time.
//!
//! A form is read by a parser that keeps what it can't yet tell apart, so what
//! it was given and didn't give back is counted.

use std::fs::File;
use std::io::{Seek, Write};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use axum::body::Body;
use axum::extract::multipart::MultipartError;
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::problem::{Kind, Problem};

/// Uploads at a time: one session speaks one after the other anyway.
const AT_ONCE: usize = 4;
/// When a place may be free again.
const AGAIN: Duration = Duration::from_secs(5);
/// How long a body may pause.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of a form beside its file: names and small fields, 64 kB, and what one
/// read of the connection brings ahead, at most twice its buffer of 64 kB.
const BESIDE: u64 = 192 << 10;

/// Takes sound files in.
pub struct Uploads {
    /// Bytes of one file.
    most: u64,
    patience: Duration,
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
        Self {
            most,
            patience: PATIENCE,
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
            Problem::of(Kind::Busy, format!(
                "{AT_ONCE} sound files are on their way in already: send this one when they are here."
            ))
            .retry_after(AGAIN)
        })?;
        if kind.starts_with("multipart/") {
            return self.of_form(request).await;
        }
        let body = self.arriving(request.into_body(), self.most);
        let file = self.spool(body).await?;
        Ok(Upload { file, hint: kind })
    }

    async fn of_form(&self, request: Request) -> Result<Upload, Problem> {
        let (head, body) = request.into_parts();
        let given_back = Arc::new(AtomicU64::new(0));
        let body = {
            let given_back = Arc::clone(&given_back);
            let mut handed = 0;
            self.arriving(body, self.most + BESIDE).map(move |part| {
                let part = part?;
                handed += part.len() as u64;
                if handed - given_back.load(Relaxed) > BESIDE {
                    return Err(Problem::bad_request(
                        "The form has too much beside its field `file`: send nothing else.",
                    ));
                }
                Ok(part)
            })
        };
        let request = Request::from_parts(head, Body::from_stream(body));
        let form = Multipart::from_request(request, &()).await;
        let mut form = form.map_err(|e| {
            Problem::bad_request(format!("The form can't be read: {}.", e.body_text()))
        })?;
        loop {
            let field = form.next_field().await.map_err(broken)?;
            let field = field
                .ok_or_else(|| Problem::unprocessable("The form has no field called `file`."))?;
            if field.name() == Some("file") || field.file_name().is_some() {
                let hint = field.file_name().or(field.content_type());
                let hint = hint.unwrap_or_default().to_owned();
                let sound = field.map_err(broken).inspect_ok(|part| {
                    given_back.fetch_add(part.len() as u64, Relaxed);
                });
                let file = self.spool(sound).await?;
                return Ok(Upload { file, hint });
            }
        }
    }

    /// The parts of `body`, until it pauses for too long or is larger than `most`.
    fn arriving(
        &self,
        body: Body,
        most: u64,
    ) -> impl Stream<Item = Result<Bytes, Problem>> + Send + use<> {
        let patience = self.patience;
        let too_large = self.too_large();
        let begun = (body.into_data_stream(), 0);
        stream::try_unfold(begun, move |(mut body, length)| {
            let too_large = too_large.clone();
            async move {
                // Between two parts it is the viewers' turn, whose media runs on
                // this thread; and the parser takes what comes as long as
                // anything comes, before it gives anything back.
                tokio::task::yield_now().await;
                let part = timeout(patience, body.next()).await.map_err(|_| {
                    let detail = format!("Nothing came for {} s.", patience.as_secs());
                    Problem::new(StatusCode::REQUEST_TIMEOUT, detail)
                })?;
                let Some(part) = part else {
                    return Ok(None);
                };
                let part =
                    part.map_err(|e| Problem::bad_request(format!("The body breaks off: {e}.")))?;
                let length = length + part.len() as u64;
                if length > most {
                    return Err(too_large);
                }
                Ok(Some((part, (body, length))))
            }
        })
    }

    fn too_large(&self) -> Problem {
        Problem::too_large(format!(
            "The sound file is larger than {} MB (speech.max_upload_mb).",
            self.most >> 20
        ))
    }

    /// Writes `sound` to a file that has no name, so that a long one costs no
    /// memory and leaves nothing behind.
    async fn spool(
        &self,
        sound: impl Stream<Item = Result<Bytes, Problem>>,
    ) -> Result<File, Problem> {
        let full =
            |e: std::io::Error| Problem::internal(format!("The sound can't be stored here: {e}."));
        let mut sound = pin!(sound);
        let mut file = tempfile::tempfile().map_err(full)?;
        let mut size = 0;
        while let Some(part) = sound.next().await {
            let part = part?;
            size += part.len() as u64;
            if size > self.most {
                return Err(self.too_large());
            }
            file = tokio::task::spawn_blocking(move || file.write_all(&part).map(|()| file))
                .await
                .expect("writing doesn't panic")
                .map_err(full)?;
        }
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

/// Why a form can't be read on: for what came to it, or for what it is.
fn broken(error: MultipartError) -> Problem {
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        if let Some(problem) = error.downcast_ref::<Problem>() {
            return problem.clone();
        }
        cause = error.source();
    }
    Problem::bad_request(format!("The form breaks off: {}.", error.body_text()))
}

#[cfg(test)]
mod tests;
