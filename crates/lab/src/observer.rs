//! Collects the wire events of all roles and makes a ladder of them.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use node::wire;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::ladder::{Map, Party, Rung};

/// Rungs kept; later ones are not drawn.
const LIMIT: usize = 10_000;

/// The rungs seen so far.
#[derive(Debug, Clone, Default)]
pub struct Rungs(Arc<Mutex<Vec<Rung>>>);

impl Rungs {
    pub fn seen(&self) -> Vec<Rung> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// A layer that listens to [`wire::TARGET`].
#[derive(Debug)]
pub struct Observer {
    map: Map,
    rungs: Rungs,
}

impl Observer {
    pub fn new() -> (Self, Rungs) {
        let rungs = Rungs::default();
        (Self { map: crate::plan::map(), rungs: rungs.clone() }, rungs)
    }

    fn rung(&self, fields: &Fields) -> Option<Rung> {
        if let (Some(at), Some(text)) = (&fields.at, &fields.note) {
            return Some(Rung::Note { at: self.map.party(at.parse::<IpAddr>().ok()?)?, text: text.clone() });
        }
        let (from, to) = (fields.from.as_deref()?, fields.to.as_deref()?);
        if let Some(what) = &fields.what {
            let (from, to) = (Party::of_name(from)?, Party::of_name(to)?);
            return Some(Rung::Message { from, to, label: what.clone(), esp: false });
        }
        let label = match fields.status {
            0 => fields.method.clone()?,
            status => format!("{status} {}", fields.reason.as_deref().unwrap_or_default()),
        };
        self.map.message(from.parse::<SocketAddr>().ok()?, to.parse().ok()?, label)
    }
}

impl<S: Subscriber> Layer<S> for Observer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() != wire::TARGET {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut rungs = self.rungs.0.lock().unwrap_or_else(PoisonError::into_inner);
        if rungs.len() < LIMIT {
            rungs.extend(self.rung(&fields));
        }
    }
}

#[derive(Default)]
struct Fields {
    from: Option<String>,
    to: Option<String>,
    what: Option<String>,
    at: Option<String>,
    note: Option<String>,
    method: Option<String>,
    reason: Option<String>,
    status: u64,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let place = match field.name() {
            "from" => &mut self.from,
            "to" => &mut self.to,
            "what" => &mut self.what,
            "at" => &mut self.at,
            "note" => &mut self.note,
            "method" => &mut self.method,
            "reason" => &mut self.reason,
            _ => return,
        };
        *place = Some(format!("{value:?}").trim_matches('"').to_owned());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "status" {
            self.status = value;
        }
    }
}
