//! Keeps what crosses a link, whole, and reads SIP out of it afterwards.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::Result;

use crate::listener::Listener;
use crate::namespace::Namespace;
use crate::recording::Recording;

/// Octets kept of one link; what comes later is only counted.
const KEPT_OCTETS: usize = 32 << 20;

/// A frame and when it came, since the epoch.
pub(crate) type Frame = (Duration, Box<[u8]>);

#[derive(Debug, Default)]
struct Kept {
    frames: Vec<Frame>,
    octets: usize,
    lost: u64,
}

/// Listens on a link until it is dropped.
#[derive(Debug)]
pub(crate) struct Recorder {
    kept: Arc<Mutex<Kept>>,
    _listener: Listener,
}

impl Recorder {
    pub(crate) fn listen(namespace: &Namespace, link: &'static str) -> Result<Self> {
        let kept = Arc::<Mutex<Kept>>::default();
        let written = Arc::clone(&kept);
        let listener = Listener::start(namespace, link, move |frame| {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let mut kept = written.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.octets + frame.len() > KEPT_OCTETS {
                kept.lost += 1;
                return;
            }
            kept.octets += frame.len();
            kept.frames.push((now, frame.into()));
        })?;
        Ok(Self { kept, _listener: listener })
    }

    /// Everything so far. Give the last packet a moment to be read.
    pub(crate) fn recording(&self) -> Recording {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        Recording::of(&kept.frames, kept.lost)
    }

    pub(crate) fn frames(&self) -> Vec<Frame> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).frames.clone()
    }
}
