//! The window on the desk: the same frames, and a line of figures.

use std::time::Duration;

use opencv::core::{Mat, Point, Scalar, set_num_threads};
use opencv::prelude::*;
use opencv::{highgui, imgproc};

use crate::pool::Frame;
use crate::ring::{Next, Reader};

/// The window's title.
const TITLE: &str = "Mouthpiece";
/// How long to wait for a frame before the keys are looked at again.
const PATIENCE: Duration = Duration::from_millis(100);

/// Why there is no window.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no display.
    #[error(
        "there is no display for --preview (DISPLAY and WAYLAND_DISPLAY are empty): the stream goes on without a window"
    )]
    NoDisplay,
    /// OpenCV can't show it.
    #[error("the preview window can't be shown ({0}): the stream goes on without it")]
    Window(#[from] opencv::Error),
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// `i`: silence what is said.
    Interrupt,
}

/// Shows `frames` until `q` is pressed, the window is closed, the stream ends
/// or `over` says so. Must run on the main thread.
///
/// # Errors
///
/// When there is no display, or the window can't be shown.
pub fn show(
    frames: &Reader<Frame>,
    figures: impl Fn() -> String,
    mut on_key: impl FnMut(Key),
    over: impl Fn() -> bool,
) -> Result<(), Error> {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if !set("DISPLAY") && !set("WAYLAND_DISPLAY") {
        return Err(Error::NoDisplay);
    }
    // The sessions are the parallelism.
    set_num_threads(1)?;
    highgui::named_window(TITLE, highgui::WINDOW_AUTOSIZE)?;
    let mut picture = Mat::default();
    let mut line = true;
    let mut shown = false;
    while !over() {
        match frames.next(PATIENCE) {
            Next::Item(frame) => {
                draw(&frame, &mut picture)?;
                drop(frame); // Goes home to the pool before the window takes its time.
                if line {
                    write(&mut picture, &figures())?;
                }
                highgui::imshow(TITLE, &picture)?;
                shown = true;
            }
            Next::Timeout => {}
            Next::Closed => break,
        }
        match u8::try_from(highgui::wait_key(1)? & 0xff).map(char::from) {
            Ok('h') => line = !line,
            Ok('i') => on_key(Key::Interrupt),
            Ok('q') => break,
            _ => {}
        }
        if shown && highgui::get_window_property(TITLE, highgui::WND_PROP_VISIBLE)? < 1.0 {
            return Ok(()); // Closed by its cross.
        }
    }
    highgui::destroy_window(TITLE)?;
    // The window goes away once its events are handled.
    highgui::wait_key(1)?;
    Ok(())
}

fn draw(frame: &Frame, picture: &mut Mat) -> opencv::Result<()> {
    let size = frame.size();
    let rows = (size.height * 3 / 2) as i32;
    let i420 = Mat::new_rows_cols_with_data(rows, size.width as i32, frame.i420())?;
    imgproc::cvt_color_def(&i420, picture, imgproc::COLOR_YUV2BGR_I420)
}

/// Writes `text` at the lower edge, light with a dark shadow.
fn write(picture: &mut Mat, text: &str) -> opencv::Result<()> {
    let bottom = picture.rows() - 12;
    for (offset, tone) in [(1, 0.0), (0, 235.0)] {
        imgproc::put_text(
            picture,
            text,
            Point::new(10 + offset, bottom + offset),
            imgproc::FONT_HERSHEY_SIMPLEX,
            0.45,
            Scalar::all(tone),
            1,
            imgproc::LINE_AA,
            false,
        )?;
    }
    Ok(())
}
