//! Pure: which layers, in which order: the chain id names a layer together with all below it.

use crate::content::digest::Digest;

/// The chain id of a layer on top of another chain (OCI image-spec, "Layer ChainID").
pub fn extend(parent: Option<&Digest>, diff_id: &Digest) -> Digest {
    match parent {
        None => diff_id.clone(),
        Some(parent) => Digest::of(format!("{parent} {diff_id}").as_bytes()),
    }
}

/// The chain ids of all these layers, lowest first.
pub fn of(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chain: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        let next = extend(chain.last(), diff_id);
        chain.push(next);
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_layer_is_its_own_chain_and_order_counts() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let chain = of(&[a.clone(), b.clone()]);
        assert_eq!(chain[0], a);
        assert_eq!(chain[1], Digest::of(format!("{a} {b}").as_bytes()));
        assert_ne!(of(&[b, a])[1], chain[1]);
    }
}
