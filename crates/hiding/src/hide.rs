//! What leaves the network.

use std::borrow::Cow;

use sip::{Draft, Message, Name, NameAddr, Scheme, Uri, routing, text};

use crate::token::{self, Kind, ROOM};
use crate::{Hiding, Seen, TOKENIZED_BY, TOKENIZED_REST};

/// Headers whose entries are hidden, and the kind of token they become.
//= TS 33.203 6.4
const ENTRIES: [(Name, Kind); 5] = [
    (Name::Via, Kind::Via),
    (Name::RecordRoute, Kind::Route),
    (Name::Route, Kind::Route),
    (Name::ServiceRoute, Kind::Route),
    (Name::Path, Kind::Path),
];

impl Hiding {
    /// The message as it may leave for another network; `None` when nothing in it is hidden.
    ///
    /// Requests and responses alike: consecutive entries of ours in Via, Record-Route, Route, Service-Route and Path
    /// become one token, and so does the URI of a Contact. Tokens, entries of others and what [`Inside`](crate::Inside)
    /// excepts stay as they are. `fresh` gives a new random IV at each call.
    pub fn hide(&self, message: &Message, mut fresh: impl FnMut() -> [u8; 16]) -> Option<Message> {
        let mut draft: Option<Draft<'_>> = None;
        for (name, kind) in ENTRIES {
            let backward = name == Name::RecordRoute && !message.is_request();
            let kind = if backward { Kind::Backward } else { kind };
            if message.values(name).any(|value| self.is_hidden(name, value)) {
                let values = self.entries(message, name, kind, &mut fresh);
                draft.get_or_insert_with(|| Draft::forward(message)).replace_values(name, values);
            }
        }
        if message.values(Name::Contact).any(|value| self.is_hidden(Name::Contact, value)) {
            let values: Vec<_> =
                message.values(Name::Contact).map(|value| self.contact(value, &mut fresh)).collect();
            draft.get_or_insert_with(|| Draft::forward(message)).replace_values(Name::Contact, values);
        }
        draft.map(|draft| draft.finish())
    }

    fn is_hidden(&self, name: Name, value: &str) -> bool {
        match Seen::of(name, value) {
            // The host of a token is no host of ours, whoever made it: nothing is hidden twice.
            Some(seen) => self.is_inside(seen.host, seen.port),
            // Nobody can route on it; it must not tell of us all the same.
            None => !self.leaks(value.as_bytes()).is_empty(),
        }
    }

    fn entries<'a>(
        &self,
        message: &'a Message,
        name: Name,
        kind: Kind,
        fresh: &mut impl FnMut() -> [u8; 16],
    ) -> Vec<Cow<'a, str>> {
        let mut values = Vec::new();
        let mut run = Run::default();
        let mut end = |run: &mut Run<'a>, values: &mut Vec<Cow<'a, str>>| {
            if !run.entries.is_empty() {
                values.push(Cow::Owned(self.token(&std::mem::take(run), kind, fresh())));
            }
        };
        for value in message.values(name) {
            if !self.is_hidden(name, value) {
                end(&mut run, &mut values);
                values.push(Cow::Borrowed(value));
                continue;
            }
            if run.length_with(value) > ROOM {
                end(&mut run, &mut values);
            }
            run.entries.push(value);
            if !splits_off(value) {
                end(&mut run, &mut values);
            }
        }
        end(&mut run, &mut values);
        values
    }

    /// The entry that stands for a run.
    fn token(&self, run: &Run<'_>, kind: Kind, iv: [u8; 16]) -> String {
        let mut entries = run.entries.clone();
        if kind == Kind::Backward {
            entries.reverse();
        }
        let token = self.seal(kind, &entries.join(","), iv);
        if kind == Kind::Via {
            //= RFC 3261 8.1.1.7: without a branch it would be a Via of RFC 2543. The hidden one might tell of us.
            let [one, two] = halves(iv);
            return format!("SIP/2.0/UDP {token};branch={}", routing::branch(one, two));
        }
        let scheme = run.first_uri().map_or("sip", |uri| scheme(&uri));
        //= RFC 5626 5.1: the registrar looks for ob in the URI of the first edge proxy
        let ob = if kind == Kind::Path && run.uris().any(|uri| uri.params.has("ob")) { ";ob" } else { "" };
        format!("<{scheme}:{token}{ob};lr>")
    }

    fn contact<'a>(&self, value: &'a str, fresh: &mut impl FnMut() -> [u8; 16]) -> Cow<'a, str> {
        if !self.is_hidden(Name::Contact, value) {
            return Cow::Borrowed(value);
        }
        let parsed = NameAddr::parse(value).and_then(|address| Some((address, address.parse_uri().ok()?)));
        let Some((address, uri)) = parsed else {
            return Cow::Owned(format!("<sip:{}>", self.seal(Kind::Contact, value, fresh())));
        };
        let display = address.display.map(|display| format!("{display} ")).unwrap_or_default();
        let scheme = scheme(&uri);
        let token = self.seal(Kind::Contact, address.uri, fresh());
        let params = address.params.as_str().trim_matches([' ', '\t', ';']);
        let mark = if params.is_empty() { "" } else { ";" };
        Cow::Owned(format!("{display}<{scheme}:{token}>{mark}{params}"))
    }

    /// Host and parameters.
    fn seal(&self, kind: Kind, text: &str, iv: [u8; 16]) -> String {
        let token = token::seal(&self.keys, kind, text, iv);
        let mut written = format!("{};{TOKENIZED_BY}={}", token.host, self.network);
        if !token.rest.is_empty() {
            written.push_str(&format!(";{TOKENIZED_REST}={}", token.rest));
        }
        written
    }
}

/// Consecutive entries of ours.
#[derive(Default)]
struct Run<'a> {
    entries: Vec<&'a str>,
}

impl<'a> Run<'a> {
    fn length_with(&self, entry: &str) -> usize {
        self.entries.iter().map(|entry| entry.len() + 1).sum::<usize>() + entry.len()
    }

    fn uris(&self) -> impl Iterator<Item = Uri<'a>> {
        self.entries.iter().filter_map(|entry| NameAddr::parse(entry)?.parse_uri().ok())
    }

    fn first_uri(&self) -> Option<Uri<'a>> {
        self.uris().next()
    }
}

/// Whether a comma behind it ends it. A quote or bracket without its partner would swallow the entry that follows.
fn splits_off(entry: &str) -> bool {
    text::list(&format!("{entry},x")).count() == 2
}

fn scheme(uri: &Uri<'_>) -> &'static str {
    if uri.scheme == Scheme::Sips { "sips" } else { "sip" }
}

fn halves(iv: [u8; 16]) -> [u64; 2] {
    let bits = u128::from_be_bytes(iv);
    [bits >> 64, bits & u128::from(u64::MAX)].map(|half| u64::try_from(half).unwrap_or_default())
}
