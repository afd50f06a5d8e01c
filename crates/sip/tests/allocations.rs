//! The price of reading a message, counted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

mod samples;

struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is handed on to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn parse_allocates_the_header_table_only() {
    let bytes = samples::register().into_bytes().into_boxed_slice().into_vec();
    let before = COUNT.get();
    let message = sip::Message::parse(bytes);
    let count = COUNT.get() - before;
    assert!(message.is_ok());
    assert!(count <= 2, "{count} allocations");
    assert!(count >= 1, "the counter counts");
}
