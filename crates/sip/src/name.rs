//! Header names: one enum, found through a table built at compile time.

macro_rules! names {
    ($($variant:ident $text:literal $([$compact:literal])? $(($kind:ident))?,)*) => {
        /// A header name we know, or `Other` (its spelling stays in the message).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Name { $($variant,)* Other }

        static ALL: &[Name] = &[$(Name::$variant,)*];
        const TEXT: &[&str] = &[$($text,)*];
        const COMPACT: &[(u8, Name)] = &[$($(($compact, Name::$variant),)?)*];

        impl Name {
            /// Whether lines of this name are comma lists (RFC 3261 7.3.1).
            pub const fn is_list(self) -> bool {
                match self { $(Self::$variant => names!(@list $($kind)?),)* Self::Other => false }
            }

            /// Whether a message may carry this header once only; a second one is ambiguous and refused.
            pub const fn is_single(self) -> bool {
                match self { $(Self::$variant => names!(@single $($kind)?),)* Self::Other => false }
            }
        }
    };
    (@list list) => { true };
    (@list $($other:ident)?) => { false };
    (@single single) => { true };
    (@single $($other:ident)?) => { false };
}

names! {
    Accept "Accept" (list),
    AcceptContact "Accept-Contact" [b'a'] (list),
    AcceptEncoding "Accept-Encoding" (list),
    AcceptLanguage "Accept-Language" (list),
    AlertInfo "Alert-Info" (list),
    Allow "Allow" (list),
    AllowEvents "Allow-Events" [b'u'] (list),
    AuthenticationInfo "Authentication-Info",
    Authorization "Authorization",
    CallId "Call-ID" [b'i'] (single),
    CallInfo "Call-Info" (list),
    Contact "Contact" [b'm'] (list),
    ContentDisposition "Content-Disposition",
    ContentEncoding "Content-Encoding" [b'e'] (list),
    ContentLanguage "Content-Language" (list),
    ContentLength "Content-Length" [b'l'] (single),
    ContentType "Content-Type" [b'c'],
    CSeq "CSeq" (single),
    Date "Date",
    Event "Event" [b'o'],
    Expires "Expires" (single),
    FeatureCaps "Feature-Caps" (list),
    From "From" [b'f'] (single),
    HistoryInfo "History-Info" (list),
    InReplyTo "In-Reply-To" (list),
    MaxForwards "Max-Forwards" (single),
    MinExpires "Min-Expires",
    MimeVersion "MIME-Version",
    Organization "Organization",
    PAccessNetworkInfo "P-Access-Network-Info" (list),
    PAssertedIdentity "P-Asserted-Identity" (list),
    PAssertedService "P-Asserted-Service",
    PAssociatedUri "P-Associated-URI" (list),
    PCalledPartyId "P-Called-Party-ID",
    PChargingFunctionAddresses "P-Charging-Function-Addresses",
    PChargingVector "P-Charging-Vector",
    PEarlyMedia "P-Early-Media" (list),
    PPreferredIdentity "P-Preferred-Identity" (list),
    PPrivateNetworkIndication "P-Private-Network-Indication",
    PProfileKey "P-Profile-Key",
    PServedUser "P-Served-User",
    PUserDatabase "P-User-Database",
    PVisitedNetworkId "P-Visited-Network-ID" (list),
    Path "Path" (list),
    Priority "Priority",
    PrivAnswerMode "Priv-Answer-Mode",
    Privacy "Privacy",
    ProxyAuthenticate "Proxy-Authenticate",
    ProxyAuthorization "Proxy-Authorization",
    ProxyRequire "Proxy-Require" (list),
    RAck "RAck",
    RSeq "RSeq",
    Reason "Reason" (list),
    RecordRoute "Record-Route" (list),
    ReferTo "Refer-To" [b'r'],
    ReferredBy "Referred-By" [b'b'],
    ReplyTo "Reply-To",
    Require "Require" (list),
    ResourcePriority "Resource-Priority" (list),
    RetryAfter "Retry-After",
    Route "Route" (list),
    SecurityClient "Security-Client" (list),
    SecurityServer "Security-Server" (list),
    SecurityVerify "Security-Verify" (list),
    Server "Server",
    ServiceRoute "Service-Route" (list),
    SessionExpires "Session-Expires" [b'x'],
    Subject "Subject" [b's'],
    SubscriptionState "Subscription-State",
    Supported "Supported" [b'k'] (list),
    Timestamp "Timestamp",
    To "To" [b't'] (single),
    Unsupported "Unsupported" (list),
    UserAgent "User-Agent",
    Via "Via" [b'v'] (list),
    Warning "Warning" (list),
    WwwAuthenticate "WWW-Authenticate",
}

