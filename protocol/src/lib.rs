//! What travels and what is signed: frames, limits, tickets, the model manifest, the control services' messages.

pub mod control;
