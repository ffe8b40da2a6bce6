//! What a model says of examples.

use crate::TrainError;
use crate::tests::{texts, tiny};

#[test]
fn a_token_outside_the_vocabulary_is_refused() {
    let error = tiny().next_logits(&[vec![1, 11]]).expect_err("it must be refused");
    assert!(matches!(error, TrainError::Token { vocabulary: 11, got: 11 }), "{error}");
    assert!(!error.is_retryable());
}

#[test]
fn the_loss_of_several_examples_is_the_mean_over_their_tokens() {
    let model = tiny();
    let together = model.evaluate(&texts()).unwrap();
    let apart: Vec<_> = texts().into_iter().map(|text| model.evaluate(&[text]).unwrap().loss).collect();
    // 4, 2 and 2 tokens.
    let mean = (4.0 * apart[0] + 2.0 * apart[1] + 2.0 * apart[2]) / 8.0;
    assert!((together.loss - mean).abs() < 1e-4, "{} {mean}", together.loss);
    assert_eq!(together.exact.len(), 3);
    // 14 tokens in the first layer, the 8 that are asked for in the last, two experts each.
    assert_eq!(together.routed.iter().map(|layer| layer.iter().sum::<u32>()).collect::<Vec<_>>(), [28, 16]);
}
