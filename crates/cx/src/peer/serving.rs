//! What the peers ask: answered here, given to the server, or refused.
//!
//! The requests of one peer go to the server as they come and are answered as the answers come. Beyond a bound of
//! requests in progress a peer gets TOO_BUSY at once. Not reading from it would bound them as well, and would leave
//! its watchdog without an answer; only a peer that does not read its answers is not read from (see `BACKLOG`).

use super::base;
use super::connection::End;
use super::duplicates::{Key, Route, Seen};
use super::node::{Asked, Node, Output};
use super::{Now, Origin};
use crate::diameter::{Application, Avps, Command, Header, Wire, decode, dictionary as d, encode};
use crate::{Answer, BaseCode, CxError, FailedAvp};

/// What an answer of the server needs to find its way.
#[derive(Debug)]
pub(super) struct Ticket {
    route: Route,
    session_id: String,
    /// None: a question, which a copy may ask again.
    key: Option<Key>,
    unable: Answer,
}

impl<R> Node<R> {
    pub(super) fn request(&mut self, now: Now, id: u64, header: &Header, avps: &[u8]) {
        match (header.application, header.command) {
            (_, Command::DeviceWatchdog | Command::DisconnectPeer) => {
                match base::success(header.command, &self.settings.origin, header.ids) {
                    Ok(wire) => self.send(id, wire),
                    Err(error) => tracing::error!(%error, "a message of ours does not fit"),
                }
                if header.command == Command::DisconnectPeer {
                    self.end(now, id, End::Goodbye);
                }
            }
            //= RFC 6733 7.1.3
            _ if header.error => self.refuse(id, header, avps, BaseCode::InvalidHeaderBits, None),
            (Application::Cx, command) if self.settings.serves.contains(&command) => {
                self.serve(now, id, header, avps);
            }
            (Application::Other(_), _) => {
                self.refuse(id, header, avps, BaseCode::ApplicationUnsupported, None);
            }
            (Application::Base | Application::Cx, _) => {
                self.refuse(id, header, avps, BaseCode::CommandUnsupported, None);
            }
        }
    }

    fn refuse(&mut self, id: u64, header: &Header, avps: &[u8], code: BaseCode, failed: Option<&FailedAvp>) {
        let command = header.command.code();
        tracing::debug!(command, ?code, "refused a Diameter request");
        match base::protocol_error(header, avps, &self.settings.origin, code, failed) {
            Ok(wire) => self.send(id, wire),
            // As when its Session-Id is as long as a message may be.
            Err(error) => tracing::warn!(%error, "a refusal does not fit a message"),
        }
    }

    fn serve(&mut self, now: Now, id: u64, header: &Header, avps: &[u8]) {
        if !self.is_for_us(avps) {
            return self.refuse(id, header, avps, BaseCode::UnableToDeliver, None);
        }
        let Some(connection) = self.connections.get(&id) else { return };
        if connection.in_progress >= self.settings.max_in_progress {
            return self.refuse(id, header, avps, BaseCode::TooBusy, None);
        }
        let incoming = match decode::request(header, avps) {
            Ok(incoming) => incoming,
            Err(error) => return self.refuse_cx(id, header, avps, &error),
        };
        let decode::Incoming { ids, session_id, repeated, origin, request, .. } = incoming;
        let key = remembered(header.command).then(|| Key {
            origin_host: origin.host.clone(),
            end_to_end: ids.end_to_end,
            command: header.command,
            session_id: session_id.clone(),
        });
        let route = Route { connection: id, ids, repeated };
        if let Some(key) = &key {
            match self.duplicates.request(now, key, header.retransmitted, || route.clone()) {
                Seen::New => {}
                Seen::InProgress => return,
                Seen::Answered(answer) => {
                    let wire = encode_answer(&self.settings.origin, &route, &session_id, answer);
                    return self.send_answer(id, wire);
                }
            }
            let until = now + self.settings.remembered.time;
            self.note(until);
        }
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.in_progress += 1;
        }
        let unable = request.refused(BaseCode::UnableToComply);
        let ticket = Ticket { route, session_id, key, unable };
        self.outputs.push_back(Output::Serve(Box::new(Asked { ticket, from: origin, request })));
    }

    /// Whether this node is where the request wants to go.
    //= RFC 6733 6.1.4
    fn is_for_us(&self, avps: &[u8]) -> bool {
        let mut readable = Avps::new(avps).map_while(Result::ok);
        let wanted = readable.find(|avp| avp.key == d::DESTINATION_HOST.key);
        wanted.is_none_or(|avp| avp.data.eq_ignore_ascii_case(self.settings.origin.host.as_bytes()))
    }

    fn refuse_cx(&mut self, id: u64, header: &Header, avps: &[u8], error: &CxError) {
        tracing::warn!(%error, "refused a Cx request");
        let (session_id, repeated) = decode::remains(avps);
        let context = encode::AnswerContext {
            ids: header.ids,
            session_id: &session_id,
            origin: &self.settings.origin,
            repeated: &repeated,
        };
        let wire = encode::refusal(header.command, &context, error);
        self.send_answer(id, wire);
    }

    /// The server has answered, or never will.
    pub(super) fn answered(&mut self, ticket: Ticket, answer: Option<Answer>) {
        let Ticket { mut route, session_id, key, unable } = ticket;
        if let Some(connection) = self.connections.get_mut(&route.connection) {
            connection.in_progress = connection.in_progress.saturating_sub(1);
        }
        if let Some(key) = &key
            && let Some(other) = self.duplicates.other_route(key)
        {
            route = other;
        }
        let answer = answer.filter(|answer| answer.command() == unable.command()).unwrap_or(unable);
        let wire = encode_answer(&self.settings.origin, &route, &session_id, &answer);
        if let Some(key) = key {
            match &wire {
                Ok(wire) if !is_passing(&answer) => {
                    self.duplicates.answered(&key, answer, wire.as_bytes().len());
                }
                _ => self.duplicates.forget(&key),
            }
        }
        self.send_answer(route.connection, wire);
    }

    fn send_answer(&mut self, id: u64, wire: Result<Wire, CxError>) {
        match wire {
            Ok(wire) => self.send(id, wire),
            Err(error) => tracing::error!(%error, "an answer does not fit a message"),
        }
    }
}

/// UNABLE_TO_COMPLY in the place of an answer that does not fit.
fn encode_answer(origin: &Origin, route: &Route, session_id: &str, answer: &Answer) -> Result<Wire, CxError> {
    let Route { ids, repeated, .. } = route;
    let context = encode::AnswerContext { ids: *ids, session_id, origin, repeated };
    encode::answer(answer, &context).or_else(|error| {
        tracing::error!(%error, "an answer does not fit a message");
        encode::refusal(answer.command(), &context, &error)
    })
}

/// Whether a copy gets the same answer. The others change nothing and may be asked again: by then they are truer.
const fn remembered(command: Command) -> bool {
    matches!(
        command,
        Command::MultimediaAuth
            | Command::ServerAssignment
            | Command::RegistrationTermination
            | Command::PushProfile
    )
}

/// An answer that the next copy need not get as well.
fn is_passing(answer: &Answer) -> bool {
    matches!(answer.failure(), Some(crate::CxFailure::Base(BaseCode::TooBusy | BaseCode::UnableToDeliver)))
}
