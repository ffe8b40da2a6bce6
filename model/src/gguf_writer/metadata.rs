//! The values of metadata keys.

/// A value. Arrays are of one plain type.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the names are the types")]
pub enum MetadataValue {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    Text(String),
    /// Elements of the given type, which an empty array has too.
    Array(MetadataType, Vec<MetadataValue>),
    U64(u64),
    I64(i64),
    F64(f64),
}

/// The type of a value, by its number in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
#[expect(missing_docs, reason = "the names are the types")]
pub enum MetadataType {
    U8 = 0,
    I8 = 1,
    U16 = 2,
    I16 = 3,
    U32 = 4,
    I32 = 5,
    F32 = 6,
    Bool = 7,
    Text = 8,
    Array = 9,
    U64 = 10,
    I64 = 11,
    F64 = 12,
}

impl MetadataValue {
    /// An array of texts.
    pub fn texts<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Self {
        Self::Array(MetadataType::Text, texts.into_iter().map(|text| Self::Text(text.into())).collect())
    }

    /// An array of signed numbers.
    pub fn integers(numbers: impl IntoIterator<Item = i32>) -> Self {
        Self::Array(MetadataType::I32, numbers.into_iter().map(Self::I32).collect())
    }

    /// An array of floats.
    pub fn floats(numbers: impl IntoIterator<Item = f32>) -> Self {
        Self::Array(MetadataType::F32, numbers.into_iter().map(Self::F32).collect())
    }

    /// Its type.
    #[must_use]
    pub const fn metadata_type(&self) -> MetadataType {
        match self {
            Self::U8(_) => MetadataType::U8,
            Self::I8(_) => MetadataType::I8,
            Self::U16(_) => MetadataType::U16,
            Self::I16(_) => MetadataType::I16,
            Self::U32(_) => MetadataType::U32,
            Self::I32(_) => MetadataType::I32,
            Self::F32(_) => MetadataType::F32,
            Self::Bool(_) => MetadataType::Bool,
            Self::Text(_) => MetadataType::Text,
            Self::Array(..) => MetadataType::Array,
            Self::U64(_) => MetadataType::U64,
            Self::I64(_) => MetadataType::I64,
            Self::F64(_) => MetadataType::F64,
        }
    }
}

impl From<&str> for MetadataValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<u32> for MetadataValue {
    fn from(number: u32) -> Self {
        Self::U32(number)
    }
}

impl From<f32> for MetadataValue {
    fn from(number: f32) -> Self {
        Self::F32(number)
    }
}

impl From<bool> for MetadataValue {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}
