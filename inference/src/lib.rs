//! The trunk at work: embedding, attention, KV cache, router, sampler and the decode loop.
