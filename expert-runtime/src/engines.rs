//! The engines. All have the same face and pass the same suite.

use std::sync::Arc;

use crate::engine::Engine;

#[cfg(feature = "burn")]
pub mod burn_flex;
#[cfg(not(feature = "burn"))]
#[path = "engines/burn_off.rs"]
pub mod burn_flex;
pub mod native;
pub mod reference;

pub use burn_flex::BurnFlexEngine;
pub use native::NativeEngine;
pub use reference::ReferenceEngine;

/// The engine that nodes use unless told otherwise.
#[must_use]
pub fn default_engine() -> Arc<dyn Engine> {
    Arc::new(NativeEngine::new())
}
