//! A few seeds of the simulator, so that plain `cargo test` runs some; `simulate` runs many.

use tests::world::{Options, World};

/// Of three seeds one has a hostile member.
const SEEDS: u64 = 6;

#[test]
fn the_first_seeds_pass() {
    for seed in 0..SEEDS {
        let mut world = World::new(Options::of(seed));
        world.run();
        assert_eq!(world.failures, Vec::<String>::new(), "seed {seed}");
    }
}
