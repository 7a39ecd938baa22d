//! The argument that names a store. A URL may hold a password: it is in no error message.

use std::ffi::OsStr;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Command, Error};

use crate::store::Store;

/// Reads `--store`. clap's own parsers repeat the whole value in their errors.
#[derive(Debug, Clone, Copy)]
pub(super) struct StoreParser;

impl TypedValueParser for StoreParser {
    type Value = Store;

    fn parse_ref(&self, command: &Command, _: Option<&Arg>, value: &OsStr) -> Result<Store, Error> {
        let fail = |what: &dyn std::fmt::Display| {
            let message = format!("invalid value for '--store <dir:PATH|etcd:URL>': {what}\n");
            Error::raw(ErrorKind::ValueValidation, message).with_cmd(command)
        };
        let text = value.to_str().ok_or_else(|| fail(&"it is not UTF-8"))?;
        text.parse().map_err(|error| fail(&error))
    }
}
