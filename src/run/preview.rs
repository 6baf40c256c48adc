//! The window on the desk, as the server sees it: a process of its own, so that
//! the stream goes on whatever happens to the display, and the desktop's
//! libraries fill no memory here.
//!
//! Pictures go to its standard input, see [`send`]. What it says comes back by
//! the line: [`SHOWN`], [`INTERRUPT`], or what the desktop complains about. It
//! ends when its input does, and so never outlives the server.

use std::io::{self, BufRead, BufReader, PipeReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use crate::pool::{Frame, Size};
use crate::ring::{Next, Reader};

/// What the window says once it shows a picture.
pub const SHOWN: &str = "shown";
/// What the window says when what is spoken should be silenced.
pub const INTERRUPT: &str = "interrupt";

/// Longest line of figures, in bytes.
const LONGEST_LINE: u32 = 1_000;
/// Longest side of a picture, in pixels: twice what an avatar may have.
const LONGEST_SIDE: u16 = 8_192;
/// Pictures with the same figures: half a second, so that they can be read.
const REFRESH: usize = 12;
/// How often the window is asked whether it has ended, and how many times.
const LAST_LOOK: (Duration, u32) = (Duration::from_millis(20), 50);

/// Why there is no window.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no display.
    #[error(
        "there is no display for --preview (DISPLAY and WAYLAND_DISPLAY are empty): the stream goes on without a window"
    )]
    NoDisplay,
    /// Its process can't be started.
    #[error("the preview window can't be started ({0}): the stream goes on without it")]
    Start(#[from] io::Error),
    /// It ended before it showed anything.
    #[error(
        "the preview window can't open on the display {display} ({why}): the stream goes on without it; set DISPLAY to a screen that you may use, and start again"
    )]
    Unreachable {
        /// As the environment names it.
        display: String,
        /// What the desktop said.
        why: String,
    },
    /// It ended, and nobody had closed it.
    #[error(
        "the preview window is gone ({why}): the stream goes on without it; start again to have it back"
    )]
    Gone {
        /// What the desktop said.
        why: String,
    },
}

/// Shows `frames` in a window, which takes their size, until it is closed or the
/// stream ends.
/// `figures` are written below, `interrupt` is called when its key is pressed.
/// Returns at once; how the window ended is logged.
///
/// # Errors
///
/// When there is no display, or no process for the window.
pub fn show(
    frames: Reader<Frame>,
    title: &str,
    figures: impl Fn() -> String + Send + 'static,
    interrupt: impl Fn() + Send + 'static,
) -> Result<(), Error> {
    let display = display().ok_or(Error::NoDisplay)?;
    let (mut child, words) = start(title)?;
    let listener = thread::Builder::new()
        .name("window's words".into())
        .spawn(move || listen(BufReader::new(words), interrupt))?;
    let feeder = move || {
        let input = child.stdin.take().expect("it was started with a pipe");
        let fed = feed(frames, input, figures);
        let ended = end(&mut child);
        let said = listener.join().unwrap_or_default();
        if fed.is_ok() {
            return; // The stream ended first.
        }
        match verdict(ended, said, display) {
            Ok(()) => tracing::info!("the window is closed, the stream goes on"),
            Err(error) => tracing::warn!("{error}"),
        }
    };
    thread::Builder::new().name("window".into()).spawn(feeder)?;
    Ok(())
}

/// The display as the environment names it.
fn display() -> Option<String> {
    ["DISPLAY", "WAYLAND_DISPLAY"]
        .iter()
        .filter_map(std::env::var_os)
        .find(|name| !name.is_empty())
        .map(|name| name.to_string_lossy().into_owned())
}

/// Starts the window's process. Everything that it prints can be read.
fn start(title: &str) -> io::Result<(Child, PipeReader)> {
    let (words, mouth) = io::pipe()?;
    let child = Command::new(std::env::current_exe()?)
        .arg("window")
        .arg(format!("--title={title}"))
        .stdin(Stdio::piped())
        .stdout(mouth.try_clone()?)
        .stderr(mouth)
        // Ctrl-C in the terminal is for the server, which then closes the window.
        .process_group(0)
        .spawn()?;
    Ok((child, words))
}

