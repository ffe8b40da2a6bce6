//! Headers of files that people fetched somewhere: GGUF and safetensors. Nothing panics, and no tensor lies outside its
//! file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use neuro_model::gguf::GgufHeader;
use neuro_model::tensor_file::TensorTable;

fuzz_target!(|input: &[u8]| {
    if let Ok(header) = GgufHeader::from_bytes(input) {
        assert!(header.tensors().all(|tensor| input.get(tensor.place.clone()).is_some()));
    }
    if let Ok(table) = TensorTable::from_bytes(input) {
        assert!(table.iter().all(|(_, entry)| input.get(entry.place.clone()).is_some()));
    }
});
