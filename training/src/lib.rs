//! Training of mixture-of-experts models on one machine. The only crate with gradients.
