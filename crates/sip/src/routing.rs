//! What a proxy does to a request between two hops (RFC 3261 16.3 to 16.6, `spec/09` section 3).

use crate::header::{Host, MAGIC_COOKIE, NameAddr, OptionTags, Scheme, Uri};
use crate::{Draft, Message, Method, Name, ParseError, Transport};

/// Where a request goes next: still a name, resolved by the shell or from configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextHop<'a> {
    pub host: Host<'a>,
    /// As written; the default is 5060 (5061 for TLS).
    pub port: Option<u16>,
    /// As written; without it UDP, or TCP over 1300 octets (RFC 3261 18.1.1).
    pub transport: Option<Transport>,
}

impl<'a> NextHop<'a> {
    pub fn of(uri: &Uri<'a>) -> Result<Self, Refusal> {
        match uri.scheme {
            Scheme::Sip | Scheme::Sips => {
                let tls = (uri.scheme == Scheme::Sips).then_some(Transport::Tls);
                Ok(Self { host: uri.host, port: uri.port, transport: tls.or(uri.transport()) })
            }
            Scheme::Tel | Scheme::Other => Err(Refusal::UnsupportedScheme),
        }
    }
}

/// Why a proxy turns a request down.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    #[error("read the routing headers")]
    Malformed(#[from] ParseError),
    #[error("route on this URI scheme")]
    UnsupportedScheme,
    #[error("forward once more: Max-Forwards is 0")]
    TooManyHops,
    #[error("forward a request that was here before")]
    Loop,
    #[error("understand every Proxy-Require tag")]
    BadExtension {
        /// The Unsupported value of the answer.
        unsupported: Box<str>,
    },
}

impl Refusal {
    /// Status and reason phrase of the answer.
    pub const fn status(&self) -> (u16, &'static str) {
        match self {
            Self::Malformed(_) => (400, "Bad Request"),
            Self::UnsupportedScheme => (416, "Unsupported URI Scheme"),
            Self::TooManyHops => (483, "Too Many Hops"),
            Self::Loop => (482, "Loop Detected"),
            Self::BadExtension { .. } => (420, "Bad Extension"),
        }
    }

    /// The answer to `request`.
    pub fn reply(&self, request: &Message, to_tag: &str) -> Message {
        let (status, reason) = self.status();
        let mut draft = Draft::reply(request, status, reason, Some(to_tag));
        if let Self::BadExtension { unsupported } = self {
            draft.push(Name::Unsupported, unsupported.to_string());
        }
        draft.finish()
    }
}

/// The top Route when it is a loose router's, else the Request-URI. (A strict router's Route has been moved into the
/// Request-URI by [`consume_routes`] at our side, and by [`strict_next_hop`] for the next.)
pub fn next_hop(request: &Message) -> Result<NextHop<'_>, Refusal> {
    match request.addresses(Name::Route).next().transpose()? {
        Some(route) => NextHop::of(&route.parse_uri()?),
        None => NextHop::of(&Uri::parse(request.request_uri().unwrap_or_default())?),
    }
}

/// The hops left to write into the forwarded request: one less, 70 when there was no Max-Forwards.
pub fn max_forwards(request: &Message) -> Result<u32, Refusal> {
    match request.max_forwards() {
        Some(0) => Err(Refusal::TooManyHops),
        Some(hops) => Ok((hops - 1).min(255)),
        None => Ok(70),
    }
}

/// Every Proxy-Require tag must be one of `supported`; ACK and CANCEL pass.
pub fn proxy_require(request: &Message, supported: &[&str]) -> Result<(), Refusal> {
    if matches!(request.method(), Method::Ack | Method::Cancel) {
        return Ok(());
    }
    let mut tags = OptionTags::of(request, Name::ProxyRequire);
    for tag in supported {
        tags.remove(tag);
    }
    tags.value().map_or(Ok(()), |unsupported| Err(Refusal::BadExtension { unsupported: unsupported.into() }))
}