/// Sends pictures until the stream ends, or fails when the window has. Frames
/// go home as soon as they are sent, and nobody reads `frames` any more when
/// this returns, which ends the preview.
fn feed(
    frames: Reader<Frame>,
    mut window: impl Write,
    figures: impl Fn() -> String,
) -> io::Result<()> {
    let mut line = String::new();
    let mut sent = 0;
    loop {
        match frames.next(Duration::from_secs(1)) {
            Next::Item(frame) => {
                if sent % REFRESH == 0 {
                    line = figures();
                }
                send(&mut window, &line, &frame)?;
                sent += 1;
            }
            Next::Timeout => {}
            Next::Closed => return Ok(()),
        }
    }
}

/// What the window said.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    shown: bool,
    complaint: String,
}

/// Hears the window until it ends.
fn listen(words: impl BufRead, interrupt: impl Fn()) -> Said {
    let mut said = Said::default();
    for line in words.split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        match line.trim() {
            "" => {}
            SHOWN => said.shown = true,
            INTERRUPT => interrupt(),
            // The last one counts, but after the one that names the display Qt
            // goes on about its plugins.
            other if said.complaint.contains("display") && !other.contains("display") => {}
            other => other.clone_into(&mut said.complaint),
        }
    }
    said
}

/// Waits for a window whose input is closed; one that hangs on its display is
/// killed.
fn end(child: &mut Child) -> io::Result<ExitStatus> {
    let (pause, looks) = LAST_LOOK;
    for _ in 0..looks {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        thread::sleep(pause);
    }
    child.kill()?;
    child.wait()
}

/// Whether a window that ended while the stream went on was closed by hand.
fn verdict(ended: io::Result<ExitStatus>, said: Said, display: String) -> Result<(), Error> {
    let status = match ended {
        Ok(status) if status.success() => return Ok(()),
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    let why = match said.complaint.as_str() {
        "" => status,
        _ => said.complaint,
    };
    Err(if said.shown {
        Error::Gone { why }
    } else {
        Error::Unreachable { display, why }
    })
}

/// Sends one picture to the window: the length of its line of figures (4 bytes,
/// little endian), its columns and rows (2 bytes each), the line in UTF-8, the
/// picture in I420.
///
/// # Errors
///
/// When the window is gone, the line is longer than 1000 bytes, or a side than
/// 8192 pixels.
pub fn send(window: &mut impl Write, line: &str, frame: &Frame) -> io::Result<()> {
    let length = u32::try_from(line.len()).unwrap_or(u32::MAX);
    let Size { width, height } = frame.size();
    let sides = [width, height].map(|side| u16::try_from(side).unwrap_or(u16::MAX));
    if length > LONGEST_LINE || sides.iter().any(|side| *side > LONGEST_SIDE) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    window.write_all(&length.to_le_bytes())?;
    window.write_all(&sides[0].to_le_bytes())?;
    window.write_all(&sides[1].to_le_bytes())?;
    window.write_all(line.as_bytes())?;
    window.write_all(frame.i420())
}

/// Receives what [`send`] sent: the line, and the picture on a frame of its size
/// that `blank` lends. `None` when the server has ended, be it within a picture.
///
/// # Errors
///
/// When it can't be read, or is nothing that a server sends.
pub fn receive(
    server: &mut impl Read,
    blank: impl FnOnce(Size) -> Frame,
) -> io::Result<Option<(Frame, String)>> {
    match receive_whole(server, blank) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        sheet => sheet.map(Some),
    }
}

