//! The Jinja environment, as `transformers` sets it up.

use std::error::Error as StdError;
use std::io;

use minijinja::value::Kwargs;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Value};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

use crate::chat_template::FUEL;

/// What a template said when it raised an exception.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Raised(String);

impl Raised {
    /// The message, if `error` comes from `raise_exception`.
    pub(super) fn of(error: &Error) -> Option<String> {
        let mut cause = error.source();
        while let Some(error) = cause {
            if let Some(Self(message)) = error.downcast_ref() {
                return Some(message.clone());
            }
            cause = error.source();
        }
        None
    }
}

pub(super) fn new() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_unknown_method_callback(unknown_method_callback);
    environment.set_fuel(Some(FUEL));
    environment.add_function("raise_exception", raise_exception);
    environment.add_filter("tojson", to_json);
    environment
}

fn raise_exception(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, "raised").with_source(Raised(message)))
}

/// The library's own `tojson` is for HTML and writes `<` as `\u003c`, which a model has never seen.
fn to_json(value: &Value, options: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = options.get("indent")?;
    let _ = options.get::<Option<bool>>("ensure_ascii")?;
    options.assert_all_used()?;
    let mut text = Vec::new();
    let written = match indent {
        None => value.serialize(&mut Serializer::with_formatter(&mut text, OneLine)),
        Some(width) => {
            let spaces = vec![b' '; width.min(MAX_INDENT)];
            value.serialize(&mut Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(&spaces)))
        }
    };
    let failed = |error: Box<dyn StdError>| Error::new(ErrorKind::BadSerialization, error.to_string());
    written.map_err(|error| failed(error.into()))?;
    String::from_utf8(text).map(Value::from).map_err(|error| failed(error.into()))
}

/// A deeper indent serves nobody, and its memory would not count as fuel.
const MAX_INDENT: usize = 16;

/// Python's separators: a space after each comma and colon.
struct OneLine;

impl Formatter for OneLine {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}
