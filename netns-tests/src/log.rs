use std::io::{self, Write};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use lab::ladder::{Party, Rung};
use lab::observer::{Observer, Rungs};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// What all roles of this process have logged and received since the last [`watch`].
#[derive(Debug, Clone)]
pub struct Log {
    text: Text,
    rungs: Rungs,
}

static LOG: OnceLock<Log> = OnceLock::new();

/// Starts to watch, or starts over.
pub fn watch() -> Log {
    let log = LOG.get_or_init(|| {
        let (observer, rungs) = Observer::new();
        let text = Text::default();
        let wire =
            tracing_subscriber::filter::Targets::new().with_target(node::wire::TARGET, tracing::Level::TRACE);
        let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(text.clone());
        // Everything at trace: what must not be in a log must not be there at any level.
        let everything = EnvFilter::new("trace");
        tracing_subscriber::registry()
            .with(lines.with_filter(everything))
            .with(observer.with_filter(wire))
            .init();
        Log { text, rungs }
    });
    log.text.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    log.rungs.clear();
    log.clone()
}

impl Log {
    pub fn text(&self) -> String {
        let bytes = self.text.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What all roles have received, in order.
    pub fn rungs(&self) -> Vec<Rung> {
        self.rungs.seen()
    }

    /// Labels of the messages that the P-CSCF has received from UEs, each with whether ESP carried it.
    pub fn received_by_p_cscf(&self) -> Vec<(String, bool)> {
        let of_ue = |rung: &Rung| match rung {
            Rung::Message { from: Party::Ue, to: Party::Pcscf, label, esp } => Some((label.clone(), *esp)),
            _ => None,
        };
        self.rungs.seen().iter().filter_map(of_ue).collect()
    }
}

#[derive(Debug, Clone, Default)]
struct Text(Arc<Mutex<Vec<u8>>>);

impl Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Text {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
