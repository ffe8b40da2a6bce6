//! The proof of products, through its face.

#![allow(clippy::unwrap_used)]

mod deal;
mod honest;
mod lies;
mod network;
mod privacy;
mod runner;
