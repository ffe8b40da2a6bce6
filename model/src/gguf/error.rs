//! What can be wrong with a GGUF file.

use std::io;
use std::path::PathBuf;

use neuro_primitives::TensorType;

/// Bytes that are not what the format asks for. Offsets and lengths are in bytes from the beginning of the file.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// Something should go on after the file's last byte.
    #[error("file is truncated: {what} needs {needs} bytes at offset {at}, but only {left} are left")]
    Truncated {
        /// What was being read: a part of the header, a key or a tensor's name.
        what: String,
        /// Bytes that it has.
        needs: u64,
        /// Where they should begin.
        at: usize,
        /// Bytes from there to the end.
        left: usize,
    },
    /// Another kind of file.
    #[error("not a GGUF file: expected it to begin with \"GGUF\", got {got:?}")]
    Magic {
        /// The first four bytes.
        got: String,
    },
    /// Numbers with the most significant byte first.
    #[error("big-endian GGUF is not supported; expected a little-endian file")]
    BigEndian,
    /// A version of the format that is not read here.
    #[error("GGUF version {got} is not supported; supported are 2 and 3")]
    Version {
        /// The version.
        got: u32,
    },
    /// A number of things above its bound.
    #[error("{what}: expected at most {limit}, got {got}")]
    TooMany {
        /// What is counted.
        what: String,
        /// The bound.
        limit: u64,
        /// The number.
        got: u64,
    },
    /// A value of a type that the format does not have.
    #[error("key {key:?}: unknown value type {got}; expected 0 to 12")]
    ValueType {
        /// The key.
        key: String,
        /// The type's number.
        got: u32,
    },
    /// Arrays of arrays of arrays.
    #[error("key {key:?}: arrays are nested deeper than {limit}")]
    Nesting {
        /// The key.
        key: String,
        /// The bound.
        limit: usize,
    },
    /// Text that is not UTF-8.
    #[error("{what}: text is not UTF-8 from byte {valid_bytes} on")]
    Text {
        /// The key or name.
        what: String,
        /// Bytes before the first bad one.
        valid_bytes: usize,
    },
    /// A truth value that is neither 0 nor 1.
    #[error("key {key:?}: expected a bool of 0 or 1, got {got}")]
    Bool {
        /// The key.
        key: String,
        /// The byte.
        got: u8,
    },
    /// A key that comes twice.
    #[error("key {key:?} is there twice")]
    KeyTwice {
        /// The key.
        key: String,
    },
    /// A tensor that comes twice.
    #[error("tensor {tensor:?} is listed twice")]
    TensorTwice {
        /// The tensor.
        tensor: String,
    },
    /// An alignment that is none.
    #[error("key \"general.alignment\": expected a power of two of at most {limit}, got {got}")]
    Alignment {
        /// The bound.
        limit: u32,
        /// The value.
        got: String,
    },
    /// A tensor with no or too many dimensions.
    #[error("tensor {tensor:?} has {got} dimensions, expected 1 to {limit}")]
    Dimensions {
        /// The tensor.
        tensor: String,
        /// The bound.
        limit: u32,
        /// How many it has.
        got: u32,
    },
    /// A tensor without elements.
    #[error("tensor {tensor:?} has shape {shape:?}, expected dimensions above 0")]
    Empty {
        /// The tensor.
        tensor: String,
        /// Its shape, the slowest dimension first.
        shape: Vec<u64>,
    },
    /// A tensor with more bytes than 64 bits can count.
    #[error("tensor {tensor:?} has shape {shape:?}, which no file can hold")]
    TooLarge {
        /// The tensor.
        tensor: String,
        /// Its shape, the slowest dimension first.
        shape: Vec<u64>,
    },
    /// A way of storing elements that this engine does not have.
    #[error("tensor {tensor:?} is stored as {got}; supported are {}", supported())]
    TensorType {
        /// The tensor.
        tensor: String,
        /// The type's name, or its number where it has none.
        got: String,
    },
    /// A row that is not a whole number of blocks.
    #[error("tensor {tensor:?} has rows of {row} elements, expected a multiple of {block}, the block of {tensor_type}")]
    Row {
        /// The tensor.
        tensor: String,
        /// Its type.
        tensor_type: TensorType,
        /// Elements of a row.
        row: u64,
        /// Elements of a block.
        block: usize,
    },
    /// A tensor that does not begin where tensors may.
    #[error("tensor {tensor:?} begins at offset {offset} of the tensors, expected a multiple of {alignment}")]
    Unaligned {
        /// The tensor.
        tensor: String,
        /// Its offset after the header.
        offset: u64,
        /// The file's alignment.
        alignment: u32,
    },
    /// A tensor that ends after the file does.
    #[error("tensor {tensor:?} ends at byte {end}, but the file has only {length} (is it truncated?)")]
    PastEnd {
        /// The tensor.
        tensor: String,
        /// The byte after its last.
        end: u64,
        /// The file's length.
        length: usize,
    },
    /// Two tensors that share bytes.
    #[error("tensors {first:?} and {second:?} overlap")]
    Overlap {
        /// The one that begins first.
        first: String,
        /// The other.
        second: String,
    },
}

/// A GGUF model that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GgufError {
    /// The file could not be read.
    #[error("{}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not what the format asks for.
    #[error("{}: {source}", file.display())]
    Format {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        source: FormatError,
    },
    /// A key that every model of the kind has is not there.
    #[error("{}: no key {key:?}; expected {expected}", file.display())]
    NoKey {
        /// The file.
        file: PathBuf,
        /// The key.
        key: String,
        /// What it should hold.
        expected: String,
    },
    /// A key with a value that it cannot have.
    #[error("{}: key {key:?}: expected {expected}, got {got}", file.display())]
    Key {
        /// The file.
        file: PathBuf,
        /// The key.
        key: String,
        /// What it may be.
        expected: String,
        /// What it is, cut where it is long.
        got: String,
    },
    /// One part of several whose name does not lead to the others.
    #[error("{}: is one part of {count}, expected a name that ends in -00001-of-{count:05}.gguf", file.display())]
    PartName {
        /// The file.
        file: PathBuf,
        /// How many parts there should be.
        count: u64,
    },
    /// Two parts that hold a tensor of the same name.
    #[error("tensor {tensor:?} is both in {} and in {}", first.display(), second.display())]
    Twice {
        /// The tensor.
        tensor: String,
        /// A file that holds it.
        first: PathBuf,
        /// Another.
        second: PathBuf,
    },
}

impl GgufError {
    /// Whether opening the same file again may succeed: only where the system was at fault, not the file.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Io { source, .. } if crate::mapped_file::is_retryable(source))
    }
}

fn supported() -> String {
    TensorType::ALL.map(TensorType::name).join(", ")
}
