//! What both databases do: values in, rows out.

use neuro_orchestrator::store::StoreError;
use neuro_primitives::Hash;

/// A column's value. Both databases have these types and no more are used.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// A 64-bit integer.
    Integer(i64),
    /// A double.
    Real(f64),
    /// A text without NUL.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl Value {
    /// A count. What does not fit a column is as large as it gets.
    pub fn count(count: u64) -> Self {
        Self::Integer(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// A double. SQLite keeps what is no number as nothing, so that is 0.
    pub const fn real(real: f64) -> Self {
        Self::Real(if real.is_nan() { 0.0 } else { real })
    }

    /// A text. PostgreSQL refuses NUL, and a worker's name must not stop a commit.
    pub fn text(text: &str) -> Self {
        Self::Text(text.replace('\0', ""))
    }

    /// A text or nothing.
    pub fn optional(text: Option<&str>) -> Self {
        text.map_or(Self::Null, Self::text)
    }

    /// Bytes.
    pub fn bytes(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

/// One connection to one database. Statements are numbered `$1`, `$2`, … in the order in which they first appear, which
/// both databases read alike.
pub trait Database: Send {
    /// The database as it may be shown to people.
    fn place(&self) -> &str;

    /// Begins a transaction that writes. While it is open, nobody else writes.
    fn begin(&mut self) -> Result<(), StoreError>;

    /// Makes what was written since [`Self::begin`] last.
    fn commit(&mut self) -> Result<(), StoreError>;

    /// Undoes what was written since [`Self::begin`], if the connection still lives; it is undone if not.
    fn roll_back(&mut self);

    /// Runs a statement that writes.
    fn execute(&mut self, statement: &'static str, values: &[Value]) -> Result<(), StoreError>;

    /// Runs a statement that reads.
    fn rows(&mut self, statement: &'static str, values: &[Value]) -> Result<Vec<Vec<Value>>, StoreError>;
}

/// Reads a row's columns from left to right.
pub struct Columns<'a> {
    place: &'a str,
    values: std::vec::IntoIter<Value>,
}

impl<'a> Columns<'a> {
    /// The columns of `row`, which was read at `place`.
    pub fn new(place: &'a str, row: Vec<Value>) -> Self {
        Self { place, values: row.into_iter() }
    }

    /// A count: an integer that is not negative.
    pub fn count(&mut self) -> Result<u64, StoreError> {
        let integer = self.integer()?;
        u64::try_from(integer).map_err(|_| self.damaged(format!("expected a count, found {integer}")))
    }

    /// A smaller count.
    pub fn small<T: TryFrom<u64>>(&mut self) -> Result<T, StoreError> {
        let count = self.count()?;
        T::try_from(count).map_err(|_| self.damaged(format!("expected a smaller count, found {count}")))
    }

    /// An integer.
    pub fn integer(&mut self) -> Result<i64, StoreError> {
        match self.next() {
            Value::Integer(integer) => Ok(integer),
            other => Err(self.unexpected("an integer", &other)),
        }
    }

    /// A double.
    pub fn real(&mut self) -> Result<f64, StoreError> {
        match self.next() {
            Value::Real(real) => Ok(real),
            other => Err(self.unexpected("a double", &other)),
        }
    }

    /// A text.
    pub fn text(&mut self) -> Result<String, StoreError> {
        self.optional_text()?.ok_or_else(|| self.unexpected("a text", &Value::Null))
    }

    /// A text or nothing.
    pub fn optional_text(&mut self) -> Result<Option<String>, StoreError> {
        match self.next() {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text)),
            other => Err(self.unexpected("a text", &other)),
        }
    }

    /// Bytes of any length.
    pub fn bytes(&mut self) -> Result<Vec<u8>, StoreError> {
        match self.next() {
            Value::Bytes(bytes) => Ok(bytes),
            other => Err(self.unexpected("bytes", &other)),
        }
    }

    /// Exactly `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], StoreError> {
        let bytes = self.bytes()?;
        let length = bytes.len();
        bytes.try_into().map_err(|_| self.damaged(format!("expected {N} bytes, found {length}")))
    }

    /// A hash.
    pub fn hash(&mut self) -> Result<Hash, StoreError> {
        self.array().map(Hash)
    }

    /// What the place's owner hears of a row that makes no sense.
    pub fn damaged(&self, what: String) -> StoreError {
        StoreError::Damaged { place: self.place.to_owned(), what }
    }

    fn next(&mut self) -> Value {
        self.values.next().unwrap_or(Value::Null)
    }

    fn unexpected(&self, expected: &str, found: &Value) -> StoreError {
        self.damaged(format!("expected {expected}, found {found:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_from_left_to_right_and_a_wrong_column_is_named() {
        let row = vec![Value::count(7), Value::text("a\0b"), Value::Null, Value::bytes(&[1, 2]), Value::Integer(-1)];
        let mut columns = Columns::new("here", row);
        assert_eq!(columns.small::<u16>(), Ok(7));
        assert_eq!(columns.text().as_deref(), Ok("ab"));
        assert_eq!(columns.optional_text(), Ok(None));
        assert_eq!(columns.array(), Ok([1, 2]));
        let error = columns.count().unwrap_err().to_string();
        assert_eq!(error, "here is damaged: expected a count, found -1");
        assert!(columns.real().unwrap_err().to_string().contains("expected a double, found Null"));
    }
}
