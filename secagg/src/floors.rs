//! Client floors (section 4): what a participant refuses, whatever aggregator and owner sign.
