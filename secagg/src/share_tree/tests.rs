//! Every path leads to the root, and nothing else does.

use super::*;

fn leaves(pairs: usize) -> Vec<[Hash; 2]> {
    (0..pairs)
        .map(|pair| [0, 1].map(|kind| Hash::of(&[pair.to_le_bytes(), usize::to_le_bytes(kind)].concat())))
        .collect()
}

#[test]
fn the_tree_of_three_holders_is_the_one_by_hand() {
    let dealt = leaves(3);
    let node = |left: &Hash, right: &Hash| {
        Hash::of(&[b"neuro/fl/share-node/1\0", left.0.as_slice(), right.0.as_slice()].concat())
    };
    let [a, b, c] = [0, 1, 2].map(|pair: usize| node(&dealt[pair][0], &dealt[pair][1]));
    let tree = ShareTree::new(dealt.clone()).unwrap();
    assert_eq!(tree.root(), node(&node(&a, &b), &c));
    assert_eq!(tree.path(0).unwrap(), [b, c]);
    assert_eq!(tree.path(2).unwrap(), [node(&a, &b)], "a node without a partner moves up unhashed");
    assert_eq!(tree.leaves(), dealt);
}

#[test]
fn every_holders_path_leads_to_the_root_whatever_their_number() {
    for pairs in (1..40).chain([99, 127, 128, 129, 1_600]) {
        let dealt = leaves(pairs);
        let tree = ShareTree::new(dealt.clone()).unwrap();
        for (pair, leaves) in dealt.iter().enumerate() {
            let path = tree.path(pair).unwrap();
            assert_eq!(path.len(), path_length(pair, pairs));
            assert!(path.len() <= MOST_PATH_NODES);
            assert_eq!(check_path(leaves, pair, pairs, &path, &tree.root()), Ok(()));
        }
    }
}

#[test]
fn another_leaf_place_or_path_is_refused() {
    let dealt = leaves(11);
    let tree = ShareTree::new(dealt.clone()).unwrap();
    let (path, root) = (tree.path(4).unwrap(), tree.root());
    let leads_elsewhere = |result| matches!(result, Err(TreeError::Root { expected, .. }) if expected == root);
    assert!(leads_elsewhere(check_path(&dealt[5], 4, 11, &path, &root)));
    assert!(leads_elsewhere(check_path(&[dealt[4][1], dealt[4][0]], 4, 11, &path, &root)), "kinds may not be swapped");
    assert!(leads_elsewhere(check_path(&dealt[4], 5, 11, &path, &root)));
    let mut other = path.clone();
    other.swap(0, 1);
    assert!(leads_elsewhere(check_path(&dealt[4], 4, 11, &other, &root)));
}

#[test]
fn paths_of_another_length_are_refused() {
    let dealt = leaves(11);
    let tree = ShareTree::new(dealt.clone()).unwrap();
    let mut path = tree.path(4).unwrap();
    let expected = path.len();
    path.push(Hash([0; 32]));
    let wrong = |got| Err(TreeError::PathLength { expected, got });
    assert_eq!(check_path(&dealt[4], 4, 11, &path, &tree.root()), wrong(expected + 1));
    path.truncate(expected - 1);
    assert_eq!(check_path(&dealt[4], 4, 11, &path, &tree.root()), wrong(expected - 1));
}

#[test]
fn holders_that_the_dealer_does_not_have_are_refused() {
    let tree = ShareTree::new(leaves(3)).unwrap();
    let nobody = TreeError::NoSuchPair { pair: 3, pairs: 3 };
    assert_eq!(tree.path(3), Err(nobody));
    assert_eq!(check_path(&[tree.root(), tree.root()], 3, 3, &[], &tree.root()), Err(nobody));
    assert_eq!(ShareTree::new(Vec::new()), Err(TreeError::NoLeaves));
}

#[test]
fn leaves_and_commitments_are_those_of_section_7_2() {
    let dealing = Dealing { cohort: Hash([1; 32]), seed: Hash([2; 32]), dealer: NodeId([3; 32]) };
    let (share, holder) = (Scalar::from(0x0102_u64), NodeId([4; 32]));
    let mut expected = b"neuro/fl/share-leaf/1\0".to_vec();
    expected.extend([[1; 32], [2; 32], [3; 32], [4; 32]].as_flattened());
    expected.push(1);
    expected.extend(share.as_bytes());
    assert_eq!(dealing.leaf(holder, ShareKind::SelfMask, &share), Hash::of(&expected));
    assert_ne!(dealing.leaf(holder, ShareKind::MaskKey, &share), Hash::of(&expected));

    let mut expected = b"neuro/fl/self-mask-commitment/1\0".to_vec();
    expected.extend([[1; 32], [3; 32]].as_flattened());
    expected.extend(share.as_bytes());
    assert_eq!(dealing.self_mask_commitment(&share), Hash::of(&expected));
}