const EMPTY: u8 = u8::MAX;
const SLOTS: usize = 256;

/// Open addressing over (length, first and last letter); built by the compiler, so adding a name is one line.
static TABLE: [u8; SLOTS] = {
    let mut table = [EMPTY; SLOTS];
    let mut index = 0;
    while index < TEXT.len() {
        let mut slot = slot(TEXT[index].as_bytes());
        while table[slot] != EMPTY {
            slot = (slot + 1) % SLOTS;
        }
        #[allow(clippy::cast_possible_truncation)]
        {
            table[slot] = index as u8;
        }
        index += 1;
    }
    table
};

const fn slot(name: &[u8]) -> usize {
    match (name.first(), name.last()) {
        (Some(first), Some(last)) => {
            let middle = name[name.len() / 2] | 0x20;
            (name.len() * 7 + (*first | 0x20) as usize * 31 + (*last | 0x20) as usize * 5 + middle as usize)
                % SLOTS
        }
        _ => 0,
    }
}

impl Name {
    /// The name written thus, in any case or in the compact form.
    pub fn parse(text: &[u8]) -> Self {
        if let [letter] = text {
            let letter = letter.to_ascii_lowercase();
            return COMPACT
                .iter()
                .find(|(compact, _)| *compact == letter)
                .map_or(Self::Other, |(_, name)| *name);
        }
        if text.is_empty() {
            return Self::Other;
        }
        let mut at = slot(text);
        while let Some(index) = TABLE.get(at).copied().filter(|index| *index != EMPTY) {
            let index = usize::from(index);
            let name = TEXT[index].as_bytes();
            if name == text || name.eq_ignore_ascii_case(text) {
                return ALL[index];
            }
            at = (at + 1) % SLOTS;
        }
        Self::Other
    }

    /// The canonical spelling; empty for `Other`.
    pub fn as_str(self) -> &'static str {
        TEXT.get(self as usize).copied().unwrap_or("")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sip_14_every_name_is_found_in_any_case() {
        for name in ALL {
            assert_eq!(Name::parse(name.as_str().as_bytes()), *name);
            assert_eq!(Name::parse(name.as_str().to_lowercase().as_bytes()), *name);
            assert_eq!(Name::parse(name.as_str().to_uppercase().as_bytes()), *name);
        }
        assert_eq!(Name::parse(b"X-Unknown"), Name::Other);
        assert_eq!(Name::parse(b""), Name::Other);
    }

    #[test]
    fn sip_14_compact_forms() {
        for (letter, name) in [
            (b'v', Name::Via),
            (b'f', Name::From),
            (b't', Name::To),
            (b'i', Name::CallId),
            (b'm', Name::Contact),
            (b'l', Name::ContentLength),
            (b'c', Name::ContentType),
            (b'k', Name::Supported),
            (b's', Name::Subject),
            (b'o', Name::Event),
            (b'r', Name::ReferTo),
            (b'u', Name::AllowEvents),
            (b'x', Name::SessionExpires),
            (b'b', Name::ReferredBy),
            (b'e', Name::ContentEncoding),
        ] {
            assert_eq!(Name::parse(&[letter]), name);
            assert_eq!(Name::parse(&[letter.to_ascii_uppercase()]), name);
        }
        assert_eq!(Name::parse(b"z"), Name::Other);
    }
}
