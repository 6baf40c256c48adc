//! Empty: psutil uses this crate on macOS only.
