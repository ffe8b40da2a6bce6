//! Enumerations in JSON: prost keeps them as numbers, so that unknown ones survive; people and scripts get names.

use std::marker::PhantomData;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// For `#[serde(with = "Named::<E>")]` on a field that holds enumeration `E` as its number.
pub struct Named<E>(PhantomData<E>);

impl<E: TryFrom<i32> + Default + Serialize> Named<E> {
    /// Writes the name; a number that this version does not know becomes the name of the default.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn serialize<S: Serializer>(number: &i32, serializer: S) -> Result<S::Ok, S::Error> {
        E::try_from(*number).unwrap_or_default().serialize(serializer)
    }
}

impl<'de, E: Into<i32> + Deserialize<'de>> Named<E> {
    /// Reads a name.
    ///
    /// # Errors
    /// When the text names no member.
    pub fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
        E::deserialize(deserializer).map(Into::into)
    }
}
