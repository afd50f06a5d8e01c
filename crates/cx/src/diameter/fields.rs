//! The AVPs of a message or group as a reader asks for them: by name, once or several times, as a type.

use std::cell::Cell;

use aka::{Impi, Impu};

use super::dictionary::{self as d, Definition};
use super::{Avp, Avps, Extra, FailedAvp};
use crate::{CxError, ServerName};

/// More AVPs than any Cx message has: a bound on the work one message can cause.
const MOST_AVPS: usize = 1024;

/// All of them well-formed and none unknown with the M flag.
pub(crate) struct Fields<'a>(Vec<Field<'a>>);

struct Field<'a> {
    avp: Avp<'a>,
    /// Whether somebody has asked for it. What nobody asked for is [`Extra`].
    taken: Cell<bool>,
}

impl<'a> Fields<'a> {
    //= RFC 6733 4.1
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, CxError> {
        let fields = Self::read_tolerantly(bytes)?;
        match fields.0.iter().find(|field| field.avp.mandatory && d::name(field.avp.key).is_none()) {
            Some(unknown) => Err(CxError::AvpUnsupported(FailedAvp::whole(unknown.avp))),
            None => Ok(fields),
        }
    }

    /// Takes AVPs of any kind, for messages about the connection itself.
    pub(crate) fn read_tolerantly(bytes: &'a [u8]) -> Result<Self, CxError> {
        let mut fields = Vec::new();
        for avp in Avps::new(bytes) {
            let avp = avp?;
            if fields.len() == MOST_AVPS {
                return Err(CxError::AvpTooOften(FailedAvp::whole(avp)));
            }
            fields.push(Field { avp, taken: Cell::new(false) });
        }
        Ok(Self(fields))
    }

    pub(crate) fn all(&self, definition: Definition) -> impl Iterator<Item = Avp<'a>> {
        let matching = self.0.iter().filter(move |field| field.avp.key == definition.key);
        matching.map(|field| {
            field.taken.set(true);
            field.avp
        })
    }

    pub(crate) fn optional(&self, definition: Definition) -> Result<Option<Avp<'a>>, CxError> {
        let mut matching = self.all(definition);
        match (matching.next(), matching.next()) {
            (Some(_), Some(second)) => Err(CxError::AvpTooOften(FailedAvp::whole(second))),
            (first, _) => Ok(first),
        }
    }

    pub(crate) fn one(&self, definition: Definition) -> Result<Avp<'a>, CxError> {
        self.optional(definition)?.ok_or_else(|| CxError::AvpMissing(FailedAvp::example(definition)))
    }

    pub(crate) fn text(&self, definition: Definition) -> Result<&'a str, CxError> {
        text(self.one(definition)?)
    }

    pub(crate) fn number(&self, definition: Definition) -> Result<u32, CxError> {
        number(self.one(definition)?)
    }

    pub(super) fn optional_text(&self, definition: Definition) -> Result<Option<String>, CxError> {
        Ok(self.optional(definition)?.map(text).transpose()?.map(str::to_owned))
    }

    pub(super) fn impi(&self) -> Result<Impi, CxError> {
        impi(self.one(d::USER_NAME)?)
    }

    pub(super) fn impu(&self) -> Result<Impu, CxError> {
        impu(self.one(d::PUBLIC_IDENTITY)?)
    }

    pub(super) fn impus(&self) -> Result<Vec<Impu>, CxError> {
        self.all(d::PUBLIC_IDENTITY).map(impu).collect()
    }

    pub(super) fn server_name(&self) -> Result<ServerName, CxError> {
        server_name(self.one(d::SERVER_NAME)?)
    }

    pub(super) fn extra(&self) -> Extra {
        Extra::collect(self.0.iter().filter(|field| !field.taken.get()).map(|field| field.avp))
    }
}

/// Reads a Grouped AVP. An error names the AVP at fault inside its group.
//= RFC 6733 7.5
pub(super) fn group<'a, T>(
    avp: Avp<'a>,
    read: impl FnOnce(&Fields<'a>) -> Result<T, CxError>,
) -> Result<T, CxError> {
    Fields::read(avp.data).and_then(|fields| read(&fields)).map_err(|error| error.inside(avp.whole))
}

pub(crate) fn wrong(avp: Avp<'_>) -> CxError {
    CxError::AvpValue(FailedAvp::whole(avp))
}

/// Without the content.
pub(super) fn wrong_secret(avp: Avp<'_>) -> CxError {
    CxError::AvpValue(FailedAvp::blank(avp))
}

pub(crate) fn text<'a>(avp: Avp<'a>) -> Result<&'a str, CxError> {
    std::str::from_utf8(avp.data).map_err(|_| wrong(avp))
}

pub(crate) fn number(avp: Avp<'_>) -> Result<u32, CxError> {
    let octets = avp.data.try_into().map_err(|_| CxError::AvpLength(FailedAvp::whole(avp)))?;
    Ok(u32::from_be_bytes(octets))
}

pub(super) fn impi(avp: Avp<'_>) -> Result<Impi, CxError> {
    Impi::new(text(avp)?).map_err(|_| wrong(avp))
}

pub(super) fn impu(avp: Avp<'_>) -> Result<Impu, CxError> {
    Impu::new(text(avp)?).map_err(|_| wrong(avp))
}

pub(super) fn server_name(avp: Avp<'_>) -> Result<ServerName, CxError> {
    ServerName::new(text(avp)?).map_err(|_| wrong(avp))
}
