//! What enters the network.

use std::borrow::Cow;

use sip::{Draft, Instant, Message, Name, NameAddr, text};

use crate::token::{self, Kind, Opened, TokenRefused};
use crate::{Hiding, Seen};

/// Headers in which tokens come back, and the kinds that belong there. A Path is used as Route.
const ENTRIES: [(Name, &[Kind]); 6] = [
    (Name::Via, &[Kind::Via]),
    (Name::RecordRoute, &[Kind::Route, Kind::Backward]),
    (Name::Route, &[Kind::Route, Kind::Backward, Kind::Path]),
    (Name::ServiceRoute, &[Kind::Route]),
    (Name::Path, &[Kind::Path]),
    (Name::Contact, &[Kind::Contact]),
];

impl Hiding {
    /// The message as it was before [`Hiding::hide`], to be read in its place before any routing; `None` when it holds
    /// no token of ours. Tokens of other networks stay.
    pub fn restore(&self, now: Instant, message: &Message) -> Result<Option<Message>, TokenRefused> {
        let mut draft: Option<Draft<'_>> = None;
        for (name, kinds) in ENTRIES {
            if message.values(name).any(|value| self.made(name, value).is_some()) {
                let values = self.restored(now, message, name, kinds)?;
                draft.get_or_insert_with(|| Draft::forward(message)).replace_values(name, values);
            }
        }
        if let Some(seen) = message.request_uri().and_then(Seen::of_uri)
            && seen.is_of(&self.network)
        {
            let opened = self.open(now, &seen)?;
            let draft = draft.get_or_insert_with(|| Draft::forward(message));
            request_uri(draft, &opened)?;
        }
        Ok(draft.map(|draft| draft.finish()))
    }

    /// The entry, if it is a token that says it is ours.
    fn made<'a>(&self, name: Name, value: &'a str) -> Option<Seen<'a>> {
        Seen::of(name, value).filter(|seen| seen.is_of(&self.network))
    }

    fn restored<'a>(
        &self,
        now: Instant,
        message: &'a Message,
        name: Name,
        kinds: &[Kind],
    ) -> Result<Vec<Cow<'a, str>>, TokenRefused> {
        let mut values = Vec::new();
        for value in message.values(name) {
            let Some(seen) = self.made(name, value) else {
                values.push(Cow::Borrowed(value));
                continue;
            };
            let opened = self.open(now, &seen)?;
            if !kinds.contains(&opened.kind) {
                return Err(TokenRefused);
            }
            match opened.kind {
                Kind::Contact => values.push(Cow::Owned(contact(value, &opened.text))),
                kind => {
                    let mut entries: Vec<_> =
                        text::list(&opened.text).map(|entry| Cow::Owned(entry.to_owned())).collect();
                    // Nobody has made a Route of it.
                    if kind == Kind::Backward && name == Name::RecordRoute {
                        entries.reverse();
                    }
                    values.extend(entries);
                }
            }
        }
        Ok(values)
    }

    fn open(&self, now: Instant, seen: &Seen<'_>) -> Result<Opened, TokenRefused> {
        match seen.host {
            sip::Host::Name(name) => token::open(&self.keys, now, name, seen.rest),
            _ => Err(TokenRefused),
        }
    }
}

/// A Contact of ours as remote target, or a Route of ours that a strict router has moved there.
fn request_uri(draft: &mut Draft<'_>, opened: &Opened) -> Result<(), TokenRefused> {
    match opened.kind {
        Kind::Contact => draft.set_request_uri(opened.text.clone()),
        Kind::Route | Kind::Backward | Kind::Path => {
            let mut entries = text::list(&opened.text);
            let first = entries.next().and_then(NameAddr::parse).ok_or(TokenRefused)?;
            draft.set_request_uri(first.uri.to_owned());
            let rest: Vec<_> = entries.collect();
            if !rest.is_empty() {
                draft.push_front(Name::Route, rest.join(","));
            }
            draft
        }
        Kind::Via => return Err(TokenRefused),
    };
    Ok(())
}

/// The URI in the place of the token.
fn contact(value: &str, uri: &str) -> String {
    let Some(address) = NameAddr::parse(value).filter(|_| sip::Uri::parse(uri).is_ok()) else {
        // It was hidden whole, because nobody could read it.
        return uri.to_owned();
    };
    let display = address.display.map(|display| format!("{display} ")).unwrap_or_default();
    let params = address.params.as_str().trim_matches([' ', '\t', ';']);
    // Of a Contact without angle brackets the token's own parameters are among these.
    let mine = |name: &str| {
        [crate::TOKENIZED_BY, crate::TOKENIZED_REST].iter().any(|own| name.eq_ignore_ascii_case(own))
    };
    let mut restored = format!("{display}<{uri}>");
    for (name, value) in text::Params::new(params).filter(|(name, _)| !mine(name)) {
        restored.push(';');
        restored.push_str(name);
        if let Some(value) = value {
            restored.push('=');
            restored.push_str(value);
        }
    }
    restored
}
