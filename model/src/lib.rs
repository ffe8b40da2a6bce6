//! Model configurations, tensor names, checkpoint readers, tokenizer and chat template; no arithmetic.
