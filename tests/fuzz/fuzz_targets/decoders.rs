//! Feeds one fuzz target, named by `ARCHIPEL_FUZZ_TARGET`, and counts the memory that each input takes.

#![no_main]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use libfuzzer_sys::fuzz_target;
use tests::fuzz_targets::{FUZZ_TARGETS, FuzzTarget};

/// Counts what is live, and the most that was since the last input began.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is passed on to the system's allocator; only numbers are kept.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        MOST.fetch_max(LIVE.fetch_add(layout.size(), Relaxed) + layout.size(), Relaxed);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn target() -> &'static FuzzTarget {
    static TARGET: OnceLock<&FuzzTarget> = OnceLock::new();
    TARGET.get_or_init(|| {
        let name = std::env::var("ARCHIPEL_FUZZ_TARGET").unwrap_or_default();
        FUZZ_TARGETS.iter().find(|target| target.name == name).expect("ARCHIPEL_FUZZ_TARGET names a fuzz target")
    })
}

fuzz_target!(|bytes: &[u8]| {
    let target = target();
    let before = LIVE.load(Relaxed);
    MOST.store(before, Relaxed);
    (target.run)(bytes);
    let most = MOST.load(Relaxed).saturating_sub(before);
    let bound = target.most_bytes(bytes.len());
    assert!(most <= bound, "{} bytes took {most} bytes of memory, more than {bound}", bytes.len());
});
