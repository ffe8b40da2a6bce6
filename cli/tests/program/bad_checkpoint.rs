//! Checkpoints with faults: what is wrong, what was expected, where.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::models;
use crate::stage::Stage;

const GATE: &str = "model.layers.0.block_sparse_moe.experts.0.w1.weight";

/// What `neuro model logits` says of a fixture after `damage`; `serve` must refuse it with the same words.
fn said_of(damage: impl FnOnce(&Path)) -> String {
    let stage = Stage::new();
    let folder = models::copy(&stage, &models::fixture("mixtral-7-float32"), "model");
    damage(&folder);
    let looked = stage.run(&["model", "logits", "model", "--ids", "1,2,3"]);
    assert_eq!((looked.code, looked.stdout.as_str()), (Some(1), ""));
    let arguments = ["serve", "--model", "model", "--data-dir", "node"];
    let served = stage.run(&[&arguments, crate::network::FREE_PORTS].concat());
    assert_eq!((served.code, &served.stderr), (Some(1), &looked.stderr));
    looked.stderr
}

#[test]
fn a_truncated_file() {
    insta::assert_snapshot!(said_of(|folder| {
        let path = folder.join("model.safetensors");
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    }));
}

#[test]
fn a_missing_tensor() {
    insta::assert_snapshot!(said_of(|folder| models::edit_tensor_table(folder, |table| {
        let tensor = table.as_object_mut().unwrap().remove(GATE).unwrap();
        table["model.layers.0.block_sparse_moe.experts.0.w9.weight"] = tensor;
    })));
}

#[test]
fn a_tensor_of_the_wrong_shape() {
    insta::assert_snapshot!(said_of(|folder| models::edit_tensor_table(folder, |table| {
        table[GATE]["shape"] = json!([64, 96]);
    })));
}

#[test]
fn a_configuration_that_disagrees_with_its_tensors() {
    insta::assert_snapshot!(said_of(|folder| models::edit_config(folder, |config| config["hidden_size"] = json!(128))));
}

#[test]
fn an_unknown_architecture() {
    insta::assert_snapshot!(said_of(|folder| models::edit_config(folder, |config| {
        config["architectures"] = json!(["LlamaForCausalLM"]);
    })));
}

#[test]
fn an_unknown_activation() {
    insta::assert_snapshot!(said_of(
        |folder| models::edit_config(folder, |config| config["hidden_act"] = json!("gelu"))
    ));
}

#[test]
fn a_file_that_is_no_checkpoint() {
    insta::assert_snapshot!(said_of(|folder| fs::write(folder.join("model.safetensors"), "hello").unwrap()));
}

#[test]
fn a_missing_folder() {
    insta::assert_snapshot!(said_of(|folder| fs::remove_dir_all(folder).unwrap()));
}

#[test]
fn ids_beyond_the_vocabulary() {
    let stage = Stage::new();
    let model = models::fixture("mixtral-7-float32").display().to_string();
    let arguments = ["model", "logits", &model, "--ids", "1,99999"];
    insta::assert_snapshot!(stage.transcript(&arguments, &stage.run(&arguments)));
    let arguments = ["model", "logits", &model, "--ids", "1,-2"];
    insta::assert_snapshot!("ids_that_are_none", stage.transcript(&arguments, &stage.run(&arguments)));
}

#[test]
fn a_prompt_beyond_the_context() {
    let stage = Stage::new();
    fs::write(stage.path("long.txt"), "marble ".repeat(2000)).unwrap();
    let model = models::skills().display().to_string();
    let arguments = ["ask", "--model", &model, "--file", "long.txt", "What is this?"];
    insta::assert_snapshot!(stage.transcript(&arguments, &stage.run(&arguments)));
    let network = crate::network::Network::start(&stage, &models::skills(), 1);
    let asked = stage.run(&["ask", "--url", &network.api, "--file", "long.txt", "What is this?"]);
    insta::assert_snapshot!("a_prompt_beyond_the_context_of_a_node", stage.anonymous(&asked.stderr));
    assert_eq!(asked.code, Some(3));
}
