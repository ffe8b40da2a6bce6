//! Writes the GGUF files that llama.cpp's reference logits are made of, and `hashes.json`, which says what each was.
//!
//! `cargo run -p neuro-inference --example write_quantised -- DIR`; see `tests/fixtures/llama_cpp/make`.

#[path = "../tests/model/exported.rs"]
mod exported;

use std::collections::BTreeMap;
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: write_quantised DIR")?;
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    let mut hashes = BTreeMap::new();
    for file in exported::every_type().into_iter().chain(exported::families()) {
        let bytes = std::fs::read(file.write(folder))?;
        hashes.insert(file.name, blake3::hash(&bytes).to_hex().to_string());
    }
    let mut text = serde_json::to_string_pretty(&hashes)?;
    text.push('\n');
    Ok(std::fs::write(folder.join("hashes.json"), text)?)
}
