//! A child that reads text and writes sound. No shell is between.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::process::Stdio;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::Error;

/// Bytes that are read at a time.
const PIECE: usize = 16 << 10;
/// Bytes of a complaint that are told.
const COMPLAINT: u64 = 500;
/// How long a child may take to end after its last sound.
const LAST: Duration = Duration::from_secs(2);

/// A child that speaks. Dropping it kills it.
pub(super) struct Program {
    name: String,
    child: Child,
    sound: ChildStdout,
    complaint: JoinHandle<String>,
}

impl Program {
    /// Starts `name` and gives it `text`.
    pub async fn start(
        name: &str,
        arguments: &[impl AsRef<OsStr>],
        text: &str,
    ) -> Result<Self, Error> {
        let child = Command::new(name)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let mut child = child.map_err(|source| match source.kind() {
            ErrorKind::NotFound => Error::Missing(name.to_owned()),
            _ => Error::Start {
                program: name.to_owned(),
                source,
            },
        })?;
        let piped = "it was asked for";
        let mut input = child.stdin.take().expect(piped);
        let sound = child.stdout.take().expect(piped);
        let complaint = tokio::spawn(complaint(child.stderr.take().expect(piped)));
        // A sentence fits into the pipe. One who doesn't read it may speak anyway.
        let _unread = input.write_all(text.as_bytes()).await;
        let _unread = input.write_all(b"\n").await;
        drop(input);
        Ok(Self {
            name: name.to_owned(),
            child,
            sound,
            complaint,
        })
    }

    /// The next bytes of its sound; `None` once it has ended well.
    pub async fn read(&mut self) -> Result<Option<Bytes>, Error> {
        let mut piece = BytesMut::with_capacity(PIECE);
        let read = self.sound.read_buf(&mut piece).await;
        if read.map_err(|e| Error::Broken(e.to_string()))? > 0 {
            return Ok(Some(piece.freeze()));
        }
        // One who closed its sound and doesn't end is killed with the drop.
        let Ok(ended) = timeout(LAST, self.child.wait()).await else {
            return Ok(None);
        };
        let status = ended.map_err(|e| Error::Broken(e.to_string()))?;
        if status.success() {
            return Ok(None);
        }
        let said = timeout(LAST, &mut self.complaint).await;
        let said = said.ok().and_then(Result::ok).unwrap_or_default();
        Err(Error::Failed {
            program: self.name.clone(),
            status,
            said: match said.trim() {
                "" => "it said nothing".to_owned(),
                said => said.to_owned(),
            },
        })
    }
}

/// The beginning of what a child complains of. It all is read, so that nobody who
/// says much is kept from speaking.
async fn complaint(mut from: ChildStderr) -> String {
    let mut said = Vec::new();
    let _broken = (&mut from).take(COMPLAINT).read_to_end(&mut said).await;
    let _broken = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&said).into_owned()
}
