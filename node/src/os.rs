//! What differs between operating systems: private files, memory figures, limits.

pub mod descriptors;
pub mod machine;
pub mod memory;
pub mod private_file;
