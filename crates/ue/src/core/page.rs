//! Requests outside of calls that we send: MESSAGE, OPTIONS, PUBLISH, SUBSCRIBE.

use std::collections::HashMap;

use sip::{ClientId, Draft, Instant, Message, Method, Name};

use super::outside::{Departure, add_headers};
use super::{Answer, Failure, Request, RequestId, Step, Ue};

/// So many wait for their answers at most.
const PAGES: usize = 64;

/// Those that wait for their answers.
#[derive(Debug, Default)]
pub(super) struct Pages {
    last: u32,
    waiting: HashMap<ClientId, Page>,
}

#[derive(Debug)]
struct Page {
    id: RequestId,
    method: Method<'static>,
    message: Message,
}

impl Ue {
    pub(super) fn ask(&mut self, now: Instant, request: &Request) {
        self.pages.last = self.pages.last.wrapping_add(1);
        let id = RequestId(self.pages.last);
        match self.send_page(now, id, request) {
            Ok(()) => self.step(Step::Sent { request: id, method: request.method }),
            Err(failure) => self.step(Step::NotSent { request: id, failure }),
        }
    }

    fn send_page(&mut self, now: Instant, id: RequestId, request: &Request) -> Result<(), Failure> {
        let method = request.method;
        if !matches!(method, Method::Message | Method::Options | Method::Publish | Method::Subscribe) {
            return Err(Failure::NotNow("this method goes with a call or a registration"));
        }
        if self.pages.waiting.len() >= PAGES {
            return Err(Failure::TooMany);
        }
        let mut draft = self.opening(method, &request.to, &request.identity)?;
        self.complete(&mut draft, request);
        let Departure { client, message, .. } = self.send_protected(now, draft)?;
        if method == Method::Subscribe {
            self.watch(now, &message);
        }
        self.pages.waiting.insert(client, Page { id, method, message });
        Ok(())
    }

    fn complete(&self, draft: &mut Draft<'static>, request: &Request) {
        match request.method {
            //= RFC 3428 4: a MESSAGE has no Contact
            Method::Message | Method::Publish => {}
            Method::Options => {
                draft.push(Name::Accept, "application/sdp").push(Name::Contact, self.current_contact());
            }
            _ => {
                draft.push(Name::Contact, self.current_contact());
            }
        }
        if let Some(event) = &request.event {
            draft.push(Name::Event, event.to_string());
        }
        if let Some(expires) = request.expires {
            draft.push(Name::Expires, expires.to_string());
        }
        if let Some(body) = &request.body {
            draft.body(body.content_type.to_string(), body.octets.clone());
        }
        add_headers(draft, &request.headers);
    }

    /// Whether it was an answer to one of these.
    pub(super) fn page_answered(
        &mut self,
        now: Instant,
        id: ClientId,
        status: u16,
        response: &Message,
    ) -> bool {
        if status < 200 {
            return self.pages.waiting.contains_key(&id);
        }
        let Some(page) = self.pages.waiting.remove(&id) else { return false };
        if page.method == Method::Subscribe {
            self.watch_answered(now, &page.message, Some(response));
        }
        self.step(page.answered(Answer::of(response)));
        true
    }

    /// Whether it was one of these that nobody answered, or that could not be sent.
    pub(super) fn page_failed(&mut self, now: Instant, id: ClientId, transport_failed: bool) -> bool {
        let Some(mut page) = self.pages.waiting.remove(&id) else { return false };
        if transport_failed
            && let Some(Departure { client, message, .. }) = self.send_as_datagram(now, &page.message)
        {
            page.message = message;
            self.pages.waiting.insert(client, page);
            return true;
        }
        if page.method == Method::Subscribe {
            self.watch_answered(now, &page.message, None);
        }
        self.step(page.answered(Answer::local(transport_failed)));
        true
    }

    /// Nobody will answer them any more.
    pub(super) fn drop_pages(&mut self) {
        let mut pages: Vec<Page> = self.pages.waiting.drain().map(|(_, page)| page).collect();
        pages.sort_by_key(|page| page.id);
        for page in pages {
            self.step(page.answered(Answer::local(true)));
        }
    }
}

impl Page {
    fn answered(&self, answer: Answer) -> Step {
        Step::Answered { request: self.id, method: self.method, answer: Box::new(answer) }
    }
}
