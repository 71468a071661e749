//! The stored sample of the recovery kit.

#[path = "../../tests/samples/golden.rs"]
mod golden;

use node::kit::Kit;
use schema::identity::Secret;

#[test]
fn the_kit_is_this_sample_and_is_read_back() {
    let (root, passphrase) = (Secret::from_bytes([5; 32]), "aaaa-bbbb-cccc-dddd-eeee-ffff-gggg-hhhh");
    let kit = Kit::seal("Exemple", &root, passphrase, [1; 16], [2; 12]).expect("the cost is the library's own");
    golden::check("node", &[("kit", kit.to_text().into_bytes())]);
    assert_eq!(Kit::from_text(&kit.to_text()), Some(kit.clone()));

    let typed = kit.to_text().replace("sealed: ", "Sealed by hand\nsealed: ").replace("0101", " 01 01");
    assert_eq!(
        Kit::from_text(&typed),
        Some(kit.clone()),
        "spaces and other lines do no harm to what is typed from paper"
    );

    assert!(kit.params().is_some());
    let dear = Kit { cost: [1 << 21, 2, 1], ..kit };
    assert!(dear.params().is_none(), "a kit is somebody's file, and may not take all memory");
}
