//! Writes GGUF files, good ones and spoiled ones: what is given is what stands in the file.

use std::path::Path;

use neuro_primitives::TensorType;

use crate::gguf::{GgufFile, Value};

/// A tensor to be written.
#[derive(Clone)]
pub(crate) struct Written {
    pub(crate) name: String,
    /// The type's number.
    pub(crate) code: u32,
    /// The slowest dimension first.
    pub(crate) shape: Vec<u64>,
    pub(crate) bytes: Vec<u8>,
    /// Where it lies; behind the one before where there is none.
    pub(crate) offset: Option<u64>,
}

/// A file in the making.
#[derive(Clone)]
pub(crate) struct Writer {
    pub(crate) version: u32,
    /// Keys with type and value as they stand in the file.
    pub(crate) keys: Vec<(String, Vec<u8>)>,
    pub(crate) tensors: Vec<Written>,
}

impl Writer {
    pub(crate) fn new() -> Self {
        Self { version: 3, keys: Vec::new(), tensors: Vec::new() }
    }

    /// All that is in a good file, to be changed.
    pub(crate) fn of(path: &Path) -> Self {
        let file = GgufFile::open(path).unwrap();
        let mut writer = Self::new();
        for (key, value) in &file.header().metadata {
            writer.keys.push((key.clone(), encoded(value, file.bytes())));
        }
        for tensor in file.tensors() {
            let shape: Vec<usize> = tensor.shape.clone();
            writer = writer.tensor(&tensor.name, tensor.tensor_type, &shape, &file.bytes()[tensor.place.clone()]);
        }
        writer
    }

    /// Sets `key` to what is written as a type and a value.
    pub(crate) fn raw(mut self, key: &str, code: u32, value: &[u8]) -> Self {
        self.keys.retain(|(old, _)| old != key);
        self.keys.push((key.to_owned(), [&code.to_le_bytes(), value].concat()));
        self
    }

    pub(crate) fn without(mut self, key: &str) -> Self {
        self.keys.retain(|(old, _)| old != key);
        self
    }

    pub(crate) fn text(self, key: &str, value: &str) -> Self {
        self.raw(key, 8, &text(value))
    }

    pub(crate) fn u32(self, key: &str, value: u32) -> Self {
        self.raw(key, 4, &value.to_le_bytes())
    }

    pub(crate) fn f32(self, key: &str, value: f32) -> Self {
        self.raw(key, 6, &value.to_le_bytes())
    }

    pub(crate) fn bool(self, key: &str, value: bool) -> Self {
        self.raw(key, 7, &[u8::from(value)])
    }

    pub(crate) fn texts(self, key: &str, values: &[&str]) -> Self {
        let bytes: Vec<u8> = values.iter().flat_map(|value| text(value)).collect();
        self.array(key, 8, values.len(), &bytes)
    }

    pub(crate) fn i32s(self, key: &str, values: &[i32]) -> Self {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.array(key, 5, values.len(), &bytes)
    }

    pub(crate) fn f32s(self, key: &str, values: &[f32]) -> Self {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.array(key, 6, values.len(), &bytes)
    }

    pub(crate) fn array(self, key: &str, element: u32, length: usize, bytes: &[u8]) -> Self {
        self.raw(key, 9, &[&element.to_le_bytes()[..], &(length as u64).to_le_bytes(), bytes].concat())
    }

    pub(crate) fn tensor(mut self, name: &str, tensor_type: TensorType, shape: &[usize], bytes: &[u8]) -> Self {
        let shape = shape.iter().map(|&size| size as u64).collect();
        let (name, bytes) = (name.to_owned(), bytes.to_vec());
        self.tensors.push(Written { name, code: u32::from(tensor_type.code()), shape, bytes, offset: None });
        self
    }

    /// A tensor of f32 that counts up from `start`.
    pub(crate) fn counting(self, name: &str, shape: &[usize], start: usize) -> Self {
        let values = start..start + shape.iter().product::<usize>();
        let bytes: Vec<u8> = values.flat_map(|value| (value as f32).to_le_bytes()).collect();
        self.tensor(name, TensorType::F32, shape, &bytes)
    }

    pub(crate) fn remove(mut self, name: &str) -> Self {
        self.tensors.retain(|tensor| tensor.name != name);
        self
    }

    pub(crate) fn find(&self, name: &str) -> &Written {
        self.tensors.iter().find(|tensor| tensor.name == name).unwrap()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut file = [&b"GGUF"[..], &self.version.to_le_bytes()].concat();
        file.extend((self.tensors.len() as u64).to_le_bytes());
        file.extend((self.keys.len() as u64).to_le_bytes());
        for (key, value) in &self.keys {
            file.extend(text(key));
            file.extend(value);
        }
        let mut data = Vec::new();
        for tensor in &self.tensors {
            file.extend(text(&tensor.name));
            file.extend((tensor.shape.len() as u32).to_le_bytes());
            tensor.shape.iter().rev().for_each(|size| file.extend(size.to_le_bytes()));
            file.extend(tensor.code.to_le_bytes());
            file.extend(tensor.offset.unwrap_or(data.len() as u64).to_le_bytes());
            data.extend(&tensor.bytes);
            data.resize(data.len().next_multiple_of(32), 0);
        }
        if !data.is_empty() {
            file.resize(file.len().next_multiple_of(32), 0);
        }
        file.extend(data);
        file
    }

    pub(crate) fn write(&self, path: &Path) -> &Self {
        std::fs::write(path, self.bytes()).unwrap();
        self
    }
}

pub(crate) fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

fn encoded(value: &Value, file: &[u8]) -> Vec<u8> {
    let with = |code: u32, bytes: &[u8]| [&code.to_le_bytes()[..], bytes].concat();
    match value {
        Value::Unsigned(number) => with(10, &number.to_le_bytes()),
        Value::Signed(number) => with(11, &number.to_le_bytes()),
        Value::Float(number) => with(6, &(*number as f32).to_le_bytes()),
        Value::Bool(truth) => with(7, &[u8::from(*truth)]),
        Value::Text(place) => with(8, &text(std::str::from_utf8(&file[place.clone()]).unwrap())),
        Value::Array(array) => {
            let element = (array.element as u32).to_le_bytes();
            with(9, &[&element[..], &(array.length as u64).to_le_bytes(), &file[array.place.clone()]].concat())
        }
    }
}
