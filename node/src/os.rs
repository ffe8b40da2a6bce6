//! What differs between operating systems: private files, memory figures.

pub mod memory;
pub mod private_file;
