//! Typed access to metadata: a key that is missing is `None`, one of another type is an error that names it.

use std::fmt::Display;

use crate::gguf::value::{ArrayPlace, Value, ValueType, scalar};
use crate::gguf::{GgufError, GgufFile, header};

/// A value in an error message is cut here.
const MAX_QUOTED_CHARS: usize = 100;

impl GgufFile {
    /// A whole number that is not negative, of any width.
    ///
    /// # Errors
    ///
    /// The key has another value.
    pub fn u64(&self, key: &str) -> Result<Option<u64>, GgufError> {
        let Some(value) = self.header.value(key) else { return Ok(None) };
        unsigned(value).map(Some).ok_or_else(|| self.wrong(key, "a whole number from 0", value))
    }

    /// A whole number of 32 bits that is not negative.
    ///
    /// # Errors
    ///
    /// The key has another value.
    pub fn u32(&self, key: &str) -> Result<Option<u32>, GgufError> {
        let Some(value) = self.header.value(key) else { return Ok(None) };
        let number = unsigned(value).and_then(|number| u32::try_from(number).ok());
        number.map(Some).ok_or_else(|| self.wrong(key, "a whole number of 32 bits", value))
    }

    /// A number that is finite as f32, as it is written there: 0.1 and not 0.10000000149.
    ///
    /// # Errors
    ///
    /// The key has another value.
    pub fn f32(&self, key: &str) -> Result<Option<f32>, GgufError> {
        match self.header.value(key) {
            None => Ok(None),
            Some(Value::Float(number)) if (*number as f32).is_finite() => Ok(Some(*number as f32)),
            Some(value) => Err(self.wrong(key, "a finite number", value)),
        }
    }

    /// A truth value.
    ///
    /// # Errors
    ///
    /// The key has another value.
    pub fn bool(&self, key: &str) -> Result<Option<bool>, GgufError> {
        match self.header.value(key) {
            None => Ok(None),
            Some(Value::Bool(truth)) => Ok(Some(*truth)),
            Some(value) => Err(self.wrong(key, "true or false", value)),
        }
    }

    /// A text.
    ///
    /// # Errors
    ///
    /// The key has another value.
    pub fn text(&self, key: &str) -> Result<Option<&str>, GgufError> {
        match self.header.value(key) {
            None => Ok(None),
            Some(Value::Text(place)) => Ok(self.bytes().get(place.clone()).map(checked_text)),
            Some(value) => Err(self.wrong(key, "a text", value)),
        }
    }

    /// An array of texts.
    ///
    /// # Errors
    ///
    /// The key has another value.
    pub fn texts(&self, key: &str) -> Result<Option<impl ExactSizeIterator<Item = &str>>, GgufError> {
        let array = self.array(key, "an array of texts", |element| element == ValueType::Text)?;
        Ok(array.map(|array| Texts { rest: self.at(array), left: array.length }))
    }

    /// An array of whole numbers of any width; negative ones are an error too.
    ///
    /// # Errors
    ///
    /// The key has another value.
    pub fn u64s(&self, key: &str) -> Result<Option<Vec<u64>>, GgufError> {
        let expected = "an array of whole numbers from 0";
        let Some(array) = self.array(key, expected, is_whole)? else { return Ok(None) };
        let numbers = self.scalars(array).map(|value| value.as_ref().and_then(unsigned));
        let wrong = || self.wrong_text(key, expected, "a negative number");
        numbers.map(|number| number.ok_or_else(wrong)).collect::<Result<_, _>>().map(Some)
    }

    /// An array of numbers, as f32.
    ///
    /// # Errors
    ///
    /// The key has another value.
    pub fn f32s(&self, key: &str) -> Result<Option<Vec<f32>>, GgufError> {
        let is_float = |element| matches!(element, ValueType::F32 | ValueType::F64);
        let Some(array) = self.array(key, "an array of numbers", is_float)? else { return Ok(None) };
        let numbers = self.scalars(array).map(|value| match value {
            Some(Value::Float(number)) => number as f32,
            _ => f32::NAN,
        });
        Ok(Some(numbers.collect()))
    }

    /// An error for a key whose value cannot be what it is.
    pub(super) fn wrong(&self, key: &str, expected: impl Display, got: &Value) -> GgufError {
        match got {
            Value::Text(place) => {
                let text = self.bytes().get(place.clone()).map_or("", checked_text);
                self.wrong_text(key, expected, &format!("{text:?}"))
            }
            other => self.wrong_text(key, expected, &header::plain(other)),
        }
    }

    pub(super) fn wrong_text(&self, key: &str, expected: impl Display, got: &str) -> GgufError {
        let got = got.chars().take(MAX_QUOTED_CHARS).collect();
        GgufError::Key { file: self.path.clone(), key: key.to_owned(), expected: expected.to_string(), got }
    }

    pub(super) fn no_key(&self, key: &str, expected: &str) -> GgufError {
        GgufError::NoKey { file: self.path.clone(), key: key.to_owned(), expected: expected.to_owned() }
    }

    fn array(
        &self,
        key: &str,
        expected: &str,
        fits: impl Fn(ValueType) -> bool,
    ) -> Result<Option<&ArrayPlace>, GgufError> {
        match self.header.value(key) {
            None => Ok(None),
            Some(Value::Array(array)) if fits(array.element) => Ok(Some(array)),
            Some(value) => Err(self.wrong(key, expected, value)),
        }
    }

    fn at(&self, array: &ArrayPlace) -> &[u8] {
        self.bytes().get(array.place.clone()).unwrap_or_default()
    }

    /// The elements of an array of numbers or truth values.
    fn scalars(&self, array: &ArrayPlace) -> impl Iterator<Item = Option<Value>> {
        let element = array.element;
        self.at(array).chunks_exact(element.bytes()).map(move |bytes| scalar(element, bytes, "").ok())
    }
}

/// Texts one after the other, each with its length before it; checked when the file was opened.
struct Texts<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Iterator for Texts<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        self.left = self.left.checked_sub(1)?;
        let (length, rest) = self.rest.split_first_chunk()?;
        let (text, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        self.rest = rest;
        Some(checked_text(text))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Texts<'_> {}

fn is_whole(element: ValueType) -> bool {
    use ValueType::{I8, I16, I32, I64, U8, U16, U32, U64};
    matches!(element, U8 | I8 | U16 | I16 | U32 | I32 | U64 | I64)
}

fn unsigned(value: &Value) -> Option<u64> {
    match value {
        Value::Unsigned(number) => Some(*number),
        Value::Signed(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

/// Bytes that were found to be UTF-8 when the file was opened. Should they have changed since, there is no text.
fn checked_text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}
