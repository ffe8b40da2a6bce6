//! The ring's arithmetic, one function body per instruction set, all with the same result.
//!
//! This folder is the only one of the crate that may use `unsafe`.

#![allow(unsafe_code)]

mod instruction_set;
pub(super) mod transpose;
mod vectorised;

pub(super) use instruction_set::InstructionSet;
