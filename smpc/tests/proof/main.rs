//! The proof of products, through its face.

mod deal;
mod honest;
mod lies;
mod network;
mod privacy;