fn receive_whole(
    server: &mut impl Read,
    blank: impl FnOnce(Size) -> Frame,
) -> io::Result<(Frame, String)> {
    let stranger = || {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "no pictures come in: this command is for `mouthpiece serve --preview`, which starts it",
        )
    };
    let (mut length, mut sides) = ([0; 4], [[0; 2]; 2]);
    server.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > LONGEST_LINE {
        return Err(stranger());
    }
    server.read_exact(sides.as_flattened_mut())?;
    let [width, height] = sides.map(u16::from_le_bytes);
    let fits = |side: u16| (2..=LONGEST_SIDE).contains(&side) && side % 2 == 0;
    if !fits(width) || !fits(height) {
        return Err(stranger());
    }
    let mut line = vec![0; length as usize];
    server.read_exact(&mut line)?;
    let mut frame = blank(Size {
        width: width.into(),
        height: height.into(),
    });
    server.read_exact(frame.i420_mut())?;
    let line = String::from_utf8(line).map_err(|_| stranger())?;
    Ok((frame, line))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::pool::FramePool;
    use crate::ring::ring;

    const SIZE: Size = Size {
        width: 4,
        height: 2,
    };

    fn picture(size: Size, tone: u8) -> Frame {
        let pool = FramePool::new(1, size);
        let mut frame = pool.take(Duration::ZERO).expect("free");
        frame.i420_mut().fill(tone);
        frame
    }

    fn blank(size: Size) -> Frame {
        picture(size, 0)
    }

    #[test]
    fn what_is_sent_is_received_whatever_its_size() {
        const OTHER: Size = Size {
            width: 2,
            height: 6,
        };
        let mut pipe = Vec::new();
        send(&mut pipe, "25 fps, 7 °C", &picture(SIZE, 1)).expect("room");
        send(&mut pipe, "", &picture(OTHER, 2)).expect("room");
        let mut pipe = pipe.as_slice();
        let mut next = || {
            let sheet = receive(&mut pipe, blank).expect("whole");
            sheet.map(|(frame, line)| (line, frame.size(), frame.i420().to_vec()))
        };
        let line = "25 fps, 7 °C".to_owned();
        assert_eq!(next(), Some((line, SIZE, vec![1; SIZE.i420_bytes()])));
        assert_eq!(
            next(),
            Some((String::new(), OTHER, vec![2; OTHER.i420_bytes()]))
        );
        assert_eq!(next(), None);
    }

    #[test]
    fn a_server_that_dies_within_a_picture_has_ended() {
        let mut pipe = Vec::new();
        send(&mut pipe, "line", &picture(SIZE, 1)).expect("room");
        for length in 0..pipe.len() {
            let sheet = receive(&mut &pipe[..length], blank);
            assert!(sheet.expect("no error").is_none(), "{length} bytes");
        }
    }

    #[test]
    fn what_no_server_sends_is_refused_before_it_is_kept() {
        for strange in ["hello\n", "\0\0\0\0odd and large"] {
            let typed = receive(&mut strange.as_bytes(), |_| unreachable!("refused before"));
            assert!(typed.err().expect("no head").to_string().contains("serve"));
        }
        let mut pipe = Vec::new();
        let line = "x".repeat(LONGEST_LINE as usize + 1);
        assert!(send(&mut pipe, &line, &blank(SIZE)).is_err());
        assert!(pipe.is_empty());
    }

    #[test]
    fn frames_go_home_once_sent_and_their_figures_stay_for_half_a_second() {
        let pool = FramePool::new(1, SIZE);
        let (frames_in, frames) = ring(1);
        let asked = Cell::new(0);
        let sheets = thread::scope(|scope| {
            let (mut server, window) = io::pipe().expect("a pipe");
            scope.spawn(move || {
                for n in 0..=REFRESH {
                    let frame = loop {
                        match pool.take(Duration::ZERO) {
                            Some(frame) => break frame,
                            None => thread::yield_now(),
                        }
                    };
                    assert!(frames_in.push(frame).is_none());
                    let sheet = receive(&mut server, blank).expect("whole");
                    let line = sheet.map(|(_, line)| line);
                    assert_eq!(line, Some((n / REFRESH + 1).to_string()));
                }
            });
            feed(frames, window, || {
                asked.set(asked.get() + 1);
                asked.get().to_string()
            })
        });
        sheets.expect("the stream ended, the window was there");
        assert_eq!(asked.get(), 2);
    }

    #[test]
    fn when_the_window_ends_nobody_reads_the_frames_any_more() {
        let pool = FramePool::new(1, SIZE);
        let (frames_in, frames) = ring(1);
        let (server, window) = io::pipe().expect("a pipe");
        drop(server);
        assert!(
            frames_in
                .push(pool.take(Duration::ZERO).expect("free"))
                .is_none()
        );
        assert!(feed(frames, window, String::new).is_err());
        let frame = pool.take(Duration::ZERO).expect("it went home");
        assert!(frames_in.push(frame).is_some(), "it comes back");
    }

    #[test]
    fn of_the_desktops_noise_the_cause_is_kept() {
        let keys = Cell::new(0);
        let hear = |words: &str| listen(words.as_bytes(), || keys.set(keys.get() + 1));
        let dead = hear("QStandardPaths: not set\nshown\ninterrupt\ninterrupt\nX11 broke\n");
        assert_eq!((dead.shown, dead.complaint.as_str()), (true, "X11 broke"));
        assert_eq!(keys.get(), 2);
        let refused = hear("qt: no display :99\nReinstalling may help.\n\nPlugins: xcb.\n");
        assert_eq!(
            (refused.shown, refused.complaint.as_str()),
            (false, "qt: no display :99")
        );
    }
}