/// The Request-URI must have a scheme a CSCF knows.
pub fn request_uri(request: &Message) -> Result<Uri<'_>, Refusal> {
    let uri = Uri::parse(request.request_uri().unwrap_or_default())?;
    if uri.scheme == Scheme::Other { Err(Refusal::UnsupportedScheme) } else { Ok(uri) }
}

/// A branch from 128 random bits. The shell's seed feeds them; a proxy that wants loop detection puts
/// [`loop_hash`] in one of the halves.
pub fn branch(one: u64, two: u64) -> String {
    format!("{MAGIC_COOKIE}{one:016x}{two:016x}")
}

/// What makes a second visit a loop and not a spiral: everything that influences where the request goes
/// (RFC 3261 16.6 item 8). `key` keeps outsiders from forging it.
pub fn loop_hash(request: &Message, key: u64) -> u64 {
    let mut hash = key ^ 0xcbf2_9ce4_8422_2325;
    let mut add = |text: &str| {
        for octet in text.bytes().chain([b'\n']) {
            hash = (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3);
            hash = hash.rotate_left(23) ^ key;
        }
    };
    add(request.request_uri().unwrap_or_default());
    for name in
        [Name::From, Name::To, Name::CallId, Name::CSeq, Name::Route, Name::ProxyRequire, Name::Require]
    {
        request.lines(name).for_each(&mut add);
    }
    hash
}

/// Whether a Via of ours (`own` tells by sent-by host and port) already holds this loop hash as the second half of
/// its branch.
pub fn check_loop(
    request: &Message,
    hash: u64,
    own: impl Fn(Host<'_>, Option<u16>) -> bool,
) -> Result<(), Refusal> {
    let suffix = format!("{hash:016x}");
    for via in request.values(Name::Via) {
        let via = crate::Via::parse(via)?;
        if own(via.host, via.port) && via.branch().is_some_and(|branch| branch.ends_with(&suffix)) {
            return Err(Refusal::Loop);
        }
    }
    Ok(())
}

/// Route preprocessing (RFC 3261 16.4): takes our own Route entries from the top, after undoing a strict router's
/// rewrite of the Request-URI. `own` tells whether a URI is one of ours. Returns the entries taken, top first:
/// their user part or parameters are how a role marks direction.
pub fn consume_routes<'a>(
    request: &'a Message,
    draft: &mut Draft<'a>,
    own: impl Fn(&Uri<'_>) -> bool,
) -> Result<Vec<Uri<'a>>, Refusal> {
    let mut routes: Vec<&str> = request.values(Name::Route).collect();
    let target = Uri::parse(request.request_uri().unwrap_or_default());
    // Only a Record-Route entry of ours with lr comes back as Request-URI from a strict router.
    if target.is_ok_and(|uri| own(&uri) && uri.lr())
        && let Some(last) = routes.pop()
    {
        let last = NameAddr::parse(last).ok_or(ParseError::Malformed(Name::Route))?;
        draft.set_request_uri(last.uri);
        draft.replace_values(Name::Route, routes.iter().copied());
    }
    let mut taken = Vec::new();
    for route in routes {
        let uri = NameAddr::parse(route).ok_or(ParseError::Malformed(Name::Route))?.parse_uri()?;
        if !own(&uri) {
            break;
        }
        draft.remove_first_value(Name::Route);
        taken.push(uri);
    }
    Ok(taken)
}

/// Prepares a request for a strict router on top of the Route (RFC 3261 16.6 item 6): Request-URI to the end of
/// Route, the router's URI into the Request-URI. `None`: the next hop is a loose router, or there is no Route.
pub fn strict_next_hop(request: &Message) -> Result<Option<Message>, Refusal> {
    let Some(top) = request.addresses(Name::Route).next().transpose()? else { return Ok(None) };
    if top.parse_uri()?.lr() {
        return Ok(None);
    }
    let mut draft = Draft::forward(request);
    draft.set_request_uri(top.uri).remove_first_value(Name::Route);
    draft.push(Name::Route, format!("<{}>", request.request_uri().unwrap_or_default()));
    Ok(Some(draft.finish()))
}
