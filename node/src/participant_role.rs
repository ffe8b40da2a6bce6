//! The participant.

pub mod audit;
pub mod fetching;
pub mod record_store;
pub mod task_folder;
pub mod trainer;
pub mod uploading;
